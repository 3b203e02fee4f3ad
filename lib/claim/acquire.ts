import { CaptureError } from '../errors.ts';
import type { CaptureRecord } from './capture-record.ts';
import {
  captureIsAsRead,
  captureIsUnknown,
  lockRefusal,
  slotIsFree,
  type LimitsAsked,
  type LockCondition,
} from './claim-conditions.ts';
import {
  captureFrom,
  expireTimeAfter,
  lockFrom,
  recordOf,
  recordToJson,
  unlessExpired,
  type CaptureItem,
  type LockItem,
} from './claim-items.ts';
import { captureItemKey, lockItemKey } from './claim-keys.ts';
import type { ClaimRequest, ClaimResult } from './claim-store.ts';
import type { Item } from './condition.ts';
import type { ItemTable, Write } from './item-table.ts';
import { leaseSkewMarginSeconds, maxAttemptCount } from './lease.ts';
import { freeSlot, refusedBySlots, slotNeeds } from './slots.ts';

/** Reads and writes of one claim, at most: every further one means that another claim came between. */
const maxRoundCount = 5;
/** As many acquisitions as the largest rate limit looks back at. */
const maxAcquireCount = 60;

interface Ask extends LimitsAsked {
  request: Omit<ClaimRequest, 'claimNonce'>;
  claimNonce: string;
  leaseExpireMillis: number;
}

interface Seen {
  lock: LockItem | undefined;
  capture: CaptureItem | undefined;
  items: ReadonlyMap<string, Item>;
}

/**
 * ClaimStore.tryAcquire over any table. The lock alone is decided by the write: what was read before
 * only gives the write its numbers (the token to follow, the slots to try) and finds twins. A slot that
 * was taken between read and write is tried again elsewhere, a bounded number of times.
 */
export async function tryAcquire(
  table: ItemTable,
  request: ClaimRequest,
  options: { lockCondition: LockCondition; newNonce: () => string },
): Promise<ClaimResult> {
  const ask = askOf(options.newNonce, request);
  const [nodeNeed, clusterNeed] = slotNeeds(request);
  const slotKeys = [...nodeNeed.candidateKeys, ...clusterNeed.candidateKeys];
  let refusedLast: ClaimResult | undefined;
  for (let round = 0; round < maxRoundCount; round += 1) {
    const seen = await readForClaim(table, ask, slotKeys);
    const twin = answerOfTwin(seen.capture, ask);
    if (twin !== undefined) return twin;
    const taken: string[] = [];
    for (const need of [nodeNeed, clusterNeed]) {
      const key = freeSlot(need, seen.items, ask.nowMillis);
      if (key === undefined) {
        const inTheWay = need.candidateKeys.map((candidate) => seen.items.get(candidate));
        return refusedByLock(seen.lock, ask) ?? refusedBySlots(need, inTheWay);
      }
      taken.push(key);
    }
    const record = recordToBe(ask, seen, taken);
    const result = await table.write(claimWrites(ask, seen, record, options.lockCondition));
    if (result.outcome === 'written') return { outcome: 'acquired', record };
    const [byLock, byCapture, byNode, byCluster] = result.refusals;
    // A twin has come since, or still holds the lock: the next round reads its record and answers from it.
    const holder = lockFrom(byLock?.item);
    if (byCapture !== undefined || holder?.holderIdentity === request.captureId) continue;
    const refused = refusedByLock(holder, ask);
    if (refused !== undefined) return refused;
    if (byNode !== undefined) refusedLast = refusedBySlots(nodeNeed, [byNode.item]);
    else if (byCluster !== undefined) refusedLast = refusedBySlots(clusterNeed, [byCluster.item]);
  }
  if (refusedLast !== undefined) return refusedLast;
  throw new CaptureError(
    'ClaimStoreUnavailable',
    `lock ${request.lockKey} changed between read and write ${maxRoundCount} times in a row`,
    { retryable: true },
  );
}

function askOf(newNonce: () => string, { claimNonce = newNonce(), ...request }: ClaimRequest): Ask {
  const deadlineMillis = Date.parse(request.captureDeadlineTime);
  const leaseExpireMillis = Date.parse(request.leaseExpireTime);
  const nowMillis = Date.parse(request.acquireTime);
  // Written so that an unreadable time (NaN) fails as well.
  if (!(
    nowMillis <= deadlineMillis &&
    leaseExpireMillis - deadlineMillis >= leaseSkewMarginSeconds * 1_000
  )) {
    throw new CaptureError(
      'InvalidConfiguration',
      `lease of capture ${request.captureId} ends at ${request.leaseExpireTime}; accepted is at least ` +
        `${leaseSkewMarginSeconds} s after the capture's deadline, ${request.captureDeadlineTime}, which is ` +
        `not before ${request.acquireTime}`,
    );
  }
  return {
    request,
    nowMillis,
    leaseExpireMillis,
    dumpsPerHourCount: request.policy.limits.dumpsPerHourCount,
    claimNonce,
  };
}

async function readForClaim(
  table: ItemTable,
  { request, nowMillis }: Ask,
  slotKeys: readonly string[],
): Promise<Seen> {
  const lockKey = lockItemKey(request.lockKey);
  const captureKey = captureItemKey(request.captureId);
  const items = await table.read([lockKey, captureKey, ...slotKeys]);
  return {
    lock: lockFrom(items.get(lockKey)),
    capture: unlessExpired(captureFrom(items.get(captureKey)), nowMillis),
    items,
  };
}

/** The answer when this capture was claimed before; `undefined` when it may be claimed (again). */
function answerOfTwin(capture: CaptureItem | undefined, ask: Ask): ClaimResult | undefined {
  if (capture === undefined || mayBeClaimedAgain(capture)) return undefined;
  if (capture.state === 'claimed' && capture.claimNonce === ask.claimNonce) {
    const record = recordOf(capture);
    if (record.acquireTime === ask.request.acquireTime) return { outcome: 'acquired', record };
  }
  return { outcome: 'refused', reason: 'AlreadyCaptured' };
}

function mayBeClaimedAgain(capture: CaptureItem): boolean {
  return (
    capture.state === 'failed' &&
    capture.agentNeverRan === true &&
    capture.attemptCount < maxAttemptCount
  );
}

function refusedByLock(lock: LockItem | undefined, ask: Ask): ClaimResult | undefined {
  const refusal = lockRefusal(lock, ask);
  if (refusal === undefined) return undefined;
  const { untilMillis, ...why } = refusal;
  if (untilMillis === undefined) return { outcome: 'refused', ...why };
  return { outcome: 'refused', ...why, untilTime: new Date(untilMillis).toISOString() };
}

function recordToBe({ request }: Ask, seen: Seen, slotKeys: readonly string[]): CaptureRecord {
  return {
    ...request,
    fencingToken: (seen.lock?.fencingToken ?? 0) + 1,
    state: 'claimed',
    slotKeys,
  };
}

/** Lock, capture record, node slot, cluster slot, in this order. */
function claimWrites(
  ask: Ask,
  seen: Seen,
  record: CaptureRecord,
  lockCondition: LockCondition,
): Write[] {
  const { nowMillis, leaseExpireMillis } = ask;
  const { captureId, fencingToken } = record;
  const holding = {
    holderIdentity: captureId,
    fencingToken,
    leaseExpireMillis,
    expireTimeEpochSeconds: expireTimeAfter(leaseExpireMillis),
  };
  const acquireMillis = [nowMillis, ...(seen.lock?.acquireMillis ?? [])]
    .sort((left, right) => right - left)
    .slice(0, maxAcquireCount);
  const lock: LockItem = { pk: lockItemKey(record.lockKey), ...holding, acquireMillis };
  const capture: CaptureItem = {
    pk: captureItemKey(captureId),
    record: recordToJson(record),
    state: 'claimed',
    fencingToken,
    attemptCount: (seen.capture?.attemptCount ?? 0) + 1,
    claimNonce: ask.claimNonce,
    openCapture: 'open',
    leaseExpireMillis,
    expireTimeEpochSeconds: holding.expireTimeEpochSeconds,
  };
  const mayTakeLock = lockCondition(seen.lock, ask);
  return [
    { kind: 'put', item: lock, ...(mayTakeLock === undefined ? {} : { condition: mayTakeLock }) },
    {
      kind: 'put',
      item: capture,
      condition:
        seen.capture === undefined ? captureIsUnknown(nowMillis) : captureIsAsRead(seen.capture),
    },
    ...record.slotKeys.map((pk): Write => ({
      kind: 'put',
      item: { pk, ...holding },
      condition: slotIsFree(nowMillis),
    })),
  ];
}
