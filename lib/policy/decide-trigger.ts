import { judgeDeletion } from './decide-deletion.ts';
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
  if (!isDeletion(facts)) return undefined;
  const verdict = judgeDeletion(facts);
  return 'why' in verdict ? undefined : verdict;
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

/** The pressure for which the deletion of a pod is worth the dump that it leads to; `undefined` where something else led to it. */
export function deletionNote(facts: DecisionFacts): string | undefined {
  if (judgedBySender.has(facts.signal.reason) || !isDeletion(facts)) return undefined;
  const verdict = judgeDeletion(facts);
  return 'why' in verdict && verdict.pressure ? `deleted, and ${verdict.why}` : undefined;
}

/**
 * "Killing" is also said of each container of a deleted pod, and a preStop hook runs at a probe's kill as well; by hand it
 * can be run at any time.
 */
function isDeletion({ signal, pod }: DecisionFacts): boolean {
  const { reason, numbers } = signal;
  if (reason === 'LivenessProbeFailing') return false;
  if (reason === 'PodDeleting' || pod.deletionTime !== undefined) return true;
  return reason === 'PreStop' && (numbers.failureCount ?? 0) === 0;
}
