import type { DecisionFacts, DecisionInput, KillFacts } from './decision-facts.ts';
import { estimateDumpSeconds, estimateStartSeconds, expectedKill } from './deadline.ts';
import type { ContainerFacts, PodFacts } from './pod-facts.ts';
import type { Policy } from './policy.ts';
import { skip, type Skip } from './skip.ts';

export function secondsLeft(time: Date, now: Date): number {
  return (time.getTime() - now.getTime()) / 1000;
}

/**
 * The kill as it stands now: from the pod's facts, else what the signal expects. A kill that was only expected and whose
 * time has passed did not come, for the container still runs: the count of failures was an upper bound.
 */
export function killOf(
  { signal, policy, now }: DecisionInput,
  pod: PodFacts,
  container: ContainerFacts,
): KillFacts | undefined {
  const begun =
    pod.deletionTime !== undefined ||
    signal.reason === 'ContainerKilling' ||
    signal.reason === 'PodDeleting';
  const { reason, observedTime, numbers } = signal;
  const expected = expectedKill(pod, container, {
    reason,
    observedTime,
    failureCount: numbers.failureCount,
  });
  const sigkill = expected?.sigkillTime ?? parsedTime(signal.expectedKillTime);
  if (sigkill === undefined || (!begun && sigkill.getTime() <= now.getTime())) return undefined;
  if (expected === undefined) return { sigkillTime: sigkill, begun };
  const lastStartTime = onlyEphemeral(policy) ? expected.beginTime : expected.sigtermTime;
  return { sigkillTime: sigkill, lastStartTime, begun };
}

function parsedTime(time: string | undefined): Date | undefined {
  return time === undefined ? undefined : new Date(time);
}

function onlyEphemeral(policy: Policy): boolean {
  return policy.rungs.every((rung) => rung === 'ephemeralContainer');
}

/** Of the quickest rung that the policy allows; which one is taken is planned later. */
export function startSeconds(policy: Policy): number {
  return Math.min(...policy.rungs.map(estimateStartSeconds));
}

/** From now to the end of the heap dump, on the quickest rung that the policy allows. */
export function dumpSeconds({ policy, container }: DecisionFacts): number {
  return Math.min(...policy.rungs.map((rung) => estimateDumpSeconds(container, rung)));
}

/**
 * Nothing useful can finish: SIGKILL comes before an agent could ask the JVM anything, or the kill has begun and only
 * an ephemeral container is allowed, which the kubelet starts no more.
 */
export function tooLate({ policy, kill, now, pod }: DecisionFacts): Skip | undefined {
  if (kill === undefined) return undefined;
  if (kill.begun && onlyEphemeral(policy)) {
    const message = `the kubelet is killing ${pod.podName} and starts no ephemeral container any more, and the policy allows no other rung`;
    return skip('TooLate', message);
  }
  const left = secondsLeft(kill.sigkillTime, now);
  const needed = startSeconds(policy);
  if (left >= needed) return undefined;
  const message = `the kill of ${pod.podName} is ${Math.floor(left)} s away, an agent needs ${needed} s to reach its JVM`;
  return skip('TooLate', message);
}

/** Said with a dump whose time is short: the pod dies anyway, and what arrives is salvaged. */
export function heapDumpNote(facts: DecisionFacts): string | undefined {
  if (facts.kill === undefined) return undefined;
  const left = secondsLeft(facts.kill.sigkillTime, facts.now);
  const needed = dumpSeconds(facts);
  if (left >= needed) return undefined;
  return `${Math.floor(left)} s are left and the heap dump may need ${Math.ceil(needed)} s: it may be cut and salvaged`;
}
