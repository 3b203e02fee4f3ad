import { captureIdOf } from '../signal/capture-id.ts';
import type { Signal, SignalReason } from '../signal/signal.ts';
import { verdictOf } from '../signal/ending.ts';
import { expectedDumpBytes } from './deadline.ts';
import { heapDumpNote, killOf, tooLate } from './decide-deadline.ts';
import { skippedByHistory, skippedByReadyReplicas } from './decide-limits.ts';
import { deletionNote, skippedByTrigger } from './decide-trigger.ts';
import { isMemoryOrJvm } from './end-of-life.ts';
import { leftoverArtifacts, leftoverDirectories, skippedLeftovers } from './leftovers.ts';
import type { DecisionFacts, DecisionInput } from './decision-facts.ts';
import type { ContainerFacts, PodFacts } from './pod-facts.ts';
import { jvmArtifacts, type Artifact, type Policy } from './policy.ts';
import { skip, type Skip } from './skip.ts';
import { watchOf } from './watch.ts';

export type Decision =
  | {
      decision: 'dump';
      containerName: string;
      containerID: string;
      captureId: string;
      /**
       * Present when what an ended life left is to be collected, and the JVM is asked for nothing. `record`: no agent can
       * reach anything of it, and only the end itself is put on record.
       */
      source?: 'leftover' | 'record';
      /** In the order of collection. */
      artifacts: Artifact[];
      /** Upper estimate of the heap dump; 0 when none is wanted. */
      expectedBytes: number;
      /** RFC 3339, expected SIGKILL; absent when nothing says that the container will be killed. */
      deadlineTime?: string;
      /** Nothing says that the JVM will end soon: the pause counts, and not how soon the dump is in the bucket. */
      mayWait?: true;
      /** What the reader of the decision should know, e.g. that the time is too short for the heap dump. */
      note?: string;
    }
  | Skip;

/** What these tell of kills nobody by itself; a heap or a cgroup near its limit can end the JVM at any moment. */
const waitingReasons: ReadonlySet<SignalReason> = new Set([
  'Manual',
  'GcLimitCrossed',
  'AlertFiring',
  'Scheduled',
]);
const maxAgeSeconds = 900;
const maxAheadSeconds = 300;

/**
 * Whether one signal is worth a dump, and of which container. Pure and total: the same input gives the same
 * answer, and any valid input gets one. Asked in order, and the first no is the answer: the signal's age and
 * reason, the policy, the identity of pod and container, the trigger, the time left, the limits.
 *
 * The end of a container leads to its next life, in whose volumes a dump can have been left: see decideLeftovers.
 * A signal by hand passes over the triggers, but not over identity, the policy's `enabled` and the limits.
 * Limits of the workload's history are looked at to save a claim; the claim itself is the judge, and it alone
 * knows the slots of node and cluster.
 */
export function decide(input: DecisionInput): Decision {
  const { signal, policy, now, pod } = input;
  const early = skippedByAge(signal, now) ?? skippedBySignal(signal, policy);
  if (early !== undefined) return early;

  if (pod === undefined) {
    return skip('PodNotFound', `there is no pod ${signal.namespace}/${signal.podName}`);
  }
  const container = chosenContainer(signal, pod);
  if ('decision' in container) return container;
  if (signal.reason === 'PodEvicted') return decideRecord(input, pod, container);
  if (signal.reason === 'ContainerTerminated') return decideLeftovers(input, pod, container);
  const { containerID } = container;
  const elsewhere = skippedByIdentity(signal, container);
  if (elsewhere !== undefined) return elsewhere;
  if (!container.running || containerID === undefined) {
    const message = `container ${container.containerName} of ${signal.podName} is not running: it has no heap`;
    return skip('ContainerNotRunning', message);
  }

  const captureId = captureIdOf({
    clusterName: signal.clusterName,
    podUid: pod.podUid,
    containerName: container.containerName,
    containerID,
    reason: signal.reason,
    observedTime: signal.observedTime,
  });
  const kill = killOf(input, pod, container);
  const facts = { ...input, pod, container, ...(kill === undefined ? {} : { kill }) };
  return (
    skippedByTrigger(facts) ??
    tooLate(facts) ??
    skippedByReadyReplicas(facts) ??
    skippedByHistory(facts, captureId) ??
    dumpOf(facts, containerID, captureId)
  );
}

/**
 * What an ended life left in volumes is collected in the next one, through whose process the agent reaches them. It
 * pauses nobody: triggers, deadline and ready replicas say nothing about it, and its history is one of its own
 * (leftoversLockKeyOf), without a cooldown.
 */
function decideLeftovers(input: DecisionInput, pod: PodFacts, container: ContainerFacts): Decision {
  const { signal, policy } = input;
  const { containerName, containerID } = container;
  const nothing = skippedLeftovers(policy, container);
  if (nothing !== undefined) return nothing;
  const { cause } = verdictOf(signal, container.lastTermination);
  const unreachable = leftoverDirectories(container).length === 0 || hasEnded(pod);
  if (unreachable && isMemoryOrJvm(cause)) return decideRecord(input, pod, container);
  if (leftoverDirectories(container).length === 0) {
    const message = `the heap of container ${containerName} is gone, and it has no writable volume in which a dump could have been left`;
    return skip('HeapAlreadyGone', message);
  }
  if (!container.running || containerID === undefined || containerID === signal.containerID) {
    const message = `container ${containerName} of ${signal.podName} does not run again yet: what it left can be reached from its next life only, with which the signal comes again`;
    return skip('ContainerNotRunning', message);
  }
  const captureId = endCaptureId(signal, pod, container);
  const wanted = leftoverArtifacts(policy);
  return (
    skippedByHistory({ ...input, pod, container }, captureId) ?? {
      decision: 'dump',
      containerName,
      containerID,
      captureId,
      source: 'leftover',
      artifacts: wanted.filter((artifact) => artifact !== 'previousLog' || isMemoryOrJvm(cause)),
      expectedBytes: wanted.includes('heapDump') ? expectedDumpBytes(container) : 0,
    }
  );
}

/**
 * An end of which no agent can reach anything: nothing runs again in that pod, or nothing of the container outlives it. That
 * it ended, and why, is told all the same, with the tail of its output.
 */
function decideRecord(input: DecisionInput, pod: PodFacts, container: ContainerFacts): Decision {
  const { signal, policy } = input;
  if (policy.leftovers === 'ignore') {
    return skip('LeftoversNotWanted', 'the policy says leftovers: ignore');
  }
  const { containerName, containerID } = container;
  const captureId = endCaptureId(signal, pod, container);
  return (
    skippedByHistory({ ...input, pod, container }, captureId) ?? {
      decision: 'dump',
      containerName,
      containerID: containerID ?? signal.containerID ?? 'unknown',
      captureId,
      source: 'record',
      artifacts: leftoverArtifacts(policy).filter((artifact) => artifact === 'previousLog'),
      expectedBytes: 0,
    }
  );
}

function hasEnded({ phase }: PodFacts): boolean {
  return phase === 'Failed' || phase === 'Succeeded';
}

function endCaptureId(signal: Signal, pod: PodFacts, container: ContainerFacts): string {
  const { containerName, containerID = 'none' } = container;
  return captureIdOf({
    clusterName: signal.clusterName,
    podUid: pod.podUid,
    containerName,
    containerID: signal.containerID ?? `before ${containerID}`,
    reason: signal.reason,
    observedTime: signal.observedTime,
  });
}

function dumpOf(facts: DecisionFacts, containerID: string, captureId: string): Decision {
  const wanted = jvmArtifacts.filter((artifact) => facts.policy.evidence.includes(artifact));
  if (wanted.length === 0) {
    return skip('EvidenceNotWanted', 'the policy asks for nothing of a running JVM');
  }
  const heapDump = wanted.includes('heapDump');
  const notes = [deletionNote(facts), watchNote(facts), heapDump ? heapDumpNote(facts) : undefined];
  const note = notes.filter((one) => one !== undefined).join('; ') || undefined;
  const deadlineTime = facts.kill?.sigkillTime.toISOString();
  return {
    decision: 'dump',
    containerName: facts.container.containerName,
    containerID,
    captureId,
    artifacts: wanted,
    expectedBytes: heapDump ? expectedDumpBytes(facts.container) : 0,
    ...(deadlineTime === undefined ? {} : { deadlineTime }),
    ...(deadlineTime === undefined && waitingReasons.has(facts.signal.reason)
      ? { mayWait: true }
      : {}),
    ...(note === undefined ? {} : { note }),
  };
}

function watchNote({ signal, policy, now }: DecisionFacts): string | undefined {
  const watch = watchOf(signal, policy, now);
  if (watch === undefined) return undefined;
  return `watched until ${watch.untilTime}, since its last life ended by ${watch.cause}`;
}

function skippedByAge(signal: Signal, now: Date): Skip | undefined {
  const ageSeconds = (now.getTime() - Date.parse(signal.observedTime)) / 1000;
  if (ageSeconds > maxAgeSeconds) {
    const message = `observed ${Math.round(ageSeconds)} s ago, accepted are at most ${maxAgeSeconds} s`;
    return skip('SignalTooOld', message);
  }
  if (ageSeconds < -maxAheadSeconds) {
    const message = `observed ${Math.round(-ageSeconds)} s in the future, accepted are at most ${maxAheadSeconds} s`;
    return skip('SignalTooOld', message);
  }
  return undefined;
}

function skippedBySignal(signal: Signal, policy: Policy): Skip | undefined {
  if (!policy.enabled) {
    return skip('PolicyDisabled', `the policy of ${signal.podName} says enabled: false`);
  }
  switch (signal.reason) {
    case 'StartupProbeFailing':
      return skip('StartupProbeFailing', 'a container that has not started yet is no trouble');
    case 'ReadinessProbeFailing':
      return skip('ReadinessProbeFailing', 'a failing readiness probe kills nothing');
    case 'ContainerTerminated':
    case 'PodEvicted':
    case 'LivenessProbeFailing':
    case 'ContainerKilling':
    case 'PodDeleting':
    case 'Manual':
    case 'GcLimitCrossed':
    case 'AlertFiring':
    case 'PreStop':
    case 'HeapNearLimit':
    case 'GcStorm':
    case 'CgroupNearLimit':
    case 'Scheduled':
      return undefined;
    default:
      return signal.reason satisfies never;
  }
}

function chosenContainer(signal: Signal, pod: PodFacts): ContainerFacts | Skip {
  if (signal.podUid !== undefined && signal.podUid !== pod.podUid) {
    const message = `pod ${signal.podName} was ${signal.podUid}, now it is ${pod.podUid}`;
    return skip('PodReplaced', message);
  }
  const names = pod.containers.map(({ containerName }) => containerName).join(', ');
  if (signal.containerName === undefined && pod.containers.length > 1) {
    const message = `pod ${pod.podName} has several containers, name one of ${names}`;
    return skip('ContainerAmbiguous', message);
  }
  const container = pod.containers.find(
    ({ containerName }) => containerName === (signal.containerName ?? containerName),
  );
  if (container !== undefined) return container;
  const message = `pod ${pod.podName} has no container ${signal.containerName ?? 'at all'}, it has: ${names}`;
  return skip('ContainerNotFound', message);
}

function skippedByIdentity(signal: Signal, container: ContainerFacts): Skip | undefined {
  const { containerID, startedTime } = container;
  if (signal.containerID !== undefined && signal.containerID !== containerID) {
    const message = `container ${container.containerName} was ${signal.containerID}, now it is ${containerID ?? 'not there'}`;
    return skip('ContainerRestarted', message);
  }
  if (startedTime !== undefined && Date.parse(startedTime) > Date.parse(signal.observedTime)) {
    const message = `container ${container.containerName} started at ${startedTime}, after ${signal.observedTime} when the trouble was observed`;
    return skip('ContainerRestarted', message);
  }
  return undefined;
}
