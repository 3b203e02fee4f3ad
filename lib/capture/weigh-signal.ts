import type { ClaimStore } from '../claim/claim-store.ts';
import { leftoversLockKeyOf, lockKeyOf } from '../claim/claim-keys.ts';
import { CaptureError, messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { decide, type Decision } from '../policy/decide.ts';
import type { ContainerFacts, PodFacts } from '../policy/pod-facts.ts';
import type { Policy } from '../policy/policy.ts';
import { withPodRestrictions } from '../policy/restrictions.ts';
import { resolvePolicy } from '../policy/resolve.ts';
import type { Signal } from '../signal/signal.ts';
import { nextOf, type CaptureAnswer } from './capture-answer.ts';
import { isEnd, leftoversOf, type LeftoverIntent } from './leftover-intent.ts';
import { planCapture, type Plan } from './plan.ts';
import { planLeftovers } from './plan-leftovers.ts';
import { encryptionRefusal, type EncryptionDeps } from './data-key.ts';
import type { Clock, ClusterApi } from './ports.ts';

export type NodeAgent = NonNullable<Awaited<ReturnType<ClusterApi['findNodeAgent']>>>;

/** A signal that is worth a claim, and everything the claim and the start need to know. */
export interface Intent {
  signal: Signal;
  pod: PodFacts;
  container: ContainerFacts;
  policy: Policy;
  decision: Extract<Decision, { decision: 'dump' }>;
  plan: Plan;
  lockKey: string;
  nodeAgent: NodeAgent | undefined;
  /** Present when leftovers of an ended life are collected. */
  leftovers?: LeftoverIntent;
}

export type Weighed =
  | { worth: true; intent: Intent }
  | {
      worth: false;
      answer: CaptureAnswer;
      pod: PodFacts | undefined;
      /** Of an `AlreadyCaptured`: the capture that is there. */
      twinId?: string;
      /** Of an `AlreadyCaptured` or `LockHeld`: the capture that runs. */
      holderId?: string;
    };

export interface WeighDeps extends EncryptionDeps {
  cluster: ClusterApi;
  claims: Pick<ClaimStore, 'readHistory'>;
  clock: Clock;
  logger: Logger;
  agentImage?: string | undefined;
  execAgentPackaged?: boolean;
}

/**
 * Everything that comes before the claim: reads pod and history, decides, and looks for a way to the JVM, so that
 * a capture that could not be started takes no lock and consumes no limit. Changes nothing.
 * @throws CaptureError of the ports: ClusterUnavailable, ClaimStoreUnavailable (retryable), ClusterForbidden.
 */
export async function weighSignal(deps: WeighDeps, signal: Signal): Promise<Weighed> {
  const pod = await deps.cluster.readPod(signal.namespace, signal.podName);
  let policy: Policy;
  try {
    const annotations = pod?.annotations ?? {};
    policy = withPodRestrictions(signal.policy ?? resolvePolicy(annotations), annotations);
  } catch (error) {
    if (!(error instanceof CaptureError) || error.code !== 'InvalidPolicy') throw error;
    return { worth: false, pod, answer: failedAnswer(error.code, messageOf(error)) };
  }
  const lockKey = pod === undefined ? undefined : lockKeyFor(signal, pod);
  const history =
    lockKey === undefined ? { acquireTimes: [] } : await deps.claims.readHistory(lockKey);
  const decision = decide({ signal, pod, history, policy, now: deps.clock() });
  if (decision.decision === 'skip') {
    const { holderIdentity: holderId } = history;
    const twinId = decision.reason === 'AlreadyCaptured' ? holderId : undefined;
    const held = twinId !== undefined || decision.reason === 'LockHeld';
    const answer = skipAnswer(decision.reason, decision.message);
    return {
      worth: false,
      pod,
      answer,
      ...(twinId && { twinId }),
      ...(held && holderId && { holderId }),
    };
  }
  const container = pod?.containers.find((one) => one.containerName === decision.containerName);
  if (pod === undefined || lockKey === undefined || container === undefined) {
    throw new Error(`decide() chose container ${decision.containerName}, which is not there`);
  }
  const { nodeAgent, trouble } = await findNodeAgent(deps, pod, policy);
  const plan = (decision.source === undefined ? planCapture : planLeftovers)({
    signalReason: signal.reason,
    pod,
    container,
    policy,
    decision,
    nodeAgent,
    ...(trouble === undefined ? {} : { nodeAgentRefusal: trouble }),
    agentImage: deps.agentImage,
    execAgentPackaged: deps.execAgentPackaged ?? false,
  });
  const unsealed = encryptionRefusal(policy, deps.dataKeys);
  const refusal = unsealed
    ? { ...failedAnswer('EncryptionUnavailable', unsealed), captureId: decision.captureId }
    : decision.source === 'record'
      ? undefined
      : refusalOf(plan, decision);
  if (refusal !== undefined) return { worth: false, pod, answer: refusal };
  const intent = { signal, pod, container, policy, decision, plan, lockKey, nodeAgent };
  if (decision.source === undefined) return { worth: true, intent };
  const workloadHistory = await deps.claims.readHistory(workloadLockKey(signal, pod));
  return {
    worth: true,
    intent: { ...intent, ...leftoversOf(intent, workloadHistory, deps.clock()) },
  };
}

function workloadLockKey({ clusterName, namespace }: Signal, { workload }: PodFacts): string {
  return lockKeyOf({ clusterName, namespace, workload });
}

function lockKeyFor(signal: Signal, pod: PodFacts): string {
  if (!isEnd(signal)) return workloadLockKey(signal, pod);
  const { clusterName, namespace } = signal;
  const { workload, containers } = pod;
  const containerName = signal.containerName ?? containers[0]?.containerName ?? '';
  // A node that is short of memory evicts replica after replica: their rate is one of the workload.
  const podUid = signal.reason === 'PodEvicted' ? 'evicted' : pod.podUid;
  return leftoversLockKeyOf({ clusterName, namespace, workload, podUid, containerName });
}

/** Without the right to look for the agent's pod another rung can still work. */
async function findNodeAgent(
  deps: WeighDeps,
  pod: PodFacts,
  policy: Policy,
): Promise<{ nodeAgent: NodeAgent | undefined; trouble?: string }> {
  if (!policy.rungs.includes('nodeAgent') || pod.nodeName === undefined) {
    return { nodeAgent: undefined };
  }
  try {
    return { nodeAgent: await deps.cluster.findNodeAgent(pod.nodeName) };
  } catch (error) {
    if (!(error instanceof CaptureError) || error.code !== 'ClusterForbidden') throw error;
    deps.logger.warn('node agent not looked for', { nodeName: pod.nodeName, error });
    return { nodeAgent: undefined, trouble: 'ClusterForbidden' };
  }
}

function refusalOf(
  plan: Plan,
  decision: Extract<Decision, { decision: 'dump' }>,
): CaptureAnswer | undefined {
  const { captureId } = decision;
  if (plan.rung === undefined) {
    const refusals = Object.entries(plan.refusedRungs).map(([rung, why]) => `${rung}: ${why}`);
    return { ...skipAnswer('NoUsableRung', refusals.join(', ')), captureId };
  }
  const evidenceWanted = decision.artifacts.some((artifact) => artifact !== 'heapDump');
  if (plan.heapDump.wanted || plan.heapDump.reason === 'NotAskedFor' || evidenceWanted) {
    return undefined;
  }
  return { ...skipAnswer(plan.heapDump.reason, describeHeapDumpRefusal(plan)), captureId };
}

/** Why the plan has no heap dump, with the places that were refused. */
export function describeHeapDumpRefusal(plan: Plan): string {
  if (plan.heapDump.wanted) return '';
  const places = plan.refusedDirectories.map(({ path, reason }) => `${path}: ${reason}`);
  return [`no heap dump (${plan.heapDump.reason})`, ...places].join('; ').slice(0, 900);
}

type SkipAnswer = Extract<CaptureAnswer, { decision: 'skip' }>;

export function skipAnswer(reason: SkipAnswer['reason'], message: string): SkipAnswer {
  return { decision: 'skip', reason, message, next: nextOf('skip', reason) };
}

export function failedAnswer(reason: string, message: string): CaptureAnswer {
  return { decision: 'failed', reason, message, next: nextOf('failed', reason) };
}
