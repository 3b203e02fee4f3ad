import type { Artifact, Policy, Rung } from '../policy/policy.ts';
import type { ContainerFacts, PodFacts } from '../policy/pod-facts.ts';
import type { SignalReason } from '../signal/signal.ts';
import { partsSuffice } from './part-layout.ts';
import { planDirectories, type RefusedDirectory } from './plan-directories.ts';
import { defaultBlockBytes, defaultPartBytes, maxPartCount } from './ticket.ts';

export type RefusedRungs = Readonly<Partial<Record<Rung, string>>>;

/** Where the heap dump goes, or why there will be none. Evidence needs no place in the pod. */
export type HeapDumpPlan =
  | {
      wanted: true;
      directories: readonly string[];
      /** As DirectoryPlan; absent where no limit lies below the estimate. */
      sizeLimits?: Readonly<Record<string, number>>;
      blockBytes: number;
      partBytes: number;
      partCount: number;
      expectedBytes: number;
      /** As Decision. */
      mayWait?: true;
    }
  | { wanted: false; reason: 'NotAskedFor' | 'NoDumpDirectory' | 'DumpTooLarge' };

export interface Plan {
  /** Usable rungs, best first; a later one is for the case that an earlier one does not start. */
  rungs: readonly Rung[];
  /** The best of them; absent when none can work. */
  rung: Rung | undefined;
  /** Why the others are not used; with numbers where numbers decided. */
  refusedRungs: RefusedRungs;
  heapDump: HeapDumpPlan;
  refusedDirectories: readonly RefusedDirectory[];
}

export interface PlanInput {
  signalReason: SignalReason;
  pod: PodFacts;
  container: ContainerFacts;
  policy: Policy;
  decision: { artifacts: readonly Artifact[]; expectedBytes: number; mayWait?: true };
  /** The ready agent pod of the node, if there is one. */
  nodeAgent: { podName: string } | undefined;
  /** Why it is not known whether there is one. */
  nodeAgentRefusal?: string;
  /** Image of the ephemeral container; without one that rung is refused. */
  agentImage?: string | undefined;
  /** Whether the functions have the exec agent's jar; without it rung exec is refused. */
  execAgentPackaged?: boolean;
}

/**
 * Picks the best rung that the phase of the pod, the installed parts and the policy allow, and the places
 * where the dump may lie. Never throws; a plan without a rung says why of each.
 */
export function planCapture(input: PlanInput): Plan {
  const refusedRungs: Partial<Record<Rung, string>> = {};
  const usable: Rung[] = [];
  for (const rung of ['nodeAgent', 'ephemeralContainer', 'exec'] as const) {
    const refusal = refusalByPolicy(rung, input.policy) ?? refusals[rung](input);
    if (refusal === undefined) usable.push(rung);
    else refusedRungs[rung] = refusal;
  }
  const { directories, sizeLimits, refusedDirectories } = planDirectories(
    input.container,
    input.decision.expectedBytes,
  );
  const heapDump = planHeapDump(input.decision, directories);
  const limited = heapDump.wanted && Object.keys(sizeLimits).length > 0;
  return {
    rungs: usable,
    rung: usable[0],
    refusedRungs,
    heapDump: limited ? { ...heapDump, sizeLimits } : heapDump,
    refusedDirectories,
  };
}

/** What runs in the application container sends the dump as it is. */
function refusalByPolicy(rung: Rung, policy: Policy): string | undefined {
  if (!policy.rungs.includes(rung)) return 'PolicyForbids';
  if (rung !== 'exec') return undefined;
  if (policy.encrypt) return 'ExecCannotEncrypt';
  return policy.redact !== 'none' ? 'ExecCannotRedact' : undefined;
}

const refusals: Readonly<Record<Rung, (input: PlanInput) => string | undefined>> = {
  nodeAgent: ({ nodeAgent, nodeAgentRefusal }) =>
    nodeAgent === undefined ? (nodeAgentRefusal ?? 'NoNodeAgent') : undefined,
  ephemeralContainer: refusalOfEphemeralContainer,
  // What the container has for it is asked when it is used: an exec for each signal would cost too much.
  exec: ({ execAgentPackaged }) => (execAgentPackaged ? undefined : 'ExecAgentNotPackaged'),
};

function refusalOfEphemeralContainer(input: PlanInput): string | undefined {
  const { pod, container } = input;
  // Once the kubelet kills, it starts no ephemeral container: on a deleted pod never, on a probe kill only
  // after the restart, when the heap is gone.
  if (pod.deletionTime !== undefined) return 'PodBeingDeleted';
  if (input.signalReason === 'ContainerKilling') return 'ContainerBeingKilled';
  if (input.agentImage === undefined) return 'AgentImageNotConfigured';
  // The JVM lets only its own uid attach, and the kubelet refuses uid 0 under runAsNonRoot.
  if (container.runAsUser === undefined) return 'UidUnknown';
  if (container.runAsUser === 0) return 'RunsAsRoot';
  return undefined;
}

/** Part URLs are made before the size is known: a tenth for estimates that are low, and some to spare. */
const sizeMargin = 1.1;
/** Streams of a dump in several files have part numbers in reserve: 16 for the base, 8 for a rest, 16 to spare. */
const sparePartCount = 40;

/** How the dump is sent: parts that are large enough for the expected size. */
export function planHeapDump(
  decision: PlanInput['decision'],
  directories: readonly string[],
): HeapDumpPlan {
  if (!decision.artifacts.includes('heapDump')) return { wanted: false, reason: 'NotAskedFor' };
  if (directories.length === 0) return { wanted: false, reason: 'NoDumpDirectory' };
  const { expectedBytes } = decision;
  const [partBytes, blockBytes] = [defaultPartBytes, defaultBlockBytes];
  // The worst case is a heap that does not compress at all. One number stays free above the agent's parts: sweep
  // may have to append the end of the dump.
  const wantedBytes = expectedBytes * sizeMargin;
  const wantedCount = Math.ceil(wantedBytes / partBytes) + sparePartCount;
  const partCount = Math.min(wantedCount, maxPartCount - 1);
  // Where the numbers would not do, the later parts are larger.
  const sizes = { partCount, firstBytes: partBytes, expectedBytes: wantedBytes };
  if (partsSuffice(sizes)) {
    const mayWait = decision.mayWait ? { mayWait: true as const } : {};
    return {
      wanted: true,
      directories,
      blockBytes,
      partBytes,
      partCount,
      expectedBytes,
      ...mayWait,
    };
  }
  return { wanted: false, reason: 'DumpTooLarge' };
}
