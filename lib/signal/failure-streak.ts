import type { ContainerFacts, ProbeFacts } from '../policy/pod-facts.ts';
import type { KubernetesEvent } from './kubernetes-event.ts';

/** Liveness failures in a row of one container's life, as they were last seen. */
export interface FailureStreak {
  containerID: string;
  eventUid: string;
  eventCount: number;
  failureCount: number;
  /** RFC 3339, of the last failure. */
  lastTime: string;
}

/**
 * How many failures in a row an Event stands for. Its `count` does not say: it counts equal messages over the whole life
 * of the Event object, through successes and restarts, and a failure with another message is another Event.
 *
 * With the streak before it, spacing tells: the kubelet probes once a period, so failures without a success between
 * them are a period apart, and less than one and a half (or a period and a timeout). A gap ends the streak.
 * Without it, the count is an upper bound, and so are the probes that fit into the container's life and the failureThreshold,
 * at which it would have been killed: too many failures bring a dump too early, too few lose the heap.
 * The kubelet's recorder lets 25 Events of one object through, then one in 5 minutes: the bounds are all that is left then.
 */
export function nextFailureStreak(
  event: KubernetesEvent,
  container: ContainerFacts,
  previous?: FailureStreak,
): FailureStreak {
  const probe = container.livenessProbe;
  const containerID = container.containerID ?? '';
  const next = { containerID, eventUid: event.eventUid, eventCount: event.count };
  const known = previous?.containerID === containerID ? previous : undefined;
  if (known !== undefined && Date.parse(event.lastTime) <= Date.parse(known.lastTime)) return known;
  const failureCount =
    known !== undefined && probe !== undefined
      ? afterKnown(event, probe, known)
      : Math.min(event.count, fittingCount(event, container));
  return {
    ...next,
    failureCount: Math.min(failureCount, probe?.failureThreshold ?? failureCount),
    lastTime: event.lastTime,
  };
}

function afterKnown(event: KubernetesEvent, probe: ProbeFacts, known: FailureStreak): number {
  const sameEvent = event.eventUid === known.eventUid && event.count > known.eventCount;
  const newCount = sameEvent ? event.count - known.eventCount : 1;
  const gapSeconds = (Date.parse(event.lastTime) - Date.parse(known.lastTime)) / 1000;
  // A probe that runs into a timeout longer than its period holds up the next one.
  const spacingSeconds = Math.max(probe.periodSeconds, probe.timeoutSeconds);
  const slackSeconds = Math.max(spacingSeconds / 2, probe.timeoutSeconds);
  // Half a second for times that the API cuts to whole seconds.
  const unbroken = gapSeconds <= newCount * spacingSeconds + slackSeconds + 0.5;
  return unbroken ? known.failureCount + newCount : newCount;
}

/** Probes that fit between the container's start and the failure. */
function fittingCount(event: KubernetesEvent, container: ContainerFacts): number {
  const { startedTime, livenessProbe } = container;
  if (startedTime === undefined || livenessProbe === undefined) return event.count;
  const lifeSeconds = (Date.parse(event.lastTime) - Date.parse(startedTime)) / 1000;
  return Math.max(1, Math.floor(lifeSeconds / livenessProbe.periodSeconds) + 1);
}
