import { dumpSeconds, secondsLeft, startSeconds } from './decide-deadline.ts';
import type { DecisionFacts } from './decision-facts.ts';
import type { SignalReason } from '../signal/signal.ts';
import { skip, type Skip } from './skip.ts';
import { wantedFailureCount } from './watch.ts';

/** Whoever sends these has already judged that a dump is wanted, also of a pod that is being deleted. */
const judgedBySender: ReadonlySet<SignalReason> = new Set([
  'Manual',
  'GcLimitCrossed',
  'AlertFiring',
  'HeapNearLimit',
  'GcStorm',
  'CgroupNearLimit',
  'Scheduled',
]);

/** The triggers: `undefined` when the signal's own one fires. Reasons that have none are skipped before. */
export function skippedByTrigger(facts: DecisionFacts): Skip | undefined {
  const { reason } = facts.signal;
  if (judgedBySender.has(reason)) return undefined;
  if (reason === 'LivenessProbeFailing') return belowFailureThreshold(facts);
  // "Killing" is also said of each container of a deleted pod.
  const deleted = reason === 'PodDeleting' || facts.pod.deletionTime !== undefined;
  return deleted ? deletionUnwanted(facts) : undefined;
}

/**
 * Waits for the policy's number of failures, unless the next one could come too late: the agent could no longer
 * start in time, or the dump no longer end before SIGKILL.
 */
function belowFailureThreshold(facts: DecisionFacts): Skip | undefined {
  const { signal, policy, container, kill, now } = facts;
  const failureCount = signal.numbers.failureCount ?? 1;
  const wantedCount = wantedFailureCount(signal, policy, now);
  if (failureCount >= wantedCount) return undefined;
  const counted = `${failureCount} liveness failures of ${wantedCount}`;
  if (kill === undefined) {
    return skip('BelowFailureThreshold', `${counted}, and no kill is to be expected`);
  }
  const periodSeconds = container.livenessProbe?.periodSeconds ?? 0;
  const startLeft = secondsLeft(kill.lastStartTime ?? kill.sigkillTime, now) - periodSeconds;
  const dumpLeft = secondsLeft(kill.sigkillTime, now) - periodSeconds;
  const needed = dumpSeconds(facts);
  if (startLeft < startSeconds(policy) || dumpLeft < needed) return undefined;
  const message = `${counted}; after the next one ${Math.floor(dumpLeft)} s are left for a dump of ${Math.ceil(needed)} s`;
  return skip('BelowFailureThreshold', message);
}

/** A pod or container that is not ready, or whose probe was failing, is unhealthy. */
function deletionUnwanted({ signal, policy, pod, container }: DecisionFacts): Skip | undefined {
  const mode = policy.triggers.podDeletion;
  if (mode === 'always') return undefined;
  if (mode === 'never') {
    return skip('DeletionNotWanted', `the policy of ${pod.podName} wants no dump at a deletion`);
  }
  const failing = (signal.numbers.failureCount ?? 0) > 0;
  if (failing || !pod.ready || !container.ready) return undefined;
  const message = `pod ${pod.podName} is deleted while it is ready: a rollout or a scaling, not trouble`;
  return skip('DeletedHealthy', message);
}
