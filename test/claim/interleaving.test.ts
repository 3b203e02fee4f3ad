import { describe, expect, it } from '@jest/globals';
import type { ItemTable } from '../../lib/claim/item-table.ts';
import {
  createMemoryClaimStore,
  createMemoryItemTable,
} from '../../lib/local/memory-claim-store.ts';
import { acquire, after, finishAs, requestWith } from './claim-requests.ts';

/** A store, and another one on the same table in whose next write something comes between. */
function twoStores() {
  const table = createMemoryItemTable();
  const between: (() => Promise<unknown>)[] = [];
  const interrupted: ItemTable = {
    ...table,
    write: async (writes) => {
      await between.shift()?.();
      return table.write(writes);
    },
  };
  return {
    store: createMemoryClaimStore({ table }),
    slow: createMemoryClaimStore({ table: interrupted }),
    /** Runs before the slow store's next writes, one each. */
    between,
  };
}

describe('what comes between the read and the write', () => {
  const finisherIdentity = 'seal';

  it('of a release: the lock that another takes is not freed, nor are its slots', async () => {
    const { store, slow, between } = twoStores();
    const limits = { nodeSlotCount: 1 };
    const late = await acquire(store, { limits });
    const now = new Date(late.leaseExpireTime);
    const { captureId } = late;
    await store.beginFinish(captureId, 1, { finisherIdentity, now, leaseSeconds: 60 });
    between.push(() => acquire(store, { limits, now }));

    expect(await slow.finish(captureId, 1, { finisherIdentity, outcome: 'failed', now })).toBe(
      'finished',
    );

    const history = await store.readHistory(late.lockKey);
    expect(history.holderIdentity).not.toBe(captureId);
    expect(history.leaseExpireTime).toBe(after(960, now).toISOString());
    expect(history.acquireTimes).toEqual([now.toISOString()]);
    const other = requestWith({ limits, now, workload: { kind: 'Deployment', name: 'other' } });
    expect(await store.tryAcquire(other)).toMatchObject({ reason: 'NodeBusy' });
  });

  it('of a release: nor is the lock freed when the slots are still its own', async () => {
    const { store, slow, between } = twoStores();
    const late = await acquire(store, { captureId: 'late' });
    const now = new Date(late.leaseExpireTime);
    await store.beginFinish('late', 1, { finisherIdentity, now, leaseSeconds: 60 });
    between.push(async () => {
      const next = await acquire(store, { captureId: 'following', nodeName: 'node-2', now });
      expect(next.slotKeys.filter((key) => late.slotKeys.includes(key))).toEqual([]);
    });

    await slow.finish('late', 1, { finisherIdentity, outcome: 'complete', now });

    expect((await store.readHistory(late.lockKey)).holderIdentity).toBe('following');
  });

  it('of a claim: the token of an acquisition that came and went is not given out again', async () => {
    const { store, slow, between } = twoStores();
    await acquire(store).then((record) => finishAs(store, record, 'failed', after(1)));
    between.push(async () => {
      const quick = await acquire(store, { now: after(2) });
      await finishAs(store, quick, 'failed', after(3));
    });

    const record = await acquire(slow, { now: after(4) });

    expect(record.fencingToken).toBe(3);
  });

  it('of a claim: an attempt that is given back to the rate stays given back', async () => {
    const { store, slow, between } = twoStores();
    const failed = await acquire(store);
    const now = new Date(failed.leaseExpireTime);
    between.push(() => finishAs(store, failed, 'failed', now));

    const record = await acquire(slow, { now });

    expect((await store.readHistory(record.lockKey)).acquireTimes).toEqual([record.acquireTime]);
  });

  it('of a claim: a slot that was taken is replaced by another', async () => {
    const { store, slow, between } = twoStores();
    const limits = { nodeSlotCount: 2, clusterSlotCount: 5 };
    const request = requestWith({ limits });
    between.push(() =>
      acquire(store, {
        limits: { ...limits, nodeSlotCount: 1 },
        workload: { kind: 'Deployment', name: 'other' },
      }),
    );

    const result = await slow.tryAcquire(request);

    expect(result.outcome).toBe('acquired');
  });

  it('of a finish: the right that another takes over ends it', async () => {
    const { store, slow, between } = twoStores();
    const { captureId } = await acquire(store);
    const begin = (finisher: string, seconds: number) =>
      store.beginFinish(captureId, 1, {
        finisherIdentity: finisher,
        now: after(seconds),
        leaseSeconds: 60,
      });
    await begin(finisherIdentity, 1);
    between.push(() => begin('sweep', 100));

    const result = { finisherIdentity, outcome: 'complete', now: after(100) } as const;

    expect(await slow.finish(captureId, 1, result)).toBe('stale');
    expect(await store.readCapture(captureId)).toMatchObject({ state: 'finishing' });
  });

  it('again and again: a fault that says so, and nothing is taken', async () => {
    const { store, slow, between } = twoStores();
    const limits = { cooldownSeconds: 0 };
    for (let round = 0; round < 5; round += 1) {
      between.push(async () => {
        const quick = await acquire(store, { limits, now: after(round * 10) });
        await finishAs(store, quick, 'complete', after(round * 10 + 1));
      });
    }

    await expect(slow.tryAcquire(requestWith({ limits, now: after(100) }))).rejects.toMatchObject({
      code: 'ClaimStoreUnavailable',
      retryable: true,
    });
    expect((await store.readHistory(requestWith().lockKey)).holderIdentity).toBeUndefined();
  });
});
