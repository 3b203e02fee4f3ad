import { beforeAll, describe, expect, it } from '@jest/globals';
import type { LockCondition } from '../../lib/claim/claim-conditions.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import type { ClaimStore } from '../../lib/claim/claim-store.ts';
import { overrunSeconds } from '../../lib/claim/lease.ts';
import {
  acquire,
  after,
  afterMillis,
  finishAs,
  requestWith,
  start,
  startAt,
  tally,
  type RequestOptions,
} from '../claim/claim-requests.ts';

export interface ClaimStoreProvider {
  /** A store on an empty table of its own. */
  create(options?: { lockCondition?: LockCondition }): Promise<ClaimStore>;
}

const hour = 3_600;
/** A hundred claims on a JVM that has just started, on a machine that has other work. */
const raceTimeoutMillis = 60_000;
const workload = (index: number) => ({ kind: 'Deployment', name: `cart-${index}` });

/** What every ClaimStore must do, whatever keeps its items. */
export function claimStoreContract(provider: ClaimStoreProvider): void {
  describe('the lock of a workload', () => lockContract(provider));
  describe('the lease', () => leaseContract(provider));
  describe('cooldown and rate', () => limitsContract(provider));
  describe('slots', () => slotContract(provider));
  describe('twins', () => twinContract(provider));
  describe('the fencing token', () => tokenContract(provider));
  describe('finishing', () => finishContract(provider));
  describe('listOverdue', () => overdueContract(provider));
}

function race(store: ClaimStore, count: number, optionsOf: (index: number) => RequestOptions) {
  const requests = Array.from({ length: count }, (_, index) => requestWith(optionsOf(index)));
  return Promise.all(requests.map((request) => store.tryAcquire(request)));
}

function lockContract(provider: ClaimStoreProvider): void {
  const hundredReplicas = (index: number) => ({
    nodeName: `node-${index}`,
    limits: { nodeSlotCount: 1 },
  });

  it(
    'lets exactly one of 100 concurrent claimers have it and tells the others who has it',
    async () => {
      const store = await provider.create();

      const results = await race(store, 100, hundredReplicas);

      expect(tally(results)).toEqual({ acquired: 1, LockHeld: 99 });
      const winner = results.find((result) => result.outcome === 'acquired')!.record;
      for (const result of results.filter((other) => other.outcome === 'refused')) {
        expect(result).toEqual({
          outcome: 'refused',
          reason: 'LockHeld',
          holderIdentity: winner.captureId,
          untilTime: winner.leaseExpireTime,
        });
      }
      expect(await store.readHistory(winner.lockKey)).toEqual({
        holderIdentity: winner.captureId,
        leaseExpireTime: winner.leaseExpireTime,
        acquireTimes: [winner.acquireTime],
      });
    },
    raceTimeoutMillis,
  );

  it(
    'has more than one winner of the same race once the condition is taken away',
    async () => {
      const store = await provider.create({ lockCondition: () => undefined });

      const results = await race(store, 100, hundredReplicas);

      expect(tally(results)['acquired']).toBeGreaterThan(1);
    },
    raceTimeoutMillis,
  );

  it('keeps workloads apart whose names imitate each other', async () => {
    const store = await provider.create();
    const names: RequestOptions[] = [
      { workload: { kind: 'Deployment', name: 'a/b' } },
      { workload: { kind: 'Deployment/a', name: 'b' } },
      { namespace: 'shop/Deployment', workload: { kind: 'a', name: 'b' } },
      { workload: { kind: 'Deployment', name: 'a%002fb' } },
      { workload: { kind: 'Deployment', name: '' } },
      { workload: { kind: 'Deployment', name: 'ü#\u0000\ud800' } },
      { workload: { kind: 'Deployment', name: 'ü#\u0000\udc00' } },
      { workload: { kind: 'Deployment', name: 'x'.repeat(5_000) } },
      { workload: { kind: 'Deployment', name: `${'x'.repeat(4_999)}y` } },
    ];

    const results = await race(store, names.length, (index) => names[index]!);

    expect(tally(results)).toEqual({ acquired: names.length });
  });

  it('knows nothing of a workload that was never claimed', async () => {
    const store = await provider.create();

    expect(await store.readHistory('prod/shop/Deployment/never')).toEqual({ acquireTimes: [] });
    expect(await store.readCapture('never')).toBeUndefined();
  });

  it('refuses a lease that ends before clocks that differ would allow', async () => {
    const store = await provider.create();
    const request = requestWith();
    const tooShort = afterMillis(59_999, request.captureDeadlineTime).toISOString();

    await expect(store.tryAcquire({ ...request, leaseExpireTime: tooShort })).rejects.toMatchObject(
      { code: 'InvalidConfiguration', retryable: false },
    );
    expect(await store.readHistory(request.lockKey)).toEqual({ acquireTimes: [] });
  });

  it('refuses a record that is too large to be kept', async () => {
    const store = await provider.create();
    const request = { ...requestWith(), podName: 'x'.repeat(200_000) };

    await expect(store.tryAcquire(request)).rejects.toMatchObject({ code: 'InvalidConfiguration' });
    expect(await store.readCapture(request.captureId)).toBeUndefined();
  });
}

function leaseContract(provider: ClaimStoreProvider): void {
  it.each([
    { millis: -1, answer: 'LockHeld' },
    { millis: 0, answer: 'acquired' },
    { millis: 1, answer: 'acquired' },
  ])('answers $answer at its end $millis ms', async ({ millis, answer }) => {
    const store = await provider.create();
    const { leaseExpireTime } = await acquire(store);

    const now = afterMillis(millis, leaseExpireTime);

    expect(tally([await store.tryAcquire(requestWith({ now }))])).toEqual({ [answer]: 1 });
  });

  it('is not stolen by a claimer whose clock is a minute fast while the agent still works', async () => {
    const store = await provider.create();
    const { captureDeadlineTime, captureId } = await acquire(store);

    const fastClock = afterMillis(60_000, captureDeadlineTime);
    const result = await store.tryAcquire(requestWith({ now: fastClock }));

    expect(result).toMatchObject({ reason: 'LockHeld', holderIdentity: captureId });
  });

  it('counts items as absent whose time is over though they were never deleted', async () => {
    const store = await provider.create();
    const first = await acquire(store, { captureId: 'thesamecaptureid' });
    const now = after(32 * 24 * hour);

    const again = await acquire(store, { captureId: 'thesamecaptureid', now });

    expect(again.fencingToken).toBe(first.fencingToken + 1);
    expect(await store.listOverdue(after(70 * 24 * hour), 10)).toEqual([]);
  });
}

function limitsContract(provider: ClaimStoreProvider): void {
  it('refuses until the millisecond in which the cooldown ends', async () => {
    const store = await provider.create();
    const limits = { cooldownSeconds: 100 };
    const first = await acquire(store, { limits });
    await finishAs(store, first, 'complete', after(30));
    const cooldownUntilTime = after(130).toISOString();

    const early = await store.tryAcquire(
      requestWith({ limits, now: afterMillis(-1, cooldownUntilTime) }),
    );
    const inTime = await store.tryAcquire(requestWith({ limits, now: after(130) }));

    expect(early).toEqual({ outcome: 'refused', reason: 'Cooldown', untilTime: cooldownUntilTime });
    expect(inTime.outcome).toBe('acquired');
    expect((await store.readHistory(first.lockKey)).cooldownUntilTime).toBeUndefined();
  });

  it('lets no more than the allowed number into any hour', async () => {
    const store = await provider.create();
    const limits = { dumpsPerHourCount: 2 };
    const first = await acquire(store, { limits });
    await finishAs(store, first, 'complete', after(10));
    await finishAs(
      store,
      await acquire(store, { limits, now: after(600) }),
      'complete',
      after(700),
    );

    const early = await store.tryAcquire(
      requestWith({ limits, now: afterMillis(-1, after(hour)) }),
    );
    const inTime = await store.tryAcquire(requestWith({ limits, now: after(hour) }));

    expect(early).toEqual({
      outcome: 'refused',
      reason: 'RateLimited',
      untilTime: after(hour).toISOString(),
    });
    expect(inTime.outcome).toBe('acquired');
    expect((await store.readHistory(first.lockKey)).acquireTimes).toEqual([
      start.toISOString(),
      after(600).toISOString(),
      after(hour).toISOString(),
    ]);
  });

  it('gives cooldown and rate back when a capture failed', async () => {
    const store = await provider.create();
    const limits = { cooldownSeconds: 1_000, dumpsPerHourCount: 1 };
    const failed = await acquire(store, { limits });

    await finishAs(store, failed, 'failed', after(10));

    expect(await store.readHistory(failed.lockKey)).toEqual({ acquireTimes: [] });
    expect((await acquire(store, { limits, now: after(10) })).fencingToken).toBe(2);
  });

  it('gives the rate back for a failed capture whose lock another holds by now', async () => {
    const store = await provider.create();
    const failed = await acquire(store);
    const next = await acquire(store, { now: new Date(failed.leaseExpireTime) });

    await finishAs(store, failed, 'failed', afterMillis(5_000, next.acquireTime));

    expect(await store.readHistory(next.lockKey)).toEqual({
      holderIdentity: next.captureId,
      leaseExpireTime: next.leaseExpireTime,
      acquireTimes: [next.acquireTime],
    });
  });
}

function slotContract(provider: ClaimStoreProvider): void {
  it('gives a node no more dumps than it has slots, of 50 workloads that ask at once', async () => {
    const store = await provider.create();

    const results = await race(store, 50, (index) => ({
      workload: workload(index),
      limits: { nodeSlotCount: 2 },
    }));

    expect(tally(results)).toEqual({ acquired: 2, NodeBusy: 48 });
    expectDisjointSlots(results);
  });

  it('gives a cluster no more dumps than it has slots, of 50 nodes that ask at once', async () => {
    const store = await provider.create();

    const results = await race(store, 50, (index) => ({
      workload: workload(index),
      nodeName: `node-${index}`,
      limits: { clusterSlotCount: 5, nodeSlotCount: 1 },
    }));

    expect(tally(results)).toEqual({ acquired: 5, ClusterBusy: 45 });
    expectDisjointSlots(results);
  });

  it('names the capture that is in the way and the end of its lease', async () => {
    const store = await provider.create();
    const limits = { nodeSlotCount: 1 };
    const holder = await acquire(store, { limits });

    const refused = await store.tryAcquire(requestWith({ limits, workload: workload(2) }));

    expect(refused).toEqual({
      outcome: 'refused',
      reason: 'NodeBusy',
      holderIdentity: holder.captureId,
      untilTime: holder.leaseExpireTime,
    });
  });

  it('takes nothing of a workload that found no slot', async () => {
    const store = await provider.create();
    const limits = { nodeSlotCount: 1 };
    await acquire(store, { limits });
    const request = requestWith({ limits, workload: workload(2) });

    await store.tryAcquire(request);

    expect(await store.readHistory(request.lockKey)).toEqual({ acquireTimes: [] });
    expect(await store.readCapture(request.captureId)).toBeUndefined();
    expect(
      (await acquire(store, { limits, nodeName: 'node-2', workload: workload(2) })).state,
    ).toBe('claimed');
  });

  it.each([
    { millis: -1, answer: 'NodeBusy' },
    { millis: 0, answer: 'acquired' },
  ])('answers $answer at the end of a slot lease $millis ms', async ({ millis, answer }) => {
    const store = await provider.create();
    const limits = { nodeSlotCount: 1 };
    const { leaseExpireTime } = await acquire(store, { limits });

    const result = await store.tryAcquire(
      requestWith({ limits, workload: workload(2), now: afterMillis(millis, leaseExpireTime) }),
    );

    expect(tally([result])).toEqual({ [answer]: 1 });
  });

  it('frees both slots when a capture has ended, and not those that another has taken since', async () => {
    const store = await provider.create();
    const limits = { nodeSlotCount: 1, clusterSlotCount: 1 };
    const late = await acquire(store, { limits });
    const now = new Date(late.leaseExpireTime);
    const next = await acquire(store, { limits, workload: workload(2), now });
    expect(next.slotKeys).toEqual(late.slotKeys);

    await finishAs(store, late, 'complete', now);
    const stillBusy = await store.tryAcquire(requestWith({ limits, workload: workload(3), now }));
    await finishAs(store, next, 'complete', now);
    const free = await store.tryAcquire(requestWith({ limits, workload: workload(3), now }));

    expect(tally([stillBusy, free])).toEqual({ NodeBusy: 1, acquired: 1 });
  });
}

function expectDisjointSlots(results: readonly Awaited<ReturnType<ClaimStore['tryAcquire']>>[]) {
  const taken = results.flatMap((result) =>
    result.outcome === 'acquired' ? result.record.slotKeys : [],
  );
  expect(new Set(taken).size).toBe(taken.length);
}

function twinContract(provider: ClaimStoreProvider): void {
  const captureId = 'twintwintwintwin';

  it('lets one of 20 deliveries of the same signal in', async () => {
    const store = await provider.create();

    const results = await race(store, 20, () => ({ captureId }));

    expect(tally(results)).toEqual({ acquired: 1, AlreadyCaptured: 19 });
  });

  it('answers AlreadyCaptured while the twin runs, after it, and in its cooldown', async () => {
    const store = await provider.create();
    const limits = { cooldownSeconds: 5_000 };
    const record = await acquire(store, { captureId, limits });

    const meanwhile = await store.tryAcquire(requestWith({ captureId, limits, now: after(1) }));
    await finishAs(store, record, 'complete', after(10));
    const inCooldown = await store.tryAcquire(requestWith({ captureId, limits, now: after(20) }));
    const later = await store.tryAcquire(requestWith({ captureId, limits, now: after(9_000) }));

    expect([meanwhile, inCooldown, later]).toEqual(
      Array(3).fill({ outcome: 'refused', reason: 'AlreadyCaptured' }),
    );
  });

  it('gives the same claim again to the request that wrote it, as long as nothing was started', async () => {
    const store = await provider.create();
    const request = requestWith({ captureId, claimNonce: 'mine', limits: { nodeSlotCount: 1 } });
    const first = await store.tryAcquire(request);

    const again = await store.tryAcquire(request);
    const other = await store.tryAcquire({ ...request, claimNonce: 'other' });
    await store.markStarted(captureId, 1, startAt(after(1)));
    const afterStart = await store.tryAcquire(request);

    expect(again).toEqual(first);
    expect(tally([first, again, other, afterStart])).toEqual({ acquired: 2, AlreadyCaptured: 2 });
  });

  it('may be claimed three times when no agent ever ran, with a new token each time', async () => {
    const store = await provider.create();
    const tokens: number[] = [];
    for (let attempt = 0; attempt < 3; attempt += 1) {
      const record = await acquire(store, { captureId, now: after(attempt * 10) });
      tokens.push(record.fencingToken);
      await finishAs(store, record, 'failed', after(attempt * 10 + 1));
    }

    const fourth = await store.tryAcquire(requestWith({ captureId, now: after(100) }));

    expect(tokens).toEqual([1, 2, 3]);
    expect(fourth).toEqual({ outcome: 'refused', reason: 'AlreadyCaptured' });
  });

  it('may be claimed again after a start that is known to have failed, and not after one that ran', async () => {
    const store = await provider.create();
    const first = await acquire(store, { captureId });
    await store.markStarted(captureId, 1, startAt(after(1)));
    await finishAs(store, first, 'failed', after(2), { agentNeverRan: true });

    const second = await acquire(store, { captureId, now: after(3) });
    await store.markStarted(captureId, 2, startAt(after(4)));
    await finishAs(store, second, 'failed', after(5));
    const third = await store.tryAcquire(requestWith({ captureId, now: after(6) }));

    expect(second.fencingToken).toBe(2);
    expect(third).toEqual({ outcome: 'refused', reason: 'AlreadyCaptured' });
  });
}

function tokenContract(provider: ClaimStoreProvider): void {
  it('grows by one with each acquisition of a lock, however the one before ended', async () => {
    const store = await provider.create();
    const first = await acquire(store);
    await finishAs(store, first, 'complete', after(10));
    const second = await acquire(store, { now: after(20) });
    await finishAs(store, second, 'failed', after(30));
    const third = await acquire(store, { now: after(40) });
    const fourth = await acquire(store, { now: new Date(third.leaseExpireTime) });
    const otherWorkload = await acquire(store, { workload: workload(2) });

    const tokens = [first, second, third, fourth, otherWorkload].map((of) => of.fencingToken);

    expect(tokens).toEqual([1, 2, 3, 4, 1]);
  });

  it('starts nothing once another holds the lock, its lease has ended, or a finisher is at work', async () => {
    const store = await provider.create();
    const late = await acquire(store);
    const next = await acquire(store, { now: new Date(late.leaseExpireTime) });
    const { captureId } = next;
    const finisher = { finisherIdentity: 'sweep', now: after(2_000), leaseSeconds: 60 };

    expect(await store.markStarted(late.captureId, 1, startAt(after(1)))).toBe(false);
    expect(await store.markStarted(captureId, 1, startAt(after(2_000)))).toBe(false);
    expect(await store.markStarted('unknown', 1, startAt(after(2_000)))).toBe(false);
    expect(await store.markStarted(captureId, 2, startAt(new Date(next.leaseExpireTime)))).toBe(
      false,
    );
    await store.beginFinish(captureId, 2, finisher);
    expect(await store.markStarted(captureId, 2, startAt(after(2_000)))).toBe(false);
    expect((await store.readCapture(captureId))?.started).toBeUndefined();
  });

  it('marks a capture started, once, with what was started', async () => {
    const store = await provider.create();
    const { captureId } = await acquire(store);
    const started = { ...startAt(after(1)), uploadId: 'upload-1' };

    expect(await store.markStarted(captureId, 1, started)).toBe(true);
    expect(await store.markStarted(captureId, 1, started)).toBe(true);
    expect(await store.markStarted(captureId, 1, { ...started, agentName: 'other' })).toBe(false);
    expect(await store.readCapture(captureId)).toMatchObject({ state: 'started', started });
  });

  it('marks the next rung of a capture whose first one was refused', async () => {
    const store = await provider.create();
    const { captureId } = await acquire(store);
    const first = { ...startAt(after(1)), uploadId: 'upload-1' };
    const refusedRungs = { [first.rung]: 'AgentStartFailed' };
    const next = { ...first, rung: 'ephemeralContainer' as const, refusedRungs };
    await store.markStarted(captureId, 1, first);

    expect(await store.markStarted(captureId, 1, { ...next, uploadId: 'upload-2' })).toBe(false);
    expect(await store.markStarted(captureId, 1, next)).toBe(true);
    expect(await store.readCapture(captureId)).toMatchObject({ state: 'started', started: next });
    await store.beginFinish(captureId, 1, {
      ...{ finisherIdentity: 'sweep', now: after(2), leaseSeconds: 60 },
    });
    expect(await store.markStarted(captureId, 1, first)).toBe(false);
  });

  it('lets a token that is not the current one finish nothing', async () => {
    const store = await provider.create();
    const { captureId, lockKey } = await acquire(store);
    const finisherIdentity = 'seal';
    const stale = { finisherIdentity, now: after(1), leaseSeconds: 60 };

    expect(await store.beginFinish(captureId, 2, stale)).toBe('stale');
    expect(await store.beginFinish('unknown', 1, stale)).toBe('stale');
    const result = { finisherIdentity, outcome: 'complete', now: after(1) } as const;
    expect(await store.finish(captureId, 2, result)).toBe('stale');
    expect(await store.finish(captureId, 1, result)).toBe('stale');
    expect((await store.readHistory(lockKey)).holderIdentity).toBe(captureId);
  });

  it('leaves a lock alone that another holds by now', async () => {
    const store = await provider.create();
    const late = await acquire(store, { limits: { cooldownSeconds: 500 } });
    const next = await acquire(store, { now: new Date(late.leaseExpireTime) });
    const before = await store.readHistory(next.lockKey);

    expect(await finishAs(store, late, 'complete', new Date(late.leaseExpireTime))).toBe(
      'finished',
    );

    expect(await store.readHistory(next.lockKey)).toEqual(before);
    expect(await store.readCapture(late.captureId)).toMatchObject({ state: 'complete' });
  });
}

function finishContract(provider: ClaimStoreProvider): void {
  const begin = (finisherIdentity: string, now: Date) => ({
    finisherIdentity,
    now,
    leaseSeconds: 60,
  });

  it('is the right of one finisher until its lease ends', async () => {
    const store = await provider.create();
    const { captureId } = await acquire(store);
    const ask = (finisher: string, now: Date) =>
      store.beginFinish(captureId, 1, begin(finisher, now));

    expect(await ask('seal', after(0))).toBe('begun');
    expect(await ask('sweep', afterMillis(59_999, start))).toBe('busy');
    expect(await ask('seal', after(30))).toBe('begun');
    expect(await ask('sweep', after(60))).toBe('busy');
    expect(await ask('sweep', after(90))).toBe('begun');
    const result = { finisherIdentity: 'seal', outcome: 'complete', now: after(91) } as const;
    expect(await store.finish(captureId, 1, result)).toBe('stale');
    expect(await store.readCapture(captureId)).toMatchObject({ state: 'finishing' });
  });

  it('leaves lock and slots held for as long as a JVM can go on dumping, not longer than the lease', async () => {
    const store = await provider.create();
    const first = await acquire(store);
    const ends = afterMillis(0, first.leaseExpireTime);
    const again = async (now: Date) => {
      const claim = await store.tryAcquire(requestWith({ now, limits: { nodeSlotCount: 1 } }));
      return claim.outcome === 'acquired' ? 'acquired' : [claim.reason, claim.untilTime];
    };

    expect(await finishAs(store, first, 'complete', after(10), { dumpGoesOn: true })).toBe(
      'finished',
    );

    const until = after(10 + overrunSeconds);
    expect(until.getTime()).toBeLessThan(ends.getTime());
    expect(await again(after(11))).toEqual(['LockHeld', until.toISOString()]);
    expect(await again(until)).toBe('acquired');
    expect(await store.listOverdue(ends, 10)).toEqual([]);
  });

  it('is not begun, if it is asked for unless the capture has started, once it has', async () => {
    const store = await provider.create();
    const { captureId } = await acquire(store);
    const right = { ...begin('seal', after(2)), unlessStarted: true };
    await store.markStarted(captureId, 1, startAt(after(1)));

    expect(await store.beginFinish(captureId, 1, right)).toBe('busy');
    expect(await store.readCapture(captureId)).toMatchObject({ state: 'started' });
    expect(await store.beginFinish(captureId, 1, begin('seal', after(3)))).toBe('begun');
    expect(await store.beginFinish(captureId, 1, right)).toBe('busy');
  });

  it('is begun by one of 20 finishers that come at once', async () => {
    const store = await provider.create();
    const { captureId } = await acquire(store);

    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        store.beginFinish(captureId, 1, begin(`finisher-${index}`, after(1))),
      ),
    );

    expect(answers.filter((answer) => answer === 'begun')).toHaveLength(1);
    expect(answers.filter((answer) => answer === 'busy')).toHaveLength(19);
  });

  it('is taken over by one of 20 finishers when the right has lapsed, and lost to the first', async () => {
    const store = await provider.create();
    const { captureId } = await acquire(store);
    await store.beginFinish(captureId, 1, begin('first', after(1)));

    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        store.beginFinish(captureId, 1, begin(`finisher-${index}`, after(100))),
      ),
    );
    const result = { finisherIdentity: 'first', outcome: 'complete', now: after(101) } as const;

    expect(answers.filter((answer) => answer === 'begun')).toHaveLength(1);
    expect(await store.finish(captureId, 1, result)).toBe('stale');
  });

  it('keeps the first outcome when it is asked again, and lets no second finisher in', async () => {
    const store = await provider.create();
    const { captureId, lockKey } = await acquire(store, { limits: { cooldownSeconds: 100 } });
    await store.beginFinish(captureId, 1, begin('seal', after(1)));
    const finish = (finisherIdentity: string, outcome: 'salvaged' | 'failed') =>
      store.finish(captureId, 1, {
        finisherIdentity,
        outcome,
        reason: 'x'.repeat(2_000),
        now: after(10),
      });

    expect(await finish('seal', 'salvaged')).toBe('finished');
    expect(await finish('seal', 'failed')).toBe('finished');
    expect(await finish('sweep', 'failed')).toBe('stale');
    expect(await store.beginFinish(captureId, 1, begin('sweep', after(200)))).toBe('finished');
    expect(await store.readCapture(captureId)).toMatchObject({
      state: 'salvaged',
      finished: { finishTime: after(10).toISOString(), reason: 'x'.repeat(1_000) },
    });
    expect(await store.readHistory(lockKey)).toEqual({
      cooldownUntilTime: after(110).toISOString(),
      acquireTimes: [start.toISOString()],
    });
  });
}

function overdueContract(provider: ClaimStoreProvider): void {
  let store: ClaimStore;
  beforeAll(async () => {
    store = await provider.create();
    for (const [index, seconds] of [30, 10, 40, 20].entries()) {
      await acquire(store, { workload: workload(index), now: after(seconds) });
    }
  });
  const leaseEnd = (seconds: number) => after(960 + seconds);
  const acquireTimesOf = (records: Awaited<ReturnType<ClaimStore['listOverdue']>>) =>
    records.map((record) => record.acquireTime);

  it('shows captures whose lease has ended, the oldest lease first, no more than asked for', async () => {
    const ended = await store.listOverdue(leaseEnd(30), 100);
    const firstTwo = await store.listOverdue(leaseEnd(100), 2);

    expect(acquireTimesOf(ended)).toEqual([10, 20, 30].map((of) => after(of).toISOString()));
    expect(acquireTimesOf(firstTwo)).toEqual([10, 20].map((of) => after(of).toISOString()));
    expect(await store.listOverdue(afterMillis(-1, leaseEnd(10)), 100)).toEqual([]);
  });

  it('shows as running what was started and has a lease, the one that ends first at the head', async () => {
    const others = await provider.create();
    const records: CaptureRecord[] = [];
    for (const [index, seconds] of [30, 10, 40, 20].entries()) {
      records.push(await acquire(others, { workload: workload(index), now: after(seconds) }));
    }
    for (const { captureId } of records.slice(0, 3)) {
      await others.markStarted(captureId, 1, startAt(after(50)));
    }
    const [third] = records.slice(2);
    const finisher = { finisherIdentity: 'seal', now: after(60), leaseSeconds: 60 };

    expect(acquireTimesOf(await others.listRunning(after(70), 100))).toEqual(
      [10, 30, 40].map((of) => after(of).toISOString()),
    );
    expect(await others.listRunning(leaseEnd(40), 100)).toEqual([]);
    expect(await others.listRunning(afterMillis(-1, leaseEnd(40)), 100)).toHaveLength(1);
    await others.beginFinish(third!.captureId, 1, finisher);
    expect(acquireTimesOf(await others.listRunning(after(70), 100))).toEqual(
      [10, 30].map((of) => after(of).toISOString()),
    );
  });

  it('shows a capture that is being finished, and none that has ended', async () => {
    const [first, second] = await store.listOverdue(leaseEnd(100), 100);
    const now = leaseEnd(100);
    await finishAs(store, first!, 'failed', now);
    const finisher = { finisherIdentity: 'sweep', now, leaseSeconds: 60 };
    await store.beginFinish(second!.captureId, second!.fencingToken, finisher);

    const left = await store.listOverdue(now, 100);

    expect(left.map((record) => record.state)).toEqual(['finishing', 'claimed', 'claimed']);
  });
}
