import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseReport } from '../lib/report/report-schema.ts';
import { readableName } from '../lib/report/words.ts';
import { isJsonObject } from '../lib/validation.ts';
import { cpuSecondsOf } from './cpu-time.ts';
import { findHprofSlurp } from './hprof-slurp.ts';
import { Lab } from './lab.ts';
import { metricOf, type Metric } from './report.ts';
import { benchJdks, heapMebibytes, repeatCount, say } from './settings.ts';

const program = join(import.meta.dirname, '../lib/cli/main.ts');
const lookMilliseconds = 5;
const allClasses = 1_000_000;
const mebibyte = 1024 * 1024;
const residentLimitMebibytes = 100;

interface Run {
  seconds: number;
  cpuSeconds: number;
  residentMebibytes: number;
}

/**
 * MiB of a dump of many small objects that are read in a second, and in a second of CPU time, by `heapcatch report
 * --no-retained` against hprof-slurp, whole processes both; and what the former takes of memory against 100 MiB. Both must
 * count the same objects of the same classes.
 */
export function benchScan(): Promise<readonly Metric[]> {
  return Lab.use(async (lab) => {
    const slurp = await findHprofSlurp();
    if (slurp === undefined) throw new Error('scan has nothing to compare with');
    const metrics: Metric[] = [];
    for (const jdk of benchJdks()) {
      const jvm = await lab.startJvm(jdk, 'objects', heapMebibytes());
      const { path } = await lab.bareDump(jvm);
      await jvm.kill();
      const pairs: { ours: Run; reference: Run }[] = [];
      for (let repeat = 0; repeat <= repeatCount(); repeat += 1) {
        const ours = await measured(process.execPath, [
          ...[program, 'report', path, '--no-retained'],
          ...['--to', join(lab.folder, 'report')],
        ]);
        const json = join(lab.folder, 'slurp.json');
        const reference = await measured(slurp, [
          ...[path, '--top', String(allClasses), '--json', '--output', json],
        ]);
        say(JSON.stringify({ jdk: jdk.major, repeat, ours, reference }));
        if (repeat === 0) compareCounts(join(lab.folder, 'report/report.json'), json);
        else pairs.push({ ours, reference });
        rmSync(json);
      }
      rmSync(path);
      metrics.push(...metricsOf(jdk.major, pairs));
    }
    return metrics;
  });
}

function metricsOf(jdkMajor: number, pairs: readonly { ours: Run; reference: Run }[]): Metric[] {
  const speed = (part: 'seconds' | 'cpuSeconds'): { ours: number; reference: number }[] =>
    pairs.map(({ ours, reference }) => ({
      ours: heapMebibytes() / ours[part],
      reference: heapMebibytes() / reference[part],
    }));
  return [
    metricOf(`scan/hprof-slurp-${jdkMajor}`, speed('seconds')),
    metricOf(`scan/hprof-slurp-cpu-${jdkMajor}`, speed('cpuSeconds')),
    metricOf(
      `scan/resident-${jdkMajor}`,
      pairs.map(({ ours }) => ({
        ours: ours.residentMebibytes,
        reference: residentLimitMebibytes,
      })),
    ),
  ];
}

/** Looks at /proc every 5 ms: the peak of resident memory only grows, and what the last look misses of the CPU is as short. */
async function measured(command: string, words: readonly string[]): Promise<Run> {
  const started = performance.now();
  const child = spawn(command, words, { stdio: 'ignore' });
  const state: { seconds?: number; code?: number | null } = {};
  child.once('exit', (code) => {
    state.seconds = (performance.now() - started) / 1_000;
    state.code = code;
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${command} does not start`);
  let cpuSeconds = 0;
  let residentMebibytes = 0;
  while (state.seconds === undefined) {
    try {
      cpuSeconds = Math.max(cpuSeconds, cpuSecondsOf(pid));
      const peak = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      if (peak !== undefined) residentMebibytes = (Number(peak) * 1024) / mebibyte;
    } catch {
      // It has ended between two looks.
    }
    await sleep(lookMilliseconds);
  }
  if (state.code !== 0) throw new Error(`${command} ended with ${String(state.code)}`);
  return { seconds: state.seconds, cpuSeconds, residentMebibytes };
}

/** @throws Error when the two do not count the same. */
function compareCounts(reportPath: string, slurpPath: string): void {
  const report = parseReport(JSON.parse(readFileSync(reportPath, 'utf8')), reportPath);
  const ours = new Map(
    // Class objects are added to the instances of java.lang.Class in a report.
    report.classes.map(({ className, instanceCount }) => [
      readableName(className),
      className === 'java.lang.Class' ? instanceCount - report.totals.classCount : instanceCount,
    ]),
  );
  const theirs = new Map(slurpClasses(JSON.parse(readFileSync(slurpPath, 'utf8'))));
  const names = new Set([...ours.keys(), ...theirs.keys()]);
  const differ = [...names].filter((name) => ours.get(name) !== theirs.get(name));
  say(`${names.size} classes, ${differ.length} of which have other counts in hprof-slurp`);
  if (differ.length > 0) throw new Error(`counts differ: ${differ.slice(0, 10).join(', ')}`);
}

function slurpClasses(json: unknown): [string, number][] {
  const heap = isJsonObject(json) ? json['heap'] : undefined;
  const rows = isJsonObject(heap) ? heap['top_allocated_classes'] : undefined;
  if (!Array.isArray(rows)) throw new Error('hprof-slurp has written another form of JSON');
  return rows
    .filter(isJsonObject)
    .map((row) => [
      String(row['class_name']).replace(/\+(?=0x[0-9a-f]+$)/, '/'),
      Number(row['instance_count']),
    ]);
}
