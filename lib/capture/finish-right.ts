import type { CaptureOutcome, CaptureRecord } from '../claim/capture-record.ts';
import type { ClaimStore } from '../claim/claim-store.ts';
import type { Clock } from './ports.ts';

export interface FinishRightDeps {
  claims: ClaimStore;
  clock: Clock;
  /** Unique to this run of the function: who holds the right to finish. */
  finisherIdentity: string;
  /** Milliseconds until the function is stopped. */
  remainingMillis: () => number;
}

/** How a capture ends, by what was found of it. */
export interface Settlement {
  outcome: CaptureOutcome;
  reason?: string;
  /** The JVM still writes its dump, as ClaimStore.finish has it. */
  dumpGoesOn?: true;
}

/** Beyond the function's own end, so that no second finisher begins while the first can still write. */
const finishLeaseMarginSeconds = 15;

/**
 * Takes the right to finish a capture, settles it, and frees the lock: in this order, so that a crash at any point
 * leaves the lock to a later run. The token that was found is proven before anything is settled, and the right again
 * with the end.
 * @param settle stores what there is. It can be run twice: by whoever takes the right over from a run that died.
 * @throws CaptureError ClaimStoreUnavailable (retryable), and whatever `settle` throws.
 */
export async function finishWithRight<T extends Settlement>(
  { claims, clock, finisherIdentity, remainingMillis }: FinishRightDeps,
  { captureId, fencingToken }: Pick<CaptureRecord, 'captureId' | 'fencingToken'>,
  settle: (record: CaptureRecord) => Promise<T>,
): Promise<{ outcome: 'concluded'; settled: T } | { outcome: 'busy' | 'finished' | 'stale' }> {
  const begun = await claims.beginFinish(captureId, fencingToken, {
    finisherIdentity,
    now: clock(),
    leaseSeconds: Math.ceil(remainingMillis() / 1000) + finishLeaseMarginSeconds,
  });
  if (begun !== 'begun') return { outcome: begun };
  // From here on nobody else changes it; what was found may come from an index that lags behind.
  const record = await claims.readCapture(captureId);
  if (record?.fencingToken !== fencingToken) return { outcome: 'stale' };
  const settled = await settle(record);
  const { outcome, reason, dumpGoesOn } = settled;
  const freed = await claims.finish(captureId, fencingToken, {
    finisherIdentity,
    outcome,
    ...(reason === undefined ? {} : { reason }),
    ...(dumpGoesOn && { dumpGoesOn }),
    now: clock(),
  });
  return freed === 'stale' ? { outcome: 'stale' } : { outcome: 'concluded', settled };
}
