import { expectedKill } from '../policy/deadline.ts';
import { judgeEnd } from '../policy/end-of-life.ts';
import type { ContainerFacts, PodFacts } from '../policy/pod-facts.ts';
import { nextFailureStreak, type FailureStreak } from './failure-streak.ts';
import type { KubernetesEvent } from './kubernetes-event.ts';
import type { Signal, SignalReason } from './signal.ts';

/** Why an Event or a change says nothing: a closed set, for metrics. */
export const ignoredReasons = [
  'NotAboutAPod',
  'ReasonOfNoInterest',
  'PodUnknown',
  'PodReplaced',
  'ContainerUnknown',
  'ContainerRestarted',
] as const;
export type IgnoredReason = (typeof ignoredReasons)[number];

export type EventReading =
  | {
      signal: Signal;
      /** Of a failing liveness probe; given back with the container's next Event, it makes the count exact. */
      streak?: FailureStreak;
    }
  | { ignored: IgnoredReason };

/**
 * What an Event of the kubelet says about a container, with the facts of its pod as they are known now.
 * `ignored` when it is about something else, about a pod that was replaced (another uid), or about a container that has
 * been started again since: Events outlive what they tell of.
 * @param pod `undefined` when it is not known: PodUnknown.
 * @param previousStreak of the same container; without it failureCount is an upper bound (see nextFailureStreak).
 */
export function signalFromKubernetesEvent(
  event: KubernetesEvent,
  pod: PodFacts | undefined,
  clusterName: string,
  previousStreak?: FailureStreak,
): EventReading {
  if (event.regarding.kind !== 'Pod') return { ignored: 'NotAboutAPod' };
  const reason = reasonOf(event);
  if (reason === undefined) return { ignored: 'ReasonOfNoInterest' };
  if (pod === undefined) return { ignored: 'PodUnknown' };
  const { uid } = event.regarding;
  if (uid !== undefined && uid !== pod.podUid) return { ignored: 'PodReplaced' };
  const container = containerOf(event, pod);
  if (container === undefined) return { ignored: 'ContainerUnknown' };
  if (restartedSince(event, container)) return { ignored: 'ContainerRestarted' };

  const streak =
    reason === 'LivenessProbeFailing'
      ? nextFailureStreak(event, container, previousStreak)
      : undefined;
  const signal = signalOf({
    pod,
    container,
    clusterName,
    reason,
    observedTime: event.lastTime,
    numbers: numbersOf(event, reason, container, streak),
  });
  return streak === undefined ? { signal } : { signal, streak };
}

/**
 * Messages as the kubelet writes them: `<Kind> probe failed: …` (prober.go), `Container app failed startup probe, will be
 * restarted`, `Stopping container app` (kuberuntime_container.go). `<Kind> probe errored…` is of no interest: the kubelet
 * throws such a result away. Seen on 1.34: 7 errors in 18 s at failureThreshold 4, and no kill.
 */
function reasonOf({ reason, message }: KubernetesEvent): SignalReason | undefined {
  if (reason === 'Killing') {
    return failedStartup.test(message) ? 'StartupProbeFailing' : 'ContainerKilling';
  }
  if (reason !== 'Unhealthy') return undefined;
  const probe = /^(Liveness|Readiness|Startup) probe failed/.exec(message)?.[1];
  return probe === undefined ? undefined : probeReasons.get(probe);
}

const probeReasons: ReadonlyMap<string, SignalReason> = new Map([
  ['Liveness', 'LivenessProbeFailing'],
  ['Readiness', 'ReadinessProbeFailing'],
  ['Startup', 'StartupProbeFailing'],
]);
const failedStartup = /^Container \S+ failed startup probe/;
const failedLiveness = /^Container \S+ failed liveness probe/;

function containerOf(event: KubernetesEvent, pod: PodFacts): ContainerFacts | undefined {
  const { containerName } = event.regarding;
  if (containerName === undefined) {
    return pod.containers.length === 1 ? pod.containers[0] : undefined;
  }
  return pod.containers.find((container) => container.containerName === containerName);
}

/**
 * Times are whole seconds, and a container can be killed and started again within one: of an equal second, what a
 * restarted container is told to have done was done by the one before it.
 */
function restartedSince(event: KubernetesEvent, container: ContainerFacts): boolean {
  if (container.startedTime === undefined) return false;
  const ageMilliseconds = Date.parse(event.lastTime) - Date.parse(container.startedTime);
  return ageMilliseconds < 0 || (ageMilliseconds < 1_000 && container.restartCount > 0);
}

function numbersOf(
  event: KubernetesEvent,
  reason: SignalReason,
  container: ContainerFacts,
  streak: FailureStreak | undefined,
): Signal['numbers'] {
  const failureThreshold = container.livenessProbe?.failureThreshold;
  const numbers = { restartCount: container.restartCount };
  if (streak !== undefined) {
    return {
      ...numbers,
      failureCount: streak.failureCount,
      ...(failureThreshold === undefined ? {} : { failureThreshold }),
    };
  }
  const killedByLiveness = reason === 'ContainerKilling' && failedLiveness.test(event.message);
  return killedByLiveness && failureThreshold !== undefined
    ? { ...numbers, failureCount: failureThreshold, failureThreshold }
    : numbers;
}

/**
 * What the change of a pod's facts says: a deletion that began (PodDeleting, one for each running container), an eviction
 * (PodEvicted, one for each container) and containers that ended (ContainerTerminated, with exit code). A pod that is seen for the first time can be found being deleted, but
 * its past terminations are no news. Another uid is another pod.
 * @param observedTime RFC 3339; a termination has its own time where the kubelet gave one.
 */
export function signalFromPodChange(
  previous: PodFacts | undefined,
  current: PodFacts,
  observedTime: string,
): Signal[] {
  const before = previous?.podUid === current.podUid ? previous : undefined;
  return [
    ...deletions(before, current, observedTime),
    ...evictions(before, current, observedTime),
    ...current.containers.flatMap((container) => {
      const earlier = before?.containers.find(
        ({ containerName }) => containerName === container.containerName,
      );
      return earlier === undefined ? [] : terminations(current, earlier, container, observedTime);
    }),
  ];
}

/** A pod that was evicted before it was first seen is no news: such pods stay until somebody removes them. */
function evictions(
  before: PodFacts | undefined,
  pod: PodFacts,
  observedTime: string,
): readonly Signal[] {
  const { eviction } = pod;
  if (eviction === undefined || before === undefined || before.eviction !== undefined) return [];
  return pod.containers.map((container) => {
    const { restartCount, lastTermination } = container;
    const numbers = {
      restartCount,
      ...(lastTermination === undefined ? {} : { exitCode: lastTermination.exitCode }),
    };
    const { clusterName } = pod;
    const evictionMessage = eviction.message;
    const verdict = judgeEnd({ reason: 'Evicted', evictionMessage });
    return {
      ...signalOf({ pod, container, clusterName, reason: 'PodEvicted', observedTime, numbers }),
      ending: { ...verdict, evictionMessage },
    };
  });
}

function deletions(
  before: PodFacts | undefined,
  pod: PodFacts,
  observedTime: string,
): readonly Signal[] {
  if (pod.deletionTime === undefined || before?.deletionTime !== undefined) return [];
  const gracePeriodSeconds = pod.deletionGracePeriodSeconds ?? pod.terminationGracePeriodSeconds;
  return pod.containers
    .filter((container) => container.running)
    .map((container) =>
      signalOf({
        pod,
        container,
        clusterName: pod.clusterName,
        reason: 'PodDeleting',
        observedTime,
        numbers: { restartCount: container.restartCount, gracePeriodSeconds },
      }),
    );
}

/**
 * One for each end: a status first shows how it ended, and a moment later the same end with a higher restartCount. And
 * one more when the next life begins after a rest (CrashLoopBackOff), since what the old one left is reached from there.
 */
function terminations(
  pod: PodFacts,
  earlier: ContainerFacts,
  container: ContainerFacts,
  observedTime: string,
): readonly Signal[] {
  const { lastTermination } = container;
  const restarted = container.restartCount > earlier.restartCount;
  const ended =
    lastTermination === undefined
      ? restarted
      : lastTermination.finishedTime !== earlier.lastTermination?.finishedTime ||
        lastTermination.exitCode !== earlier.lastTermination?.exitCode;
  const runsAgain = lastTermination !== undefined && container.running && !earlier.running;
  if (!ended && !runsAgain) return [];
  const numbers = {
    restartCount: container.restartCount,
    ...(lastTermination === undefined ? {} : { exitCode: lastTermination.exitCode }),
  };
  const signal = signalOf({
    pod,
    // The one that ended, not the one that runs in its place.
    container: earlier,
    clusterName: pod.clusterName,
    reason: 'ContainerTerminated',
    observedTime: lastTermination?.finishedTime ?? observedTime,
    numbers,
  });
  return [signal];
}

function signalOf(of: {
  pod: PodFacts;
  container: ContainerFacts;
  clusterName: string;
  reason: SignalReason;
  observedTime: string;
  numbers: Signal['numbers'];
}): Signal {
  const { pod, container, reason, observedTime, numbers } = of;
  const { failureCount } = numbers;
  const kill = expectedKill(pod, container, { reason, observedTime, failureCount });
  return {
    schemaVersion: 1,
    clusterName: of.clusterName,
    namespace: pod.namespace,
    podName: pod.podName,
    podUid: pod.podUid,
    containerName: container.containerName,
    ...(container.containerID === undefined ? {} : { containerID: container.containerID }),
    ...(pod.nodeName === undefined ? {} : { nodeName: pod.nodeName }),
    reason,
    observedTime,
    ...(kill === undefined ? {} : { expectedKillTime: kill.sigkillTime.toISOString() }),
    numbers,
  };
}
