import { createReadStream } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { CaptureError, messageOf } from '../../errors.ts';
import { firstTime } from '../../gc-log/first-time.ts';

/** One file of a log. */
export interface LogFile {
  readonly file: string;
  readonly modifiedEpochMilliseconds: number;
}

/** The files of one JVM's log in the order in which they were written. */
export interface LogSeries {
  /** The name that the files share, as -Xlog or -Xloggc was given it: `gc-%t.log`. */
  readonly name: string;
  readonly files: readonly LogFile[];
}

export const maxFileCount = 10_000;
const headBytes = 64 * 1024;
const chunkBytes = 256 * 1024;

/** `%t` in the name of a log file, `%p` after `pid`; the number of a rotated file, JDK 8's `.current`, and gzip's suffix. */
const startTime = /\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}/;
const processId = /pid\d+/;
const rotation = /(?:\.(\d{1,6}))?(\.current)?(?:\.gz)?$/;

/** What the files of one series have in common. */
export function seriesName(file: string): string {
  return file.replace(rotation, '').replace(startTime, '%t').replace(processId, 'pid%p');
}

/**
 * Finds the log files of the inputs and puts those of one JVM together, the oldest first. A directory gives its regular files
 * and is not gone into; symbolic links in it are passed over.
 * @throws CaptureError InvalidConfiguration for an input that cannot be read, or more than 10,000 files.
 */
export async function findSeries(inputs: readonly string[]): Promise<readonly LogSeries[]> {
  const files = new Set<string>();
  for (const input of inputs) {
    for (const file of await filesOf(input)) files.add(file);
    if (files.size > maxFileCount) throw tooMany();
  }
  const series = new Map<string, SortableFile[]>();
  for (const file of files) {
    const name = seriesName(file);
    series.set(name, [...(series.get(name) ?? []), await sortable(file)]);
  }
  return [...series].map(([name, members]) => ({ name, files: members.sort(byAge) }));
}

function tooMany(): CaptureError {
  return new CaptureError('InvalidConfiguration', `accepted are at most ${maxFileCount} files`);
}

/** The regular files that an input names: itself, or those of a directory. */
export async function filesOf(input: string): Promise<readonly string[]> {
  try {
    if (!(await stat(input)).isDirectory()) return [path.normalize(input)];
    const entries = await readdir(input, { withFileTypes: true });
    if (entries.length > maxFileCount) throw tooMany();
    return entries
      .filter((entry) => entry.isFile())
      .map(({ name }) => path.join(input, name))
      .sort();
  } catch (error) {
    if (error instanceof CaptureError) throw error;
    const message = `${input} cannot be read: ${messageOf(error)}`;
    throw new CaptureError('InvalidConfiguration', message, { cause: error });
  }
}

interface SortableFile extends LogFile {
  /** When the JVM began, by the file's name. */
  readonly startName: string;
  readonly firstEpochMilliseconds: number | undefined;
  readonly firstUptimeSeconds: number | undefined;
}

async function sortable(file: string): Promise<SortableFile> {
  try {
    const status = await stat(file);
    // What a pipe gives it gives once.
    const head = status.isFile() ? await readHead(file) : Buffer.alloc(0);
    const { epochMilliseconds, uptimeSeconds } = firstTime(head);
    return {
      file,
      modifiedEpochMilliseconds: status.mtimeMs,
      startName: startTime.exec(file)?.[0] ?? '',
      firstEpochMilliseconds: epochMilliseconds,
      firstUptimeSeconds: uptimeSeconds,
    };
  } catch (error) {
    const message = `${file} cannot be read: ${messageOf(error)}`;
    throw new CaptureError('InvalidConfiguration', message, { cause: error });
  }
}

/**
 * Rotated files are numbered in a circle, so that their numbers tell nothing, and copying them loses their times. What they
 * begin with tells the order: the date, else the uptime, else the time of the last change.
 */
function byAge(one: SortableFile, other: SortableFile): number {
  if (one.startName !== other.startName) return one.startName < other.startName ? -1 : 1;
  return (
    difference(one.firstEpochMilliseconds, other.firstEpochMilliseconds) ||
    difference(one.firstUptimeSeconds, other.firstUptimeSeconds) ||
    one.modifiedEpochMilliseconds - other.modifiedEpochMilliseconds
  );
}

function difference(one: number | undefined, other: number | undefined): number {
  return one === undefined || other === undefined ? 0 : one - other;
}

async function readHead(file: string): Promise<Buffer> {
  if (file.endsWith('.gz')) {
    for await (const chunk of openLog(file)) return chunk as Buffer;
    return Buffer.alloc(0);
  }
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** The bytes of a log file, unpacked if its name ends in `.gz`. */
export function openLog(file: string): Readable {
  const raw = createReadStream(file, { highWaterMark: chunkBytes });
  if (!file.endsWith('.gz')) return raw;
  const gunzip = createGunzip();
  // Errors of either come out of the one that is read.
  pipeline(raw, gunzip, () => undefined);
  return gunzip;
}
