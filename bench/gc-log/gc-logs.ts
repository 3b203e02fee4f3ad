import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { findJdks } from '../../lib/local/jdks.ts';

export interface BenchLog {
  readonly name: string;
  readonly file: string;
  readonly lineCount: number;
}

const workload = resolve(import.meta.dirname, '../../test/gc-log/fixtures/GcLogWorkload.java');
const runSeconds = 120;
/** GCToolKit loses some pauses of G1 beside a concurrent cycle, which would make the two find other events. */
const noMarking = '-XX:InitiatingHeapOccupancyPercent=99';

/** Writes the logs to measure with, of about `lineCount` lines each. @throws Error without a JDK 17. */
export async function writeBenchLogs(
  folder: string,
  lineCount: number,
): Promise<readonly BenchLog[]> {
  const g1 = await unifiedLog(folder, 'g1', ['-XX:+UseG1GC', noMarking], lineCount);
  const parallel = await unifiedLog(folder, 'parallel', ['-XX:+UseParallelGC'], lineCount);
  return [g1, parallel, await legacyLog(folder, lineCount)];
}

/**
 * A log with all details (GCToolKit finds nothing of Parallel in the default ones) that a JVM wrote, again and again with later times and higher numbers, as if it had run for long.
 */
async function unifiedLog(
  folder: string,
  name: string,
  collector: readonly string[],
  lineCount: number,
): Promise<BenchLog> {
  const jdk = findJdks().find(({ major }) => major === 17);
  if (jdk === undefined) throw new Error('the benchmark gc-log needs a JDK 17 on this machine');
  const written = join(folder, `${name}-once.log`);
  const log = `-Xlog:gc*:file=${written}:uptime,level,tags`;
  const args = ['-Xmx64m', '-Xms64m', ...collector, log, workload, '24', '40'];
  await promisify(execFile)(join(jdk.home, 'bin/java'), args, { timeout: runSeconds * 1_000 });
  const lines = (await readFile(written, 'utf8')).trimEnd().split('\n');
  return writeLog(folder, name, lineCount, repeated(lines));
}

/** What a JVM says once, at its start and its end, is left out but for the first copy's start. */
function* repeated(lines: readonly string[]): Generator<string> {
  const parsed = lines.map((line) => /^\[(\d+\.\d+)s\](.*?)(?:GC\((\d+)\)(.*))?$/.exec(line));
  const lastUptime = Number(parsed.at(-1)?.[1] ?? 0);
  const idCount = 1 + Math.max(...parsed.map((match) => Number(match?.[3] ?? 0)));
  let begun = false;
  for (let copy = 0; ; copy += 1) {
    for (const match of parsed) {
      const [, uptime = '0', tags = '', id, message = ''] = match ?? [];
      begun ||= id !== undefined;
      if (id === undefined && begun) continue;
      const time = (Number(uptime) + copy * lastUptime).toFixed(3);
      const rest = id === undefined ? '' : `GC(${Number(id) + copy * idCount})${message}`;
      yield `[${time}s]${tags}${rest}`;
    }
  }
}

/** Parallel of JDK 8 with -XX:+PrintGCDetails -XX:+PrintGCDateStamps: the format is its, the numbers are ours. */
function legacyLog(folder: string, lineCount: number): Promise<BenchLog> {
  return writeLog(folder, 'jdk8-parallel', lineCount, parallelRecords());
}

function* parallelRecords(): Generator<string> {
  const begin = Date.UTC(2026, 0, 1);
  for (let index = 0; ; index += 1) {
    const uptime = 1 + index * 0.5;
    const date = new Date(begin + uptime * 1_000).toISOString().replace('Z', '+0000');
    const stamps = `${date}: ${uptime.toFixed(3)}: `;
    const used = 65_536 + (index % 900) * 64;
    const times = ' [Times: user=0.02 sys=0.00, real=0.01 secs] ';
    yield index % 50 === 49
      ? `${stamps}[Full GC (Ergonomics) [PSYoungGen: 10720K->0K(76288K)] [ParOldGen: ${used}K->60000K(175104K)] ${used + 10_720}K->60000K(251392K), [Metaspace: 2666K->2666K(1056768K)], 0.1234567 secs]${times}`
      : `${stamps}[GC (Allocation Failure) [PSYoungGen: 65536K->10720K(76288K)] ${used + 65_536}K->${used}K(251392K), 0.0098765 secs]${times}`;
  }
}

async function writeLog(
  folder: string,
  name: string,
  lineCount: number,
  lines: Generator<string>,
): Promise<BenchLog> {
  const file = join(folder, `${name}.log`);
  const taken: string[] = [];
  for (const line of lines) {
    if (taken.push(line) >= lineCount) break;
  }
  await writeFile(file, `${taken.join('\n')}\n`);
  return { name, file, lineCount };
}
