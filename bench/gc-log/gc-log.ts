import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { findJdks } from '../../lib/local/jdks.ts';
import { metricOf, type Metric } from '../report.ts';
import { repeatCount, say, setting, wholeNumber } from '../settings.ts';
import { writeBenchLogs, type BenchLog } from './gc-logs.ts';
import { findGcToolkit, type GcToolkit } from './gc-toolkit.ts';

const foundSchema = z.strictObject({
  seconds: z.number().positive(),
  collectionCount: z.number(),
  pauseSeconds: z.number(),
});
type Found = z.output<typeof foundSchema>;

/** A reader may see the last, cut record otherwise; more is another result. */
const allowedDifference = 0.001;
const runSeconds = 300;

/**
 * Lines a second of `heapcatch gc-scan` against GCToolKit on the same file, each in a process of its own that has read the
 * file once before. Above 1 is better.
 * @throws Error when they do not find the same collections: then the speed says nothing.
 */
export async function benchGcLog(): Promise<readonly Metric[]> {
  const lineCount = wholeNumber('HEAPCATCH_BENCH_LINES', 300_000, 100, 100_000_000);
  const folder = await mkdtemp(join(setting('HEAPCATCH_BENCH_FOLDER', tmpdir()), 'gc-log-'));
  try {
    const logs = await writeBenchLogs(folder, lineCount);
    const jdk = findJdks().find(({ major }) => major === 17);
    if (jdk === undefined) throw new Error('the benchmark gc-log needs a JDK 17 on this machine');
    const toolkit = await findGcToolkit(jdk.home, folder);
    const metrics: Metric[] = [];
    for (const log of logs) metrics.push(await compare(log, toolkit));
    return metrics;
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function compare(log: BenchLog, toolkit: GcToolkit): Promise<Metric> {
  const pairs: { ours: number; reference: number }[] = [];
  for (let repeat = 0; repeat < repeatCount(); repeat += 1) {
    const ours = await ourRun(log.file);
    const reference = foundSchema.parse(JSON.parse(await toolkit.run(log.file)));
    checkSame(log, ours, reference);
    pairs.push({
      ours: log.lineCount / ours.seconds,
      reference: log.lineCount / reference.seconds,
    });
  }
  return metricOf(`gc-log/gctoolkit-${log.name}`, pairs);
}

async function ourRun(file: string): Promise<Found> {
  const program = join(import.meta.dirname, 'our-run.ts');
  const options = { timeout: runSeconds * 1_000 };
  const { stdout } = await promisify(execFile)(process.execPath, [program, file], options);
  return foundSchema.parse(JSON.parse(stdout));
}

function checkSame(log: BenchLog, ours: Found, reference: Found): void {
  const words = ({ collectionCount, pauseSeconds }: Found): string =>
    `${collectionCount} collections of ${pauseSeconds.toFixed(3)} s`;
  const found = `${log.name}: ${words(ours)}, GCToolKit: ${words(reference)}`;
  say(found);
  const differs = (one: number, other: number): boolean =>
    Math.abs(one - other) > Math.max(one, other) * allowedDifference;
  if (
    differs(ours.collectionCount, reference.collectionCount) ||
    differs(ours.pauseSeconds, reference.pauseSeconds)
  ) {
    throw new Error(`the same file tells other collections: ${found}`);
  }
}
