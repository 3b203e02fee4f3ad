import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { leaseSkewMarginSeconds, sealMarginSeconds } from '../../lib/claim/lease.ts';
import { lockIsAsRead } from '../../lib/claim/claim-conditions.ts';
import { runSchedule, stepKinds, type Account } from './schedules.ts';

const schedules = fc.array(
  fc.record({ kind: fc.constantFrom(...stepKinds), pick: fc.nat({ max: 1_000 }) }),
  { minLength: 30, maxLength: 120 },
);
const scheduleCount = Number(process.env['HEAPCATCH_SCHEDULE_COUNT'] ?? 1_500);
const skewMillis = leaseSkewMarginSeconds * 1_000;

function noOverlap(options: Parameters<typeof runSchedule>[1], seen: Account[] = []) {
  return fc.asyncProperty(schedules, async (steps) => {
    const account = await runSchedule(steps, options);
    seen.push(account);
    return account.overlaps.length === 0;
  });
}

describe('claims under crashes, repeats, lost replies, reordering and clocks that differ', () => {
  it(
    'never let two dumps of a workload overlap, nor a node have more than its slots, nor a token be given twice',
    async () => {
      const seen: Account[] = [];

      await fc.assert(noOverlap({ skewMillis }, seen), {
        numRuns: scheduleCount,
        endOnFailure: true,
      });

      const dumpCount = seen.reduce((sum, account) => sum + account.dumpCount, 0);
      expect(dumpCount).toBeGreaterThan(scheduleCount / 2);
    },
    30_000 + scheduleCount * 20,
  );

  it.each([
    ['the condition on the lock', { skewMillis, lockCondition: () => undefined }],
    ['the lease in that condition', { skewMillis, lockCondition: (lock) => lockIsAsRead(lock) }],
    ['the bound of the clocks', { skewMillis: 2 * (skewMillis + sealMarginSeconds * 1_000) }],
  ] satisfies [string, Parameters<typeof runSchedule>[1]][])(
    'do overlap without %s',
    async (_what, options) => {
      const result = await fc.check(noOverlap(options), { numRuns: 3_000, endOnFailure: true });

      expect(result.failed).toBe(true);
    },
  );
});
