import { CaptureError } from '../errors.ts';
import {
  captureOutcomes,
  type CaptureOutcome,
  type CaptureRecord,
  type CaptureStart,
} from './capture-record.ts';
import { captureIsAsRead, isHeldBy, lockIsAsRead, lockIsOursAndAlive } from './claim-conditions.ts';
import {
  captureFrom,
  expireTimeAfter,
  lockFrom,
  recordOf,
  recordToJson,
  slotFrom,
  unlessExpired,
  type CaptureItem,
  type LockItem,
} from './claim-items.ts';
import { captureItemKey, lockItemKey } from './claim-keys.ts';
import type { ClaimStore } from './claim-store.ts';
import { holds } from './condition.ts';
import { overrunSeconds } from './lease.ts';
import type { ItemTable, Write } from './item-table.ts';

type BeginOptions = Parameters<ClaimStore['beginFinish']>[2];
type FinishResult = Parameters<ClaimStore['finish']>[2];

/** Reads and writes of one step, at most: every further one means that another writer came between. */
const maxRoundCount = 5;
const maxReasonLength = 1_000;

/** ClaimStore.markStarted over any table: the lock is proven in the same transaction. */
export async function markStarted(
  table: ItemTable,
  captureId: string,
  fencingToken: number,
  started: CaptureStart,
): Promise<boolean> {
  const nowMillis = Date.parse(started.startTime);
  return inRounds(captureId, async () => {
    const capture = await readOwnCapture(table, captureId, fencingToken, nowMillis);
    if (capture === undefined) return false;
    if (capture.state !== 'claimed' && capture.state !== 'started') return false;
    const record = recordOf(capture);
    if (JSON.stringify(record.started) === JSON.stringify(started)) return true;
    if (record.started !== undefined && !followsRefusedRung(record.started, started)) return false;
    const [byLock, byCapture] = await write(table, [
      {
        kind: 'check',
        pk: lockItemKey(record.lockKey),
        condition: lockIsOursAndAlive(captureId, fencingToken, nowMillis),
      },
      changeOf(capture, {
        state: 'started',
        record: recordToJson({ ...record, state: 'started', started }),
      }),
    ]);
    if (byLock !== undefined) return false;
    return byCapture === undefined ? true : undefined;
  });
}

/** The next rung of the same run: it says of the one on record that it was refused. */
function followsRefusedRung(before: CaptureStart, next: CaptureStart): boolean {
  return next.uploadId === before.uploadId && next.refusedRungs[before.rung] !== undefined;
}

/** ClaimStore.beginFinish over any table. */
export async function beginFinish(
  table: ItemTable,
  captureId: string,
  fencingToken: number,
  { finisherIdentity, now, leaseSeconds, unlessStarted = false }: BeginOptions,
): Promise<'begun' | 'busy' | 'finished' | 'stale'> {
  const nowMillis = now.getTime();
  return inRounds(captureId, async () => {
    const capture = await readOwnCapture(table, captureId, fencingToken, nowMillis);
    if (capture === undefined) return 'stale';
    if (hasEnded(capture)) return 'finished';
    const isOthers =
      capture.finisherIdentity !== undefined && capture.finisherIdentity !== finisherIdentity;
    if (isOthers && (capture.finisherLeaseExpireMillis ?? 0) > nowMillis) return 'busy';
    if (unlessStarted && recordOf(capture).started !== undefined) return 'busy';
    const finisherLeaseExpireMillis = nowMillis + leaseSeconds * 1_000;
    const [refused] = await write(table, [
      changeOf(capture, { state: 'finishing', finisherIdentity, finisherLeaseExpireMillis }),
    ]);
    return refused === undefined ? 'begun' : undefined;
  });
}

/** ClaimStore.finish over any table: record, lock and slots in one transaction, so nothing is left half done. */
export async function finish(
  table: ItemTable,
  captureId: string,
  fencingToken: number,
  result: FinishResult,
): Promise<'finished' | 'stale'> {
  return inRounds(captureId, async () => {
    const capture = await readOwnCapture(table, captureId, fencingToken, result.now.getTime());
    if (capture?.finisherIdentity !== result.finisherIdentity) return 'stale';
    if (hasEnded(capture)) return 'finished';
    const record = recordOf(capture);
    const lockKey = lockItemKey(record.lockKey);
    const items = await table.read([lockKey, ...record.slotKeys]);
    const isOurs = isHeldBy(captureId, fencingToken);
    const slotWrites = record.slotKeys.flatMap((pk): Write[] => {
      const slot = slotFrom(items.get(pk));
      if (slot === undefined || !holds(isOurs, slot)) return [];
      if (result.dumpGoesOn !== true) return [{ kind: 'delete', pk, condition: isOurs }];
      const leaseExpireMillis = overrunEnd(slot, result.now);
      return [{ kind: 'put', item: { ...slot, leaseExpireMillis }, condition: isOurs }];
    });
    const refusals = await write(table, [
      endOf(capture, record, result),
      ...lockRelease(lockFrom(items.get(lockKey)), record, result),
      ...slotWrites,
    ]);
    return refusals.some((refusal) => refusal !== undefined) ? undefined : 'finished';
  });
}

/** Runs a read-and-write step until it has an answer: `undefined` means that something moved in between. */
async function inRounds<T>(captureId: string, step: () => Promise<T | undefined>): Promise<T> {
  for (let round = 0; round < maxRoundCount; round += 1) {
    const answer = await step();
    if (answer !== undefined) return answer;
  }
  throw new CaptureError(
    'ClaimStoreUnavailable',
    `capture ${captureId} changed between read and write ${maxRoundCount} times in a row`,
    { retryable: true },
  );
}

async function readOwnCapture(
  table: ItemTable,
  captureId: string,
  fencingToken: number,
  nowMillis: number,
): Promise<CaptureItem | undefined> {
  const key = captureItemKey(captureId);
  const capture = unlessExpired(captureFrom((await table.read([key])).get(key)), nowMillis);
  return capture?.fencingToken === fencingToken ? capture : undefined;
}

async function write(table: ItemTable, writes: readonly Write[]): Promise<readonly unknown[]> {
  const result = await table.write(writes);
  return result.outcome === 'written' ? [] : result.refusals;
}

function hasEnded(capture: CaptureItem): boolean {
  return captureOutcomes.includes(capture.state as CaptureOutcome);
}

function changeOf(capture: CaptureItem, attributes: Partial<CaptureItem>): Write {
  const condition = captureIsAsRead(capture);
  return { kind: 'put', item: { ...capture, ...attributes }, condition };
}

function endOf(capture: CaptureItem, record: CaptureRecord, result: FinishResult): Write {
  const neverRan = record.started === undefined || result.agentNeverRan === true;
  const reason = result.reason?.slice(0, maxReasonLength);
  const finishTime = result.now.toISOString();
  return {
    kind: 'put',
    item: {
      ...capture,
      openCapture: undefined,
      leaseExpireMillis: undefined,
      state: result.outcome,
      record: recordToJson({
        ...record,
        state: result.outcome,
        finished: { finishTime, ...(reason === undefined ? {} : { reason }) },
      }),
      ...(result.outcome === 'failed' && neverRan ? { agentNeverRan: true } : {}),
      expireTimeEpochSeconds: expireTimeAfter(result.now.getTime()),
    },
    condition: captureIsAsRead(capture),
  };
}

/**
 * What happens to the lock. Ours: it is free (or will be, when its lease ends), and the cooldown runs, unless the capture failed. Another's
 * by now: only the rate is given back, if there is something to give. A deleted one needs nothing.
 */
function lockRelease(
  lock: LockItem | undefined,
  record: CaptureRecord,
  { outcome, now, dumpGoesOn = false }: FinishResult,
): Write[] {
  if (lock === undefined) return [];
  const failed = outcome === 'failed';
  const acquireMillis = failed
    ? withoutOne(lock.acquireMillis, Date.parse(record.acquireTime))
    : lock.acquireMillis;
  const condition = lockIsAsRead(lock);
  const expireTimeEpochSeconds = Math.max(
    lock.expireTimeEpochSeconds,
    expireTimeAfter(now.getTime()),
  );
  if (!holds(isHeldBy(record.captureId, record.fencingToken), lock)) {
    if (acquireMillis.length === lock.acquireMillis.length) return [];
    return [{ kind: 'put', item: { ...lock, acquireMillis, expireTimeEpochSeconds }, condition }];
  }
  const cooldownUntilMillis = now.getTime() + record.policy.limits.cooldownSeconds * 1_000;
  return [
    {
      kind: 'put',
      item: {
        ...lock,
        holderIdentity: dumpGoesOn ? lock.holderIdentity : undefined,
        leaseExpireMillis: dumpGoesOn ? overrunEnd(lock, now) : undefined,
        acquireMillis,
        ...(failed ? {} : { cooldownUntilMillis }),
        expireTimeEpochSeconds,
      },
      condition,
    },
  ];
}

/** When a JVM whose agent has ended has certainly written its dump. */
function overrunEnd(
  { leaseExpireMillis = 0 }: Pick<LockItem, 'leaseExpireMillis'>,
  now: Date,
): number {
  return Math.min(leaseExpireMillis, now.getTime() + overrunSeconds * 1_000);
}

function withoutOne(values: readonly number[], value: number): readonly number[] {
  const index = values.indexOf(value);
  return index < 0 ? values : values.toSpliced(index, 1);
}
