import { tryAcquire } from './acquire.ts';
import { lockMayBeTaken, type LockCondition } from './claim-conditions.ts';
import {
  captureFrom,
  lockFrom,
  recordOf,
  unlessExpired,
  type CaptureItem,
  type LockItem,
} from './claim-items.ts';
import { captureItemKey, lockItemKey } from './claim-keys.ts';
import type { ClaimStore, WorkloadHistory } from './claim-store.ts';
import { beginFinish, finish, markStarted } from './finish.ts';
import type { ItemTable } from './item-table.ts';

const maxListedCount = 100;

export interface ClaimStoreOptions {
  /** Text that no other call ever gives, for requests that bring no claimNonce. */
  newNonce: () => string;
  /**
   * What the lock must be for a claim to be written. Only the tests pass another one: without a condition
   * their races must have more than one winner, or they prove nothing.
   */
  lockCondition?: LockCondition;
}

/**
 * The claim store over any table that can read consistently and write transactions. Everything that
 * makes a claim safe stands here and is the same on DynamoDB and in memory.
 */
export function createTableClaimStore(table: ItemTable, options: ClaimStoreOptions): ClaimStore {
  const { newNonce, lockCondition = lockMayBeTaken } = options;
  return {
    async readHistory(lockKey) {
      const key = lockItemKey(lockKey);
      return historyOf(lockFrom((await table.read([key])).get(key)));
    },
    tryAcquire: (request) => tryAcquire(table, request, { newNonce, lockCondition }),
    async readCapture(captureId) {
      const key = captureItemKey(captureId);
      const capture = captureFrom((await table.read([key])).get(key));
      return capture === undefined ? undefined : recordOf(capture);
    },
    markStarted: (captureId, fencingToken, started) =>
      markStarted(table, captureId, fencingToken, started),
    beginFinish: (captureId, fencingToken, finisher) =>
      beginFinish(table, captureId, fencingToken, finisher),
    finish: (captureId, fencingToken, result) => finish(table, captureId, fencingToken, result),
    async listOverdue(now, limit) {
      return (await listOpen(table, 'ended', now, limit)).map(recordOf);
    },
    async listRunning(now, limit) {
      const open = await listOpen(table, 'alive', now, limit);
      return open.filter(({ state }) => state === 'started').map(recordOf);
    },
  };
}

async function listOpen(
  table: ItemTable,
  lease: 'ended' | 'alive',
  now: Date,
  limit: number,
): Promise<readonly CaptureItem[]> {
  const items = await table.listOpen(lease, now.getTime(), Math.min(limit, maxListedCount));
  return items
    .map((item) => unlessExpired(captureFrom(item), now.getTime()))
    .filter((capture) => capture !== undefined);
}

function historyOf(lock: LockItem | undefined): WorkloadHistory {
  if (lock === undefined) return { acquireTimes: [] };
  const { holderIdentity, leaseExpireMillis, cooldownUntilMillis } = lock;
  return {
    ...(holderIdentity === undefined ? {} : { holderIdentity }),
    ...(leaseExpireMillis === undefined ? {} : { leaseExpireTime: timeOf(leaseExpireMillis) }),
    ...(cooldownUntilMillis === undefined
      ? {}
      : { cooldownUntilTime: timeOf(cooldownUntilMillis) }),
    acquireTimes: lock.acquireMillis.toReversed().map(timeOf),
  };
}

function timeOf(millis: number): string {
  return new Date(millis).toISOString();
}
