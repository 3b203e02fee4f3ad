import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { listedChoices, seededChoices } from '../../bench/claims/choices.ts';
import { clauses } from '../../bench/claims/clauses.ts';
import { runSchedule, runSchedules, type Account } from '../../bench/claims/schedule.ts';
import type { WorldOptions } from '../../bench/claims/world.ts';
import { leaseSkewMarginSeconds } from '../../lib/claim/lease.ts';

/** What a schedule leaves to chance; a smaller number is less trouble, and behind the end there is none. */
const choices = fc.array(fc.nat({ max: 0xffff }), { maxLength: 250, size: 'max' });
const scheduleCount = Number(process.env['HEAPCATCH_SCHEDULE_COUNT'] ?? 2_000);

type Change = Omit<WorldOptions, 'choices'>;

function keepsItsPromises(change: Change, seen: Account[] = []) {
  return fc.asyncProperty(choices, async (list) => {
    const account = await runSchedule({ ...change, choices: listedChoices(list) });
    seen.push(account);
    return account.violations.length === 0;
  });
}

/** The shortest schedule that breaks a promise, as it is told. */
async function storyOf(list: readonly number[], change: Change = {}): Promise<string> {
  const lines: string[] = [];
  const options = { ...change, choices: listedChoices(list) };
  const { violations } = await runSchedule({ ...options, trace: (line) => lines.push(line) });
  return [...lines, ...violations.map(({ kind, text }) => `${kind}: ${text}`)].join('\n');
}

describe('claims under crashes, repeats, lost and late replies, reordering, pauses and clocks that differ', () => {
  it(
    'keep every promise, and let go of everything in the end',
    async () => {
      const seen: Account[] = [];

      const result = await fc.check(keepsItsPromises({}, seen), { numRuns: scheduleCount });

      const story = result.failed ? await storyOf(result.counterexample![0]) : '';
      expect(story).toBe('');
      const dumpCount = seen.reduce((sum, account) => sum + account.dumpCount, 0);
      expect(dumpCount).toBeGreaterThan(scheduleCount / 4);
    },
    30_000 + scheduleCount * 20,
  );

  it.each([
    'lock: free',
    'lock: cooldown is over',
    'lock: rate has room',
    'slot: free',
    'start: lease is alive',
    'lock: free, or expired',
    'capture: is over',
  ])('break one without the clause "%s"', async (name) => {
    const forgotten = clauses.find((clause) => clause.name === name)!;
    let violatedCount = 0;

    await runSchedules(
      2_000,
      (seed) => ({ choices: seededChoices(seed), forgotten }),
      (_, { violations }) => (violatedCount += Math.min(1, violations.length)),
    );

    expect(violatedCount).toBeGreaterThan(0);
  });

  it('do overlap with clocks that are further apart than the lease allows', async () => {
    const skewMillis = 10 * leaseSkewMarginSeconds * 1_000;
    const kinds = new Set<string>();

    await runSchedules(
      2_000,
      (seed) => ({ choices: seededChoices(seed), skewMillis }),
      (_, { violations }) => violations.forEach(({ kind }) => kinds.add(kind)),
    );

    expect(kinds).toContain('overlap');
  });

  it('are told as a short story when they break one', async () => {
    const forgotten = clauses.find(({ name }) => name === 'lock: cooldown is over')!;

    const { counterexample } = await fc.check(keepsItsPromises({ forgotten }), {
      numRuns: 5_000,
      seed: 1,
    });

    const story = await storyOf(counterexample![0], { forgotten });
    expect(story).toMatch(/cooldown: lock#prod\/shop\/Deployment\/app-\d: \d+ ms before its end/);
    expect(story.split('\n').length).toBeLessThan(25);
  });
});
