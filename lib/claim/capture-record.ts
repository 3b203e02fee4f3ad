import type { Encryption } from '../dump-index/encryption.ts';
import type { Policy, Rung } from '../policy/policy.ts';
import type { Workload } from '../policy/pod-facts.ts';
import type { Signal } from '../signal/signal.ts';

/** How a capture can end. The words of the index. */
export const captureOutcomes = ['complete', 'salvaged', 'evidence-only', 'failed'] as const;
export type CaptureOutcome = (typeof captureOutcomes)[number];

/** Where a capture stands: `claimed` before the agent started, `finishing` while seal or sweep holds it. */
export type CaptureState = 'claimed' | 'started' | 'finishing' | CaptureOutcome;

/**
 * Everything that seal and sweep need to finish a capture that they did not start.
 * Written with the claim, in the same transaction; lives in the claim table until its TTL.
 */
export interface CaptureRecord {
  captureId: string;
  fencingToken: number;
  state: CaptureState;
  signal: Signal;
  policy: Policy;
  workload: Workload;
  clusterName: string;
  namespace: string;
  podName: string;
  podUid: string;
  containerName: string;
  containerID: string;
  nodeName: string;
  /** Of the life whose leftovers are collected; absent when the JVM itself is dumped. */
  termination?: Termination;
  /** Prefix of every object of this capture, with a trailing slash. */
  objectPrefix: string;
  lockKey: string;
  slotKeys: readonly string[];
  acquireTime: string;
  /** After it the agent has stopped by itself: its own deadline. Before the lease's end. */
  captureDeadlineTime: string;
  leaseExpireTime: string;
  /** Present from `started` on. */
  started?: CaptureStart;
  /** Present in a terminal state. */
  finished?: { finishTime: string; reason?: string };
}

/** How the life before the running one ended. Times are RFC 3339, by the node's clock, in whole seconds. */
export interface Termination {
  /** As Kubernetes says it: `OOMKilled`, `Error`, … */
  reason: string;
  exitCode: number;
  /** Of the life that ended. */
  containerID?: string;
  startedTime?: string;
  finishedTime?: string;
}

/**
 * How an agent is laid out on its rung. `single`: one process, which in an ephemeral container ends with the JVM.
 * `split`: an attacher in the JVM's PID namespace, and an uploader outside of it, which outlives the JVM.
 */
export const agentLayouts = ['single', 'split'] as const;
export type AgentLayout = (typeof agentLayouts)[number];

/** What capture did to start the agent. */
export interface CaptureStart {
  rung: Rung;
  /** Why better rungs were not used, by rung. */
  refusedRungs: Readonly<Partial<Record<Rung, string>>>;
  /** S3 multipart upload of the heap dump; absent when none is wanted. */
  uploadId?: string;
  /** The agent pod, or the ephemeral container's name. */
  agentName: string;
  startTime: string;
  /** Present where the agent encrypts what it stores. */
  encryption?: Encryption;
  /** Why no heap dump was planned, though it may have been asked for. */
  heapDumpRefusal?: string;
  /** Why places of the container were not given to the agent, by path. */
  refusedDirectories?: Readonly<Record<string, string>>;
}
