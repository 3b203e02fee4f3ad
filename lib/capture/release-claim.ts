import type { CaptureRecord } from '../claim/capture-record.ts';
import type { ClaimStore } from '../claim/claim-store.ts';
import { objectKeysOf, ticketKey } from '../dump-index/object-keys.ts';
import { CaptureError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Clock, ObjectStore } from './ports.ts';

export interface ReleaseDeps {
  claims: ClaimStore;
  objects: ObjectStore;
  clock: Clock;
  logger: Logger;
  /** Unique to this run of the function. */
  finisherIdentity: string;
}

const releaseLeaseSeconds = 60;
const neverRan = { outcome: 'failed', agentNeverRan: true } as const;

/**
 * Gives back a claim of ours whose agent has certainly not run: lock, slots, cooldown and rate; drops upload and
 * ticket, in which nothing can be. There is no index entry: nothing was captured, and the caller is told.
 * Best effort: a claim that cannot be given back stays until its lease ends, then sweep does it.
 */
export async function releaseClaim(
  deps: ReleaseDeps,
  record: CaptureRecord,
  uploadId: string | undefined,
  reason: string,
): Promise<void> {
  const { captureId, fencingToken } = record;
  const { finisherIdentity } = deps;
  try {
    const begun = await deps.claims.beginFinish(captureId, fencingToken, {
      finisherIdentity,
      now: deps.clock(),
      leaseSeconds: releaseLeaseSeconds,
    });
    if (begun !== 'begun') return;
    if (uploadId !== undefined) await dropUpload(deps, record, uploadId);
    await deps.objects.deleteObject(ticketKey(captureId, fencingToken));
    const result = { finisherIdentity, reason: reason.slice(0, 1_000), now: deps.clock() };
    await deps.claims.finish(captureId, fencingToken, { ...neverRan, ...result });
  } catch (error) {
    deps.logger.warn('claim not given back, sweep will', { captureId, fencingToken, error });
  }
}

/** Aborts an upload in which nothing has arrived. */
export async function dropUpload(
  { objects }: Pick<ReleaseDeps, 'objects'>,
  record: CaptureRecord,
  uploadId: string,
): Promise<void> {
  await objects.abortMultipartUpload(objectKeysOf(record).heapDump, uploadId);
}

/**
 * Longer than a capture function takes to start an agent, or to give up (60 s), and clocks differ: a claim of this age
 * without a start belongs to a run that is dead. One that is only slow finds its claim lost before it starts anything.
 */
export const deadClaimSeconds = 90;

/**
 * Looks after the claim that made a signal `AlreadyCaptured`. One that a run took and then died before its
 * agent was started is given back, so that the retry of that run can claim again: its heap is still there, and
 * the lease would outlast it. The dead run's token is fenced off first.
 * @returns whether it was given back.
 * @throws CaptureError ClaimUnsettled (retryable) while it cannot be known whether that run is still at it.
 */
export async function releaseDeadClaim(deps: ReleaseDeps, captureId: string): Promise<boolean> {
  const record = await deps.claims.readCapture(captureId);
  if (record?.state !== 'claimed') return false;
  const ageSeconds = (deps.clock().getTime() - Date.parse(record.acquireTime)) / 1000;
  if (ageSeconds <= deadClaimSeconds) {
    throw new CaptureError(
      'ClaimUnsettled',
      `capture ${captureId} was claimed ${Math.round(ageSeconds)} s ago and has not started; whether its run is dead is known after ${deadClaimSeconds} s`,
      { retryable: true },
    );
  }
  const { fencingToken } = record;
  const { finisherIdentity } = deps;
  const now = deps.clock();
  // It may have come to life since it was read: a run that was only paused has an agent now.
  const right = { finisherIdentity, now, leaseSeconds: releaseLeaseSeconds, unlessStarted: true };
  if ((await deps.claims.beginFinish(captureId, fencingToken, right)) !== 'begun') return false;
  const reason = 'AgentNotStarted: the function ended between claim and start';
  const result = { finisherIdentity, reason, now };
  const freed = await deps.claims.finish(captureId, fencingToken, { ...neverRan, ...result });
  deps.logger.warn('claim of a dead run given back', { captureId, fencingToken, ageSeconds });
  return freed === 'finished';
}
