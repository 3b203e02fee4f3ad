import type { CaptureOutcome, CaptureRecord, CaptureStart } from './capture-record.ts';

/** Why a claim was refused. Normal answers, never errors. */
export const claimRefusals = [
  'LockHeld',
  'Cooldown',
  'RateLimited',
  'NodeBusy',
  'ClusterBusy',
  'AlreadyCaptured',
] as const;
export type ClaimRefusal = (typeof claimRefusals)[number];

export type ClaimResult =
  | { outcome: 'acquired'; record: CaptureRecord }
  | {
      outcome: 'refused';
      reason: ClaimRefusal;
      /** captureId of the holder, where one is known. */
      holderIdentity?: string;
      /** RFC 3339, earliest time at which a new try can succeed, where it is known. */
      untilTime?: string;
    };

/**
 * What is asked for: the record to be, without what the claim itself hands out. `lockKey` comes from
 * lockKeyOf, the three times from leaseTimes; the slot counts stand in the policy.
 */
export interface ClaimRequest extends Omit<
  CaptureRecord,
  'fencingToken' | 'state' | 'slotKeys' | 'started' | 'finished'
> {
  /**
   * Random, made once an invocation, so that a request whose outcome stayed unknown can be asked again
   * and recognises its own claim. Without it such a repeat answers `AlreadyCaptured`.
   */
  claimNonce?: string;
}

/** What the workload's lock item says: the history that decide() looks at. */
export interface WorkloadHistory {
  holderIdentity?: string;
  leaseExpireTime?: string;
  cooldownUntilTime?: string;
  /** RFC 3339, acquisitions that count into the rate, oldest first, at most 60. */
  acquireTimes: readonly string[];
}

/**
 * Port to the claim table. Times are passed in: the store reads no clock. What a clock that is wrong
 * does is told in lease.ts.
 * Expired items count as absent even while DynamoDB has not deleted them yet.
 * @throws CaptureError ClaimStoreUnavailable, retryable: nothing was written, or the outcome is unknown.
 *   Every method may be asked again with the same arguments. Not retryable: the table refused us (rights,
 *   no such table) or holds an item that is not ours.
 */
export interface ClaimStore {
  /** As stored, whatever the time is now: a lease or a cooldown in it may have ended. */
  readHistory(lockKey: string): Promise<WorkloadHistory>;
  /**
   * One atomic conditional write: lock (lease, cooldown, rate), capture record, node slot, cluster slot.
   * Now is `acquireTime`. When several refusals apply, the first in this order is answered:
   * AlreadyCaptured, LockHeld, Cooldown, RateLimited, NodeBusy, ClusterBusy.
   * A captureId whose last attempt failed before an agent ran may be claimed again, three times in all.
   * A claim that did take effect answers `acquired` again only to the request that wrote it (same
   * acquireTime and claimNonce, capture still `claimed`), and `AlreadyCaptured` to any other.
   * @throws CaptureError InvalidConfiguration: the lease does not outlive the capture's deadline by
   *   leaseSkewMarginSeconds, or the record is over 200,000 bytes.
   */
  tryAcquire(request: ClaimRequest): Promise<ClaimResult>;
  /** Without a clock: a record that is past its 30 days is shown until it is really deleted. */
  readCapture(captureId: string): Promise<CaptureRecord | undefined>;
  /**
   * claimed → started. Now is `started.startTime`. `false` when the lock is no longer ours, its lease has
   * ended, or the capture is being finished: the caller must start nothing. The same again is `true`; another start is
   * only where it names the rung on record as refused, and has the same upload.
   */
  markStarted(captureId: string, fencingToken: number, started: CaptureStart): Promise<boolean>;
  /**
   * Takes the right to finish a capture, for leaseSeconds (1..3600; longer than the finisher's own timeout).
   * `busy`: another finisher holds it now; `finished`: it has ended already; `stale`: unknown capture or
   * wrong token. The same finisherIdentity again is `begun` and starts its lease anew.
   * With `unlessStarted` a capture that was marked as started is `busy` as well: its run lives, an agent may be at work.
   */
  beginFinish(
    captureId: string,
    fencingToken: number,
    options: {
      finisherIdentity: string;
      now: Date;
      leaseSeconds: number;
      unlessStarted?: boolean;
    },
  ): Promise<'begun' | 'busy' | 'finished' | 'stale'>;
  /**
   * Writes the terminal state and, in the same transaction, frees lock and slots (but see dumpGoesOn), each only where it is
   * still held by this token. Needs the right that beginFinish gave to this finisherIdentity: without it,
   * or when another has taken it over, `stale`. The same again is `finished` and keeps the first outcome.
   * The cooldown runs from `now`. Outcome `failed` gives the cooldown and the rate back: an attempt that
   * saved nothing consumes no limit.
   */
  finish(
    captureId: string,
    fencingToken: number,
    result: {
      finisherIdentity: string;
      outcome: CaptureOutcome;
      /** At most 1,000 characters are kept. */
      reason?: string;
      now: Date;
      /**
       * With outcome `failed`: no agent ran and none of it can appear later, though markStarted was called.
       * Lets the same captureId be claimed again.
       */
      agentNeverRan?: boolean;
      /**
       * The JVM goes on dumping though the capture has ended: lock and slots stay held for as long as such a dump can last
       * (overrunSeconds), and no longer than until the lease's end. Nobody has to free them then.
       */
      dumpGoesOn?: boolean;
    },
  ): Promise<'finished' | 'stale'>;
  /** Captures in a non-terminal state whose lease has ended, oldest lease first, at most `limit` (1..100). */
  listOverdue(now: Date, limit: number): Promise<readonly CaptureRecord[]>;
  /**
   * Captures in state `started` whose lease has not ended, the one that ends first at the head, of at most `limit`
   * (1..100) that are open. As with listOverdue the answer can lag behind.
   */
  listRunning(now: Date, limit: number): Promise<readonly CaptureRecord[]>;
}
