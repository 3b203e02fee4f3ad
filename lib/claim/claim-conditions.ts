import type { ClaimRefusal } from './claim-store.ts';
import type { CaptureItem, LockItem } from './claim-items.ts';
import { ttlAttribute } from './claim-items.ts';
import type { Condition, Item } from './condition.ts';
import { above, absent, all, any, atMost, equal, holds } from './condition.ts';
import { ratePeriodSeconds } from './lease.ts';

/** What a claim asks of the limits. */
export interface LimitsAsked {
  nowMillis: number;
  dumpsPerHourCount: number;
}

const itemIsAbsent = absent('pk');
const isHeldByNobody = absent('holderIdentity');
/** At the very millisecond of its end a lease is over; listOverdue counts the same way. */
const leaseHasExpired = (nowMillis: number): Condition => atMost('leaseExpireMillis', nowMillis);
const leaseIsAlive = (nowMillis: number): Condition => above('leaseExpireMillis', nowMillis);

/** Nobody holds the lock, or whoever does has outlived the lease. */
export const lockIsFree = (nowMillis: number): Condition =>
  any(itemIsAbsent, isHeldByNobody, leaseHasExpired(nowMillis));

export const cooldownIsOver = (nowMillis: number): Condition =>
  any(absent('cooldownUntilMillis'), atMost('cooldownUntilMillis', nowMillis));

/**
 * The newest acquisition stands first, so the n-th newest tells whether n fall into the last hour: if it
 * is an hour old, there are fewer. One that is exactly an hour old counts no more.
 */
export const rateHasRoom = ({ nowMillis, dumpsPerHourCount }: LimitsAsked): Condition =>
  any(
    absent('acquireMillis', dumpsPerHourCount - 1),
    atMost('acquireMillis', nowMillis - ratePeriodSeconds * 1_000, dumpsPerHourCount - 1),
  );

/**
 * The lock has not moved since it was read: an acquisition moves the token, a release the holder, an
 * attempt that is given back to the rate the list. Nothing else ever changes, so who writes the whole
 * item under this condition undoes nobody's work.
 */
export const lockIsAsRead = (lock: LockItem | undefined): Condition =>
  lock === undefined
    ? itemIsAbsent
    : all(
        equal('fencingToken', lock.fencingToken),
        equal('acquireMillis', lock.acquireMillis),
        asReadAttribute('holderIdentity', lock.holderIdentity),
      );

/** What the lock must be for a claim to be written. */
export type LockCondition = (
  lock: LockItem | undefined,
  asked: LimitsAsked,
) => Condition | undefined;

export const lockMayBeTaken: LockCondition = (lock, asked) =>
  all(
    lockIsAsRead(lock),
    lockIsFree(asked.nowMillis),
    cooldownIsOver(asked.nowMillis),
    rateHasRoom(asked),
  );

/** Why a lock cannot be taken, by the same clauses; `undefined` when it can. */
export function lockRefusal(
  lock: LockItem | undefined,
  asked: LimitsAsked,
): { reason: ClaimRefusal; holderIdentity?: string; untilMillis?: number } | undefined {
  if (lock === undefined) return undefined;
  if (!holds(lockIsFree(asked.nowMillis), lock)) {
    return {
      reason: 'LockHeld',
      ...(lock.holderIdentity === undefined ? {} : { holderIdentity: lock.holderIdentity }),
      ...(lock.leaseExpireMillis === undefined ? {} : { untilMillis: lock.leaseExpireMillis }),
    };
  }
  if (!holds(cooldownIsOver(asked.nowMillis), lock)) {
    const untilMillis = lock.cooldownUntilMillis;
    return { reason: 'Cooldown', ...(untilMillis === undefined ? {} : { untilMillis }) };
  }
  if (!holds(rateHasRoom(asked), lock)) {
    const oldest = lock.acquireMillis[asked.dumpsPerHourCount - 1] ?? asked.nowMillis;
    return { reason: 'RateLimited', untilMillis: oldest + ratePeriodSeconds * 1_000 };
  }
  return undefined;
}

export const slotIsFree = (nowMillis: number): Condition =>
  any(itemIsAbsent, leaseHasExpired(nowMillis));

/** Lock or slot: still held by this capture, under this token. */
export const isHeldBy = (captureId: string, fencingToken: number): Condition =>
  all(equal('holderIdentity', captureId), equal('fencingToken', fencingToken));

/** The proof before an agent is started: the lock is ours, and for some time yet. */
export const lockIsOursAndAlive = (
  captureId: string,
  fencingToken: number,
  nowMillis: number,
): Condition => all(isHeldBy(captureId, fencingToken), leaseIsAlive(nowMillis));

/** There is no record of this capture, or one whose time is over though it is not deleted yet. */
export const captureIsUnknown = (nowMillis: number): Condition =>
  any(itemIsAbsent, atMost(ttlAttribute, Math.floor(nowMillis / 1_000)));

/** The record has not moved since it was read: token, state and finisher are all that ever changes in it. */
export const captureIsAsRead = (capture: CaptureItem): Condition =>
  all(
    equal('fencingToken', capture.fencingToken),
    equal('state', capture.state),
    asReadAttribute('finisherIdentity', capture.finisherIdentity),
    asReadAttribute('finisherLeaseExpireMillis', capture.finisherLeaseExpireMillis),
  );

function asReadAttribute(attribute: string, value: Item[string]): Condition {
  return value === undefined ? absent(attribute) : equal(attribute, value);
}
