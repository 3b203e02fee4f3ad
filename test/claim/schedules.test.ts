import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { listedChoices, seededChoices } from '../../bench/claims/choices.ts';
import { clauses } from '../../bench/claims/clauses.ts';
import { runSchedule, runSchedules, type Account } from '../../bench/claims/schedule.ts';
import type { ViolationKind } from '../../bench/claims/oracle.ts';
import type { WorldOptions } from '../../bench/claims/world.ts';
import { leaseSkewMarginSeconds } from '../../lib/claim/lease.ts';

/** What a schedule leaves to chance; a smaller number is less trouble, and behind the end there is none. */
const choices = fc.array(fc.nat({ max: 0xff }), { maxLength: 150, size: 'max' });
const scheduleCount = Number(process.env['HEAPCATCH_SCHEDULE_COUNT'] ?? 1_500);

type Change = Omit<WorldOptions, 'choices'>;

function keepsItsPromises(change: Change, seen: Account[] = []) {
  return fc.asyncProperty(choices, async (list) => {
    const account = await runSchedule({ ...change, choices: listedChoices(list) });
    seen.push(account);
    return account.violations.length === 0;
  });
}

/** Of the schedules of seeds 0, 1, …, as far as it takes, which is 5,000 at most. */
async function firstViolation(change: Change, kind?: ViolationKind): Promise<string | undefined> {
  let first: string | undefined;
  for (let from = 0; first === undefined && from < 5_000; from += 100) {
    await runSchedules(
      100,
      (index) => ({ ...change, choices: seededChoices(from + index) }),
      (_, { violations }) => {
        first ??= violations.find((one) => kind === undefined || one.kind === kind)?.text;
      },
    );
  }
  return first;
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

    expect(await firstViolation({ forgotten })).toBeDefined();
  });

  it('do overlap with clocks that are further apart than the lease allows', async () => {
    const skewMillis = 10 * leaseSkewMarginSeconds * 1_000;

    expect(await firstViolation({ skewMillis }, 'overlap')).toBeDefined();
  });

  it('are told as a short story when they break one', async () => {
    const forgotten = clauses.find(({ name }) => name === 'lock: rate has room')!;

    const { counterexample } = await fc.check(keepsItsPromises({ forgotten }), {
      numRuns: 5_000,
      seed: 1,
    });

    const story = await storyOf(counterexample![0], { forgotten });
    expect(story).toMatch(/rate: lock#prod\/shop\/Deployment\/app-\d: \d in an hour of \d/);
    expect(story.split('\n').length).toBeLessThan(25);
  });
});
