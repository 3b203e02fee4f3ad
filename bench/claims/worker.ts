import { parentPort, threadId, workerData } from 'node:worker_threads';
import { seededChoices } from './choices.ts';
import { clauses } from './clauses.ts';
import { runSchedules } from './schedule.ts';

/** Schedules of the seeds `from` to below `from + count`. */
export interface Share {
  from: number;
  count: number;
  /** Name of a clause that every condition lacks. */
  forgotten?: string;
}

export interface Tally {
  scheduleCount: number;
  stepCount: number;
  dumpCount: number;
  /** Schedules with a violation. */
  violatedCount: number;
  cpuSeconds: number;
  /** By what was violated first: in how many schedules, and the first of them. */
  kinds: Record<string, { count: number; seed: number; text: string }>;
}

async function runShare({ from, count, forgotten: name }: Share): Promise<Tally> {
  // Nobody reads the stacks of the faults that are injected.
  Error.stackTraceLimit = 0;
  const forgotten = clauses.find((clause) => clause.name === name);
  const tally: Tally = {
    scheduleCount: count,
    stepCount: 0,
    dumpCount: 0,
    violatedCount: 0,
    cpuSeconds: 0,
    kinds: {},
  };
  const before = process.threadCpuUsage();
  await runSchedules(
    count,
    (index) => ({ choices: seededChoices(from + index), forgotten }),
    (index, { violations: [violation], stepCount, dumpCount }) => {
      tally.stepCount += stepCount;
      tally.dumpCount += dumpCount;
      if (violation === undefined) return;
      tally.violatedCount += 1;
      const { kind, text } = violation;
      const kinds = (tally.kinds[kind] ??= { count: 0, seed: from + index, text });
      kinds.count += 1;
    },
  );
  const { user, system } = process.threadCpuUsage(before);
  tally.cpuSeconds = (user + system) / 1e6;
  return tally;
}

if (threadId !== 0) parentPort?.postMessage(await runShare(workerData as Share));
