import { describe, expect, it } from '@jest/globals';
import {
  captureIsUnknown,
  cooldownIsOver,
  lockIsAsRead,
  lockIsFree,
  lockMayBeTaken,
  lockRefusal,
  rateHasRoom,
  slotIsFree,
} from '../../lib/claim/claim-conditions.ts';
import { lockFrom, type LockItem } from '../../lib/claim/claim-items.ts';
import { holds } from '../../lib/claim/condition.ts';

const hourMillis = 3_600_000;
const nowMillis = 100 * hourMillis;
const asked = { nowMillis, dumpsPerHourCount: 2 };
const free: LockItem = {
  pk: 'lock#a',
  fencingToken: 7,
  acquireMillis: [],
  expireTimeEpochSeconds: 1,
};
const held = (leaseExpireMillis: number): LockItem => ({
  ...free,
  holderIdentity: 'other',
  leaseExpireMillis,
});

describe('the conditions of a claim', () => {
  it('count a lock as free when it is absent, released, or at the end of its lease', () => {
    const isFree = lockIsFree(nowMillis);

    expect(holds(isFree, undefined)).toBe(true);
    expect(holds(isFree, free)).toBe(true);
    expect(holds(isFree, held(nowMillis))).toBe(true);
    expect(holds(isFree, held(nowMillis + 1))).toBe(false);
    expect(holds(slotIsFree(nowMillis), held(nowMillis + 1))).toBe(false);
  });

  it('count a cooldown as over in its last millisecond', () => {
    expect(holds(cooldownIsOver(nowMillis), free)).toBe(true);
    expect(holds(cooldownIsOver(nowMillis), { ...free, cooldownUntilMillis: nowMillis })).toBe(
      true,
    );
    expect(holds(cooldownIsOver(nowMillis), { ...free, cooldownUntilMillis: nowMillis + 1 })).toBe(
      false,
    );
  });

  it('count acquisitions into the rate for one hour', () => {
    const within = nowMillis - hourMillis + 1;
    const room = (...acquireMillis: number[]) =>
      holds(rateHasRoom(asked), { ...free, acquireMillis });

    expect(room()).toBe(true);
    expect(room(nowMillis)).toBe(true);
    expect(room(nowMillis, within)).toBe(false);
    expect(room(nowMillis, within - 1)).toBe(true);
    expect(room(nowMillis, within, within)).toBe(false);
  });

  it('see every change that another writer can make to a lock', () => {
    const read = { ...held(5), acquireMillis: [3, 2] };

    expect(holds(lockIsAsRead(read), read)).toBe(true);
    expect(holds(lockIsAsRead(read), { ...read, fencingToken: 8 })).toBe(false);
    expect(holds(lockIsAsRead(read), { ...read, acquireMillis: [3] })).toBe(false);
    expect(holds(lockIsAsRead(read), { ...read, holderIdentity: undefined })).toBe(false);
    expect(holds(lockIsAsRead(read), undefined)).toBe(false);
    expect(holds(lockIsAsRead(undefined), read)).toBe(false);
  });

  it('refuse by the same clauses, the lock before the cooldown before the rate', () => {
    const rated = { acquireMillis: [nowMillis - 1, nowMillis - 2] };
    const cooling = { ...rated, cooldownUntilMillis: nowMillis + 5 };

    expect(lockRefusal({ ...held(nowMillis + 9), ...cooling }, asked)).toEqual({
      reason: 'LockHeld',
      holderIdentity: 'other',
      untilMillis: nowMillis + 9,
    });
    expect(lockRefusal({ ...free, ...cooling }, asked)).toEqual({
      reason: 'Cooldown',
      untilMillis: nowMillis + 5,
    });
    expect(lockRefusal({ ...free, ...rated }, asked)).toEqual({
      reason: 'RateLimited',
      untilMillis: nowMillis - 2 + hourMillis,
    });
    expect(lockRefusal(free, asked)).toBeUndefined();
    expect(lockRefusal(undefined, asked)).toBeUndefined();
  });

  it('hold together for a lock exactly when nothing refuses it', () => {
    const locks: (LockItem | undefined)[] = [
      undefined,
      free,
      held(nowMillis),
      held(nowMillis + 1),
      { ...free, cooldownUntilMillis: nowMillis + 1 },
      { ...free, acquireMillis: [nowMillis, nowMillis] },
    ];

    for (const lock of locks) {
      expect(holds(lockMayBeTaken(lock, asked)!, lock)).toBe(
        lockRefusal(lock, asked) === undefined,
      );
    }
  });

  it('count a record as unknown from the second in which its time is over', () => {
    const record = { pk: 'capture#a', expireTimeEpochSeconds: 360_000 };

    expect(holds(captureIsUnknown(360_000_000), record)).toBe(true);
    expect(holds(captureIsUnknown(359_999_999), record)).toBe(false);
    expect(holds(captureIsUnknown(0), undefined)).toBe(true);
  });
});

describe('an item that is not ours', () => {
  it('is a fault that names it and what is wrong', () => {
    expect(() => lockFrom({ pk: 'lock#a', fencingToken: 'seven' })).toThrow(
      expect.objectContaining({
        code: 'ClaimStoreUnavailable',
        retryable: false,
        message: expect.stringMatching(/lock#a.*fencingToken/) as unknown,
      }),
    );
  });
});
