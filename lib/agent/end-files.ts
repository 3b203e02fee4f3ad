/**
 * The text files that an ended life of a JVM left in volumes: crash log and GC log. They are the application's, so that
 * they are read and never removed; their times tell whose they are.
 */
import type { FileHandle } from 'node:fs/promises';
import { opendir, readlink } from 'node:fs/promises';
import { basename, dirname, join, normalize } from 'node:path';
import type { Ticket } from '../capture/ticket.ts';
import { CaptureError, messageOf } from '../errors.ts';
import { crashHeadBytes, readCrashHead } from '../jvm/crash-log.ts';
import { logNamePattern, parseLogOptions } from '../jvm/log-options.ts';
import { inside, openDirectoryInside, openRegularFile } from './container-path.ts';
import { noteFault, storeFromFile, type EvidenceSteps } from './evidence-steps.ts';
import { openFilesOf, readJvmOptions, slackMilliseconds, volumeOf } from './find-leftovers.ts';
import type { ProcessFacts } from './process-facts.ts';

/** A crash log has some 100 KiB; what matters stands at its head. */
const maxCrashLogBytes = 2 * 1024 * 1024;
/** What came last matters. */
const maxGcLogBytes = 4 * 1024 * 1024;
const maxDirectoryCount = 32;
const maxEntryCount = 5_000;
const maxNoticedCount = 100;
const maxNamedCount = 5;

/** Memory images and replays of the compiler: large, or of use to the JVM's developers only. They are named. */
const namedOnly = /^(?:core(?:\.[\w.-]{1,100})?|replay_pid\d{1,10}\.log)$/;

interface EndFile {
  readonly path: string;
  readonly bytes: number;
  readonly modifiedMilliseconds: number;
  readonly file: FileHandle;
}

interface Search {
  readonly order: NonNullable<Ticket['leftovers']>;
  readonly jvm: ProcessFacts;
  readonly openFiles: ReadonlySet<string>;
  readonly found: Partial<Record<'crashLog' | 'gcLog', EndFile>>;
  readonly named: string[];
}

/**
 * Stores what is wanted of the newest crash log and GC log of the life that ended, notes what the crash log's head says, and
 * names core files and replays. Where the JVM writes them is read from the options and the working directory of the running
 * one, as the container starts the same again. Never rejects: what cannot be read is a fault.
 */
export async function collectEndFiles(
  steps: EvidenceSteps & { readonly procRoot: string },
  jvm: ProcessFacts,
  order: NonNullable<Ticket['leftovers']>,
): Promise<void> {
  const folder = join(steps.procRoot, String(jvm.pid));
  const openFiles = await openFilesOf(folder);
  const search: Search = { order, jvm, openFiles, found: {}, named: [] };
  try {
    for (const [path, patterns] of await placesOf(folder, order)) {
      await lookInto(search, join(folder, 'root'), path, patterns);
    }
    const { crashLog, gcLog } = search.found;
    if (crashLog !== undefined) {
      const head = await readPart(crashLog, 0, crashHeadBytes);
      const crash = readCrashHead(head.toString('latin1'));
      if (crash !== undefined) {
        steps.manifest.crash = crash;
        await storeFromFile(steps, 'crashLog', async () => [
          await readPart(crashLog, 0, maxCrashLogBytes),
          ...cutNote(crashLog.bytes > maxCrashLogBytes, `the first ${maxCrashLogBytes}`),
        ]);
      }
    }
    if (gcLog !== undefined) {
      const start = Math.max(0, gcLog.bytes - maxGcLogBytes);
      await storeFromFile(steps, 'gcLog', async () => [
        ...cutNote(start > 0, `the last ${maxGcLogBytes}`),
        await readPart(gcLog, start, maxGcLogBytes),
      ]);
    }
    steps.log.info('logs of the ended life looked for', {
      crashLog: crashLog?.path,
      gcLog: gcLog?.path,
      named: search.named.slice(0, maxNamedCount),
    });
    nameOthers(steps, search.named);
  } catch (error) {
    noteFault(steps, error, 'logs of the ended life: ');
  } finally {
    for (const { file } of Object.values(search.found)) await file.close();
  }
}

function nameOthers(steps: EvidenceSteps, named: readonly string[]): void {
  if (named.length === 0) return;
  const more = named.length > maxNamedCount ? `; and ${named.length - maxNamedCount} more` : '';
  const message = `files that are not collected stay: ${named.slice(0, maxNamedCount).join('; ')}${more}`;
  noteFault(steps, new CaptureError('LeftoverStays', message));
}

interface Patterns {
  readonly crashLog: RegExp[];
  readonly gcLog: RegExp[];
}

/** The directories in volumes where such files can lie, and what their names look like there. */
async function placesOf(
  folder: string,
  order: NonNullable<Ticket['leftovers']>,
): Promise<ReadonlyMap<string, Patterns>> {
  const { commandLine, toolOptions } = await readJvmOptions(folder);
  const { errorFile, gcLogs } = parseLogOptions(commandLine, toolOptions);
  const cwd = await readlink(join(folder, 'cwd')).catch(() => '/');
  const places = new Map<string, Patterns>();
  const add = (kind: keyof Patterns, path: string): void => {
    const full = normalize(path.startsWith('/') ? path : join(cwd, path));
    const directory = dirname(full);
    if (volumeOf(directory, order.directories) === undefined) return;
    const patterns = places.get(directory) ?? { crashLog: [], gcLog: [] };
    patterns[kind].push(logNamePattern(basename(full)));
    if (places.size < maxDirectoryCount) places.set(directory, patterns);
  };
  if (errorFile !== undefined) add('crashLog', errorFile);
  for (const gcLog of gcLogs) add('gcLog', gcLog);
  // Its own choice without an option: the working directory, else the temporary one (vmError.cpp). A mount point is
  // where people mean it to go.
  const others = [cwd, '/tmp', ...order.directories.map(({ path }) => path)];
  for (const directory of others) add('crashLog', join(directory, 'hs_err_pid%p.log'));
  return places;
}

async function lookInto(
  search: Search,
  root: string,
  path: string,
  patterns: Patterns,
): Promise<void> {
  const directory = await openDirectoryInside(root, path).catch(() => undefined);
  if (directory === undefined) return;
  try {
    let entryCount = 0;
    for await (const entry of await opendir(inside(directory, '.'), { bufferSize: 256 })) {
      entryCount += 1;
      if (entryCount > maxEntryCount) break;
      if (!entry.isFile()) continue;
      const { name } = entry;
      const kind = (['crashLog', 'gcLog'] as const).find((one) =>
        patterns[one].some((pattern) => pattern.test(name)),
      );
      if (kind !== undefined || namedOnly.test(name)) {
        await judge(search, directory, join(path, name), kind);
      }
    }
  } finally {
    await directory.close();
  }
}

/** Keeps the newest of each kind open. What cannot be opened is passed over: it is somebody else's. */
async function judge(
  search: Search,
  directory: FileHandle,
  path: string,
  kind: 'crashLog' | 'gcLog' | undefined,
): Promise<void> {
  const opened = await openRegularFile(inside(directory, basename(path))).catch(
    (error: unknown) => ({ reason: messageOf(error) }),
  );
  if ('reason' in opened) return;
  const { file } = opened;
  let kept: FileHandle | undefined;
  try {
    const facts = await file.stat({ bigint: true });
    const modifiedMilliseconds = Number(facts.mtimeNs / 1_000_000n);
    const own =
      Number(facts.uid) === search.jvm.uid &&
      !search.openFiles.has(`${facts.dev}:${facts.ino}`) &&
      isOfThatLife(search, path, modifiedMilliseconds);
    if (!own) return;
    const bytes = Number(facts.size);
    if (kind === undefined) {
      if (search.named.length < maxNoticedCount) search.named.push(`${path} (${bytes} bytes)`);
      return;
    }
    const before = search.found[kind];
    if (before !== undefined && before.modifiedMilliseconds >= modifiedMilliseconds) return;
    await before?.file.close();
    search.found[kind] = { path, bytes, modifiedMilliseconds, file };
    kept = file;
  } finally {
    if (kept === undefined) await file.close();
  }
}

/** They are not removed, so that even in an emptyDir an earlier life's lie beside that life's. */
function isOfThatLife({ order }: Search, path: string, modified: number): boolean {
  const { startedTime, finishedTime } = order.termination;
  const end = finishedTime === undefined ? Date.now() : Date.parse(finishedTime);
  if (modified > end + slackMilliseconds) return false;
  if (startedTime !== undefined) return modified >= Date.parse(startedTime) - slackMilliseconds;
  return volumeOf(path, order.directories)?.outlivesPod === false;
}

async function readPart(
  { file, bytes }: EndFile,
  start: number,
  maxBytes: number,
): Promise<Buffer> {
  const buffer = Buffer.alloc(Math.min(maxBytes, bytes - start));
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, start + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

function cutNote(cut: boolean, what: string): Buffer[] {
  return cut ? [Buffer.from(`\n[cut: only ${what} bytes]\n`)] : [];
}
