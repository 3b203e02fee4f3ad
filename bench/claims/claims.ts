import { cpus } from 'node:os';
import { Worker } from 'node:worker_threads';
import { metricOf, type Metric } from '../report.ts';
import { repeatCount, say, setting, wholeNumber } from '../settings.ts';
import { clauses } from './clauses.ts';
import type { Share, Tally } from './worker.ts';

/** Of each clause: so many schedules at most, in batches, until so many of them miss it. */
const defaultMutatedCount = 1_000_000;
const mutatedBatchCount = 5_000;
/** Of a clause that others cover: to show that they do. */
const coveredCount = 50_000;
const enoughCount = 3;

const noTally: Tally = {
  scheduleCount: 0,
  stepCount: 0,
  dumpCount: 0,
  violatedCount: 0,
  cpuSeconds: 0,
  kinds: {},
};

/**
 * Random schedules over the real claim code, spread over the cores: how many violate what claims promise, and how many there
 * are in a second of CPU time. Then the same with each clause of the conditions forgotten, in turn: a clause without which
 * nothing is ever violated is told on stderr, as what it is.
 * @throws Error when the schedules cannot find a forgotten clause that is needed.
 */
export async function benchClaims(): Promise<readonly Metric[]> {
  const count = wholeNumber('HEAPCATCH_BENCH_SCHEDULES', 1_000_000, 1, 1_000_000_000);
  const seed = wholeNumber('HEAPCATCH_BENCH_SEED', 1, 0, 4_000_000_000);
  const repeats = repeatCount();
  const speeds: { ours: number; reference: number }[] = [];
  const tallies: Tally[] = [];
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    const from = seed + Math.floor((count * repeat) / repeats);
    const size = seed + Math.floor((count * (repeat + 1)) / repeats) - from;
    const tally = await runOnAllCores({ from, count: size });
    tallies.push(tally);
    speeds.push({ ours: tally.scheduleCount / tally.cpuSeconds, reference: 1 });
  }
  const all = tallies.reduce(added);
  const perSchedule = (value: number): string => (value / all.scheduleCount).toFixed(2);
  say(
    `${all.scheduleCount} schedules from seed ${seed}: ${perSchedule(all.stepCount)} steps and ` +
      `${perSchedule(all.dumpCount)} dumps each; ${Math.round(all.scheduleCount / all.cpuSeconds)} a CPU second; violations: ${wordsOf(all)}`,
  );
  const found = await findForgottenClauses(seed);
  return [
    countMetric('claims/overlaps', all.violatedCount - (all.kinds['stuck']?.count ?? 0)),
    countMetric('claims/stuck', all.kinds['stuck']?.count ?? 0),
    metricOf('claims/schedules-per-second', speeds),
    countMetric('claims/clauses-found', found),
  ];
}

/**
 * For each clause as many schedules as it takes to miss it a few times, within a bound.
 * @returns how many of the clauses were missed by a schedule.
 */
async function findForgottenClauses(seed: number): Promise<number> {
  const count = wholeNumber(
    'HEAPCATCH_BENCH_MUTATED_SCHEDULES',
    defaultMutatedCount,
    0,
    1_000_000_000,
  );
  const only = setting('HEAPCATCH_BENCH_CLAUSE', '');
  const missing: string[] = [];
  let found = 0;
  for (const clause of clauses.filter(({ name }) => name.includes(only))) {
    const most = clause.coveredBy === undefined ? count : Math.min(count, coveredCount);
    let tally: Tally = noTally;
    while (tally.scheduleCount < most && tally.violatedCount < enoughCount) {
      const from = seed + tally.scheduleCount;
      const size = Math.min(mutatedBatchCount, most - tally.scheduleCount);
      tally = added(tally, await runOnAllCores({ from, count: size, forgotten: clause.name }));
    }
    const { violatedCount, scheduleCount } = tally;
    const why = clause.coveredBy === undefined ? '' : `; covered by ${clause.coveredBy}`;
    say(`without "${clause.name}": ${violatedCount} of ${scheduleCount}; ${wordsOf(tally)}${why}`);
    if (violatedCount > 0) found += 1;
    else if (clause.coveredBy === undefined) missing.push(clause.name);
  }
  if (count > 0 && missing.length > 0) {
    throw new Error(`no schedule of ${count} misses these clauses: ${missing.join('; ')}`);
  }
  return found;
}

async function runOnAllCores({ from, count, forgotten }: Share): Promise<Tally> {
  const shareCount = cpus().length;
  const shares = Array.from({ length: shareCount }, (_, index): Share => {
    const begin = Math.floor((count * index) / shareCount);
    const end = Math.floor((count * (index + 1)) / shareCount);
    return {
      from: from + begin,
      count: end - begin,
      ...(forgotten === undefined ? {} : { forgotten }),
    };
  });
  return (await Promise.all(shares.map(runShare))).reduce(added);
}

function runShare(share: Share): Promise<Tally> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('worker.ts', import.meta.url), {
      workerData: share,
      // Many short lives: a larger nursery spares copying.
      resourceLimits: { maxYoungGenerationSizeMb: 64 },
    });
    worker.on('message', resolve);
    worker.on('error', reject);
    worker.on('exit', (code) => reject(new Error(`a worker ended with ${code}`)));
  });
}

function added(left: Tally, right: Tally): Tally {
  const kinds = { ...left.kinds };
  for (const [kind, { count, seed, text }] of Object.entries(right.kinds)) {
    const before = kinds[kind];
    kinds[kind] = before ? { ...before, count: before.count + count } : { count, seed, text };
  }
  return {
    scheduleCount: left.scheduleCount + right.scheduleCount,
    stepCount: left.stepCount + right.stepCount,
    dumpCount: left.dumpCount + right.dumpCount,
    violatedCount: left.violatedCount + right.violatedCount,
    cpuSeconds: left.cpuSeconds + right.cpuSeconds,
    kinds,
  };
}

function wordsOf({ kinds }: Tally): string {
  const words = Object.entries(kinds).map(
    ([kind, { count, seed, text }]) => `${kind} ${count} (seed ${seed}: ${text})`,
  );
  return words.join('; ') || 'none';
}

/** A count has no reference: its ratio is itself. */
function countMetric(metric: string, count: number): Metric {
  return metricOf(metric, [{ ours: count, reference: 1 }]);
}
