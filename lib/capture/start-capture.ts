import { randomUUID } from 'node:crypto';
import { leaseTimes } from '../claim/lease.ts';
import type { CaptureRecord } from '../claim/capture-record.ts';
import { capturePrefix } from '../dump-index/object-keys.ts';
import { CaptureError, messageOf } from '../errors.ts';
import type { PodFacts } from '../policy/pod-facts.ts';
import type { Rung } from '../policy/policy.ts';
import type { Signal } from '../signal/signal.ts';
import { inTurn, type TurnDeps } from './await-turn.ts';
import { signalMetrics } from './capture-metrics.ts';
import { isQuiet, type CaptureAnswer } from './capture-answer.ts';
import { answerEvent, eventIdentity } from './capture-events.ts';
import { dumpAnswer, refusedAnswer, withHolder, withIndexEntry } from './intent-answers.ts';
import { throwIfLeftoversWait } from './leftover-intent.ts';
import { buildTicket, openUpload, putTicket } from './issue-ticket.ts';
import { dataKeyOf, type EncryptionDeps } from './data-key.ts';
import type { ClusterApi, DataKey } from './ports.ts';
import { dropUpload, releaseClaim, releaseDeadClaim, type ReleaseDeps } from './release-claim.ts';
import { asError, type Refusal, type StartResult } from './agent-reply.ts';
import type { AgentStart } from './start-agent.ts';
import { recordEnd } from './record-end.ts';
import { relayCapture } from './relay-capture.ts';
import { startOrRelay, type RelayJob, type RelaySettings } from './start-relay.ts';
import { startOf } from './start-record.ts';
import { failedAnswer, skipAnswer, weighSignal, type Intent } from './weigh-signal.ts';

export interface CaptureDeps extends ReleaseDeps, TurnDeps, EncryptionDeps {
  cluster: ClusterApi;
  settings: CaptureSettings;
}

export interface CaptureSettings {
  /** Image of the ephemeral container; without one only the node agent can be used. */
  agentImage?: string;
  /** What exec runs in the node agent's pod. */
  agentCommand: readonly string[];
  /** What is sent into the application's container; without it rung exec is refused. */
  execAgentJar?: Uint8Array;
  /** With it a capture whose container does not reach the bucket can be fetched through exec, if the policy allows it. */
  relay?: RelaySettings;
  /** Where the index is, for answers. */
  index?: { bucketName: string; region?: string | undefined };
  /** How long a ticket may be fetched and a capture begun. */
  ticketStartSeconds: number;
}

/** Kept of the function's time for what follows a start: the record, the Event, the answer. */
const endMarginMillis = 5_000;
const maxStartSeconds = 20;

/**
 * Answers one signal: decides, claims, writes the ticket and starts an agent, in seconds; seal or sweep end what
 * it begins. A repeat of a signal finds its twin and does nothing. Every answer is logged once, and shown as an
 * Event on the pod unless it is one of those that come with every probe.
 * A fault between claim and start gives the claim back before it is thrown, so that a retry can claim again.
 * @throws CaptureError of the ports; ClaimUnsettled (retryable) when a twin may have died before its start;
 *   LeftoversWait (retryable) while the slots for collecting leftovers are taken.
 */
export async function startCapture(deps: CaptureDeps, signal: Signal): Promise<CaptureAnswer> {
  const answered = await inTurn(deps, signal, () => answerTo(deps, signal));
  const { pod, relayJob } = answered;
  const answer = await withHolder(deps, deps.settings.index, answered);
  const { message: explanation, ...decided } = answer;
  deps.logger.info('decision', {
    clusterName: signal.clusterName,
    namespace: signal.namespace,
    podName: signal.podName,
    podUid: pod?.podUid ?? signal.podUid,
    signalReason: signal.reason,
    observedTime: signal.observedTime,
    ...decided,
    explanation,
    ...signalMetrics(signal, deps.clock()),
  });
  if (pod !== undefined && !isQuiet(answer, signal.reason))
    await tellPod(deps, signal, pod, answer);
  const { relay } = deps.settings;
  if (relayJob && relay) relay.defer(() => relayCapture({ ...deps, ...relay }, relayJob));
  return answer;
}

interface Answered {
  answer: CaptureAnswer;
  pod: PodFacts | undefined;
  /** The capture that stands in the way. */
  holderId?: string | undefined;
  /** What is still to be fetched. */
  relayJob?: RelayJob | undefined;
}

async function answerTo(deps: CaptureDeps, signal: Signal, isRepeat = false): Promise<Answered> {
  const { agentImage, execAgentJar } = deps.settings;
  const execAgentPackaged = execAgentJar !== undefined;
  const weighed = await weighSignal({ ...deps, agentImage, execAgentPackaged }, signal);
  if (!weighed.worth) {
    const { answer, pod, twinId, holderId } = weighed;
    throwIfLeftoversWait(signal, answer);
    return (await again(deps, signal, isRepeat, twinId)) ?? { answer, pod, holderId };
  }
  const { intent } = weighed;
  const { pod, decision } = intent;
  if (signal.dryRun === true) return { answer: dumpAnswer(intent, 'DryRun'), pod };
  const claim = await deps.claims.tryAcquire(claimRequest(deps, intent));
  if (claim.outcome === 'refused') {
    const twinId = claim.reason === 'AlreadyCaptured' ? decision.captureId : undefined;
    const answer = refusedAnswer(intent, claim);
    throwIfLeftoversWait(signal, answer);
    const holderId = twinId ?? (claim.reason === 'LockHeld' ? claim.holderIdentity : undefined);
    return (await again(deps, signal, isRepeat, twinId)) ?? { answer, pod, holderId };
  }
  return { ...(await startClaimed(deps, intent, claim.record)), pod };
}

/** Answers anew, once, when the twin that stood in the way was a dead run's claim. */
async function again(
  deps: CaptureDeps,
  signal: Signal,
  isRepeat: boolean,
  twinId: string | undefined,
): Promise<Answered | undefined> {
  if (isRepeat || twinId === undefined || signal.dryRun === true) return undefined;
  return (await releaseDeadClaim(deps, twinId)) ? answerTo(deps, signal, true) : undefined;
}

function claimRequest(deps: CaptureDeps, intent: Intent): Parameters<ClaimTry>[0] {
  const { signal, pod, policy, decision, lockKey } = intent;
  const { clusterName, namespace } = signal;
  const { workload, podName, podUid } = pod;
  const { captureId, containerName, containerID } = decision;
  const times = leaseTimes(policy, deps.clock());
  const { acquireTime } = times;
  return {
    captureId,
    signal,
    policy,
    workload,
    clusterName,
    namespace,
    podName,
    podUid,
    containerName,
    containerID,
    nodeName: pod.nodeName ?? signal.nodeName ?? 'unknown',
    ...(intent.leftovers === undefined ? {} : { termination: intent.leftovers.termination }),
    objectPrefix: capturePrefix({ clusterName, namespace, workload, acquireTime, captureId }),
    lockKey,
    ...times,
    claimNonce: randomUUID(),
  };
}

type ClaimTry = CaptureDeps['claims']['tryAcquire'];

/** From the claim on: whatever goes wrong before an agent can run gives the claim back. */
async function startClaimed(
  deps: CaptureDeps,
  intent: Intent,
  record: CaptureRecord,
): Promise<Pick<Answered, 'answer' | 'relayJob'>> {
  let uploadId: string | undefined;
  try {
    const { index } = deps.settings;
    if (intent.decision.source === 'record') {
      return { answer: withIndexEntry(await recordEnd(deps, record), index, record) };
    }
    const dataKey = await dataKeyOf(deps.dataKeys, record);
    uploadId = await openUpload(deps.objects, record, intent.plan);
    const [rung = 'exec'] = intent.plan.rungs;
    const opened = { uploadId, dataKey };
    const started = startOf(intent, { record, ...opened, rung, refusals: {}, now: deps.clock() });
    // The upload's id is on record before an agent can send the first part: sweep must find every part.
    if (!(await deps.claims.markStarted(record.captureId, record.fencingToken, started))) {
      if (uploadId !== undefined) await dropUpload(deps, record, uploadId);
      const message = `the claim of ${record.captureId} was lost before the agent was started`;
      return { answer: { ...skipAnswer('ClaimLost', message), captureId: record.captureId } };
    }
    const result = await startOnBestRung(deps, intent, record, opened);
    if (result.outcome !== 'refused') {
      const reason = result.outcome === 'started' ? 'Started' : 'StartUnconfirmed';
      const { objectPrefix } = record;
      const { rung: used, relayJob } = result;
      const answer = { ...dumpAnswer(intent, reason), rung: used, objectPrefix };
      return { answer: withIndexEntry(answer, index, record), relayJob };
    }
    await releaseClaim(deps, record, uploadId, `${result.code}: ${result.message}`);
    if (result.retryable) throw asError(result);
    const { captureId } = record;
    return { answer: { ...failedAnswer(result.code, result.message), captureId } };
  } catch (error) {
    // A second time for a refusal that was given back above; the claim is finished then and nothing happens.
    await releaseClaim(deps, record, uploadId, messageOf(error));
    throw error;
  }
}

type StartedResult = Exclude<StartResult, Refusal> & {
  rung: Rung;
  relayJob?: RelayJob | undefined;
};

/** Tries the plan's rungs in order. The next one only when nothing can be running on the one before. */
async function startOnBestRung(
  deps: CaptureDeps,
  intent: Intent,
  record: CaptureRecord,
  opened: { uploadId: string | undefined; dataKey: DataKey | undefined },
): Promise<StartedResult | Refusal> {
  const { decision, plan } = intent;
  const { ticketStartSeconds, agentCommand, agentImage, execAgentJar } = deps.settings;
  const [first = 'exec'] = plan.rungs;
  const ticket = await buildTicket(deps.objects, {
    record,
    plan,
    rung: first,
    artifacts: decision.artifacts,
    ...(intent.leftovers === undefined ? {} : { leftovers: intent.leftovers.order }),
    ...opened,
    now: deps.clock(),
    startSeconds: ticketStartSeconds,
  });
  const refusals: Refusal[] = [];
  const codes: Partial<Record<Rung, string>> = {};
  for (const rung of plan.rungs) {
    if (rung !== first) {
      const now = deps.clock();
      const started = startOf(intent, { record, ...opened, rung, refusals: codes, now });
      // Before the start, as with the first one: what a dead agent leaves behind is shown under the rung that ran.
      if (!(await deps.claims.markStarted(record.captureId, record.fencingToken, started))) {
        const message = `the claim of ${record.captureId} was lost before ${rung} was tried`;
        return { outcome: 'refused', code: 'ClaimLost', message, retryable: false };
      }
    }
    const ticketUrl = await putTicket(deps.objects, { ...ticket, rung }, ticketStartSeconds);
    const replaced = await replacedPod(deps.cluster, record);
    if (replaced !== undefined) return replaced;
    const start: AgentStart = {
      record,
      container: intent.container,
      directories: plan.heapDump.wanted ? plan.heapDump.directories : [],
      nodeAgent: intent.nodeAgent,
      agentImage,
      agentCommand,
      execAgentJar,
      ticketUrl,
      deadlineSeconds: startSecondsLeft(deps),
    };
    const { uploadId } = opened;
    const { result, relayJob } = await startOrRelay(deps, rung, start, { ticket, uploadId });
    if (result.outcome !== 'refused') return { ...result, rung, relayJob };
    const { code, message: explanation } = result;
    deps.logger.warn('rung refused', { captureId: record.captureId, rung, code, explanation });
    refusals.push(result);
    codes[rung] = code;
  }
  const [best, ...others] = refusals;
  if (best === undefined) throw new Error('a plan without a rung was claimed');
  const retryable = best.retryable || others.some((refusal) => refusal.retryable);
  return { ...best, retryable, message: refusals.map(({ message }) => message).join('; ') };
}

/** @throws CaptureError DeadlineExceeded (retryable) when the function would be stopped within the start. */
function startSecondsLeft(deps: CaptureDeps): number {
  const seconds = Math.floor((deps.remainingMillis() - endMarginMillis) / 1000);
  if (seconds >= 1) return Math.min(seconds, maxStartSeconds);
  throw new CaptureError(
    'DeadlineExceeded',
    `the function has ${deps.remainingMillis()} ms left; starting an agent needs at least ${endMarginMillis + 1000} ms`,
    { retryable: true },
  );
}

/** Looks once more just before the start: what was decided on may have died in between. */
async function replacedPod(
  cluster: ClusterApi,
  record: CaptureRecord,
): Promise<Refusal | undefined> {
  const pod = await cluster.readPod(record.namespace, record.podName);
  const container = pod?.containers.find((one) => one.containerName === record.containerName);
  const same = pod?.podUid === record.podUid && container?.containerID === record.containerID;
  if (same && container.running) return undefined;
  const message = `pod ${record.podName} no longer runs ${record.containerID}: it was replaced or killed after the decision`;
  return { outcome: 'refused', code: 'PodAlreadyReplaced', message, retryable: false };
}

async function tellPod(
  deps: CaptureDeps,
  signal: Signal,
  pod: PodFacts,
  answer: CaptureAnswer,
): Promise<void> {
  try {
    await deps.cluster.postPodEvent(pod, answerEvent(answer, eventIdentity(signal, pod)));
  } catch (error) {
    deps.logger.warn('Event not posted', { podName: pod.podName, error });
  }
}
