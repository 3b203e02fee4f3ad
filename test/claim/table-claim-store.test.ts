import { describe, expect, it } from '@jest/globals';
import { createMemoryClaimStore } from '../../lib/local/memory-claim-store.ts';
import { acquire, after, finishAs } from './claim-requests.ts';

describe('the history of a workload', () => {
  it('remembers the newest 60 acquisitions, oldest first', async () => {
    const store = createMemoryClaimStore();
    let lockKey = '';
    for (let index = 0; index < 62; index += 1) {
      const record = await acquire(store, { now: after(index * 100) });
      await finishAs(store, record, 'complete', after(index * 100 + 1));
      lockKey = record.lockKey;
    }

    const { acquireTimes } = await store.readHistory(lockKey);

    expect(acquireTimes).toHaveLength(60);
    expect(acquireTimes[0]).toBe(after(200).toISOString());
    expect(acquireTimes[59]).toBe(after(6_100).toISOString());
  });
});
