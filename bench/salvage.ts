import { execFile } from 'node:child_process';
import { closeSync, linkSync, mkdirSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { HeapScan } from '../lib/hprof/scan.ts';
import type { Jdk } from '../lib/local/jdks.ts';
import { NoDump, readDump, runAgent, type AgentRun } from './agent-run.ts';
import { findHprofSlurp } from './hprof-slurp.ts';
import { Lab } from './lab.ts';
import { metricOf, type Metric } from './report.ts';
import { benchJdks, heapMebibytes, say, wholeNumber } from './settings.ts';

const execFileAsync = promisify(execFile);
const linkMilliseconds = 2;

/**
 * SIGKILL of the JVM at random moments of its dump: what is stored in the end and opens, against what the JVM had
 * written. HEAPCATCH_BENCH_KILLS (50) of them for each JDK, at moments that HEAPCATCH_BENCH_SEED (1) fixes as shares of
 * the time of a whole dump.
 */
export function benchSalvage(): Promise<readonly Metric[]> {
  const killCount = wholeNumber('HEAPCATCH_BENCH_KILLS', 50, 1, 10_000);
  const seed = wholeNumber('HEAPCATCH_BENCH_SEED', 1, 0, 2 ** 31);
  return Lab.use(async (lab) => {
    const slurp = await findHprofSlurp();
    const metrics: Metric[] = [];
    for (const jdk of benchJdks()) {
      const random = randomOf(seed);
      const dumpSeconds = await wholeDumpSeconds(lab, jdk);
      const pairs: { ours: number; reference: number }[] = [];
      for (let kill = 0; kill < killCount; kill += 1) {
        const afterSeconds = random() * dumpSeconds;
        const pair = await salvageOne(lab, jdk, { afterSeconds, slurp });
        say(JSON.stringify({ jdk: jdk.major, kill, afterSeconds, ...pair }));
        pairs.push(pair);
      }
      metrics.push(metricOf(`salvage/${jdk.major}`, pairs));
    }
    return metrics;
  });
}

async function wholeDumpSeconds(lab: Lab, jdk: Jdk): Promise<number> {
  const jvm = await lab.startJvm(jdk, 'objects', heapMebibytes());
  const { path, seconds } = await lab.bareDump(jvm);
  rmSync(path);
  await jvm.kill();
  return seconds;
}

async function salvageOne(
  lab: Lab,
  jdk: Jdk,
  options: { afterSeconds: number; slurp: string | undefined },
): Promise<{ ours: number; reference: number }> {
  const jvm = await lab.startJvm(jdk, 'objects', heapMebibytes());
  const kept = new KeptFiles(lab);
  const killed = Promise.withResolvers<undefined>();
  try {
    const run = await runAgent(lab, jvm, () => {
      kept.begin();
      setTimeout(() => {
        void jvm.kill().then(() => {
          kept.end();
          killed.resolve(undefined);
        });
      }, options.afterSeconds * 1_000);
    }).catch((error: unknown) => {
      // Nothing was saved, which is a result.
      if (error instanceof NoDump) return undefined;
      throw error;
    });
    // A dump that was whole before its moment came counts as what it is.
    await killed.promise;
    if (run === undefined) return { ours: 0, reference: kept.writtenBytes(undefined) };
    const { mergeStartBytes } = await open(lab, run, options.slurp);
    return {
      ours: run.dump.rawBytes - run.dump.appendedBytes,
      reference: kept.writtenBytes(mergeStartBytes),
    };
  } finally {
    await jvm.kill();
    kept.remove();
  }
}

/** Links what the JVM writes to where nobody removes it, so that its size can be read after all of them are gone. */
class KeptFiles {
  readonly #lab: Lab;
  readonly #folder: string;
  readonly #paths = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(lab: Lab) {
    this.#lab = lab;
    this.#folder = join(lab.folder, 'kept');
    mkdirSync(this.#folder);
  }

  begin(): void {
    this.#link();
    this.#timer = setInterval(() => this.#link(), linkMilliseconds);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#link();
  }

  /** What the base holds, or base and segments together, of which a merge makes a second copy. */
  writtenBytes(mergeStartBytes: number | undefined): number {
    const size = (path: string): number => statSync(path).size;
    const paths = [...this.#paths];
    const base = paths
      .filter((path) => path.endsWith('.hprof'))
      .reduce((sum, path) => sum + size(path), 0);
    const segments = paths
      .filter((path) => !path.endsWith('.hprof'))
      .reduce((sum, path) => sum + size(path), 0);
    return Math.max(base, Math.min(base, mergeStartBytes ?? base) + segments);
  }

  remove(): void {
    clearInterval(this.#timer);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #link(): void {
    for (const { path } of this.#lab.dumpFiles()) {
      const link = join(this.#folder, basename(path));
      if (this.#paths.has(link)) continue;
      try {
        linkSync(path, link);
        this.#paths.add(link);
      } catch {
        // It is gone already; the segment of a dump that fails lives for some 20 ms.
      }
    }
  }
}

/** @throws Error when the stored dump does not open. @returns where in it the heap begins. */
async function open(
  lab: Lab,
  run: AgentRun,
  slurp: string | undefined,
): Promise<{ mergeStartBytes: number | undefined }> {
  const path = join(lab.folder, 'salvaged.hprof');
  const file = openSync(path, 'w');
  const scan = new HeapScan();
  try {
    await readDump(lab, run, (raw) => {
      scan.push(raw);
      writeSync(file, raw);
    });
    const { chain } = scan.finish();
    if (!chain.ended) throw new Error(`a salvaged dump of ${run.dump.rawBytes} bytes has no end`);
    if (slurp !== undefined) {
      await execFileAsync(slurp, [path], { timeout: 300_000, maxBuffer: 64 << 20 });
    }
    return { mergeStartBytes: chain.firstSegmentOffset };
  } finally {
    closeSync(file);
    rmSync(path);
    await lab.s3.objects.deleteObject(run.objectKey);
  }
}

/** Mulberry32: numbers in [0, 1) that the seed fixes. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
