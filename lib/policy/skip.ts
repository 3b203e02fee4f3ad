/** Why a signal leads to no dump: a closed set, shown in logs, Events and metrics. */
export const skipReasons = [
  // the signal
  'SignalTooOld',
  'HeapAlreadyGone',
  'StartupProbeFailing',
  'ReadinessProbeFailing',
  // identity
  'PodNotFound',
  'PodReplaced',
  'ContainerNotFound',
  'ContainerAmbiguous',
  'ContainerRestarted',
  'ContainerNotRunning',
  // the policy
  'PolicyDisabled',
  'BelowFailureThreshold',
  'DeletedHealthy',
  'DeletionNotWanted',
  'LeftoversNotWanted',
  'EvidenceNotWanted',
  'TooLate',
  'TooFewReadyReplicas',
  // the workload's history; the words of a refused claim
  'AlreadyCaptured',
  'LockHeld',
  'Cooldown',
  'RateLimited',
] as const;
export type SkipReason = (typeof skipReasons)[number];

/** A normal answer: nothing is dumped, and this is why. The message holds names and numbers with units. */
export interface Skip {
  decision: 'skip';
  reason: SkipReason;
  message: string;
}

export function skip(reason: SkipReason, message: string): Skip {
  return { decision: 'skip', reason, message };
}
