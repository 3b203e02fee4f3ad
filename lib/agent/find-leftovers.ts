import type { FileHandle } from 'node:fs/promises';
import { opendir, readdir, readlink, stat } from 'node:fs/promises';
import { basename, dirname, join, normalize } from 'node:path';
import type { Ticket } from '../capture/ticket.ts';
import { messageOf } from '../errors.ts';
import { dumpNameOf } from '../hprof/leftover-name.ts';
import { fileHeaderBytes, readHeader } from '../hprof/records.ts';
import { parseDumpOptions, type DumpOptions } from '../jvm/dump-options.ts';
import {
  inside,
  openDirectoryInside,
  openRegularFile,
  openSubdirectory,
  systemCode,
} from './container-path.ts';
import { readBounded, type ProcessFacts } from './process-facts.ts';
import { withoutEndSlashes } from '../capture/mount-path.ts';

const maxDepth = 3;
const maxEntryCount = 20_000;
const maxFolderCount = 500;
const maxCandidateCount = 100;
const maxOpenFileCount = 10_000;
/** Kubernetes tells times in whole seconds, and the last write can come just after the end was noted. */
export const slackMilliseconds = 2_000;

/** Tells a file from a later one of the same name, and from itself after a write. */
export interface FileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly bytes: bigint;
  readonly modifiedNanoseconds: bigint;
}

export interface Leftover {
  /** In the container's own view. */
  readonly path: string;
  readonly fileName: string;
  /** Stays open, so that the file can be removed whatever becomes of the path; the caller closes it. */
  readonly directory: FileHandle;
  readonly identity: FileIdentity;
}

export interface FoundLeftovers {
  /** Files with the header of a dump, newest first. */
  readonly leftovers: readonly Leftover[];
  /** Files that look like a dump by their name, and why they are none to collect. */
  readonly passedOver: readonly { path: string; reason: string }[];
  /** Whether a bound ended the search before its end. */
  readonly cut: boolean;
  readonly options: DumpOptions;
  /** Where the JVM would write a dump, in its own view, and whether that is in one of the volumes. */
  readonly heapDumpPath: string;
  readonly heapDumpPathInVolume: boolean;
}

interface Search {
  readonly jvm: ProcessFacts;
  readonly order: NonNullable<Ticket['leftovers']>;
  readonly openFiles: ReadonlySet<string>;
  readonly found: Leftover[];
  readonly passedOver: { path: string; reason: string }[];
  readonly seen: Set<string>;
  entryCount: number;
  folderCount: number;
  cut: boolean;
}

/**
 * Looks through the container's volumes for dumps of the life before this one: regular files of the JVM's user, last
 * written before that life had ended, that this JVM does not hold open. No link is followed below a mount point, and
 * depth and number of entries are bounded, since the container's owner fills these directories.
 */
export async function findLeftovers(
  procRoot: string,
  jvm: ProcessFacts,
  order: NonNullable<Ticket['leftovers']>,
): Promise<FoundLeftovers> {
  const folder = join(procRoot, String(jvm.pid));
  const { options, heapDumpPath } = await readDumpPath(folder);
  const search: Search = {
    ...{ jvm, order, openFiles: await openFilesOf(folder) },
    ...{ found: [], passedOver: [], seen: new Set(), entryCount: 0, folderCount: 0, cut: false },
  };
  const root = join(folder, 'root');
  const volume = volumeOf(heapDumpPath, order.directories);
  if (volume !== undefined) {
    // It can lie deeper than the search goes, and name a file that no rule would take for a dump.
    await lookAlong(search, root, heapDumpPath, { outlivesPod: volume.outlivesPod, depth: 0 });
    const exactly = { outlivesPod: volume.outlivesPod, depth: 0, name: basename(heapDumpPath) };
    await lookAlong(search, root, dirname(heapDumpPath), exactly);
  }
  for (const { path, outlivesPod } of order.directories) {
    await lookAlong(search, root, path, { outlivesPod, depth: maxDepth });
  }
  const newestFirst = search.found.sort((one, other) =>
    one.identity.modifiedNanoseconds < other.identity.modifiedNanoseconds ? 1 : -1,
  );
  return {
    leftovers: newestFirst,
    passedOver: search.passedOver,
    cut: search.cut,
    options,
    heapDumpPath,
    heapDumpPathInVolume: volume !== undefined,
  };
}

/** Nothing of the environment is read but the one variable that holds options of the JVM. */
export async function readJvmOptions(
  folder: string,
): Promise<{ commandLine: readonly string[]; toolOptions: string | undefined }> {
  const [cmdline, environ] = await Promise.all(
    ['cmdline', 'environ'].map((name) => readBounded(join(folder, name), 1024 * 1024)),
  );
  const name = 'JAVA_TOOL_OPTIONS=';
  const variables = environ?.toString().split('\0') ?? [];
  const toolOptions = variables.find((one) => one.startsWith(name))?.slice(name.length);
  return { commandLine: cmdline?.toString().split('\0').slice(1) ?? [], toolOptions };
}

async function readDumpPath(
  folder: string,
): Promise<{ options: DumpOptions; heapDumpPath: string }> {
  const { commandLine, toolOptions } = await readJvmOptions(folder);
  const options = parseDumpOptions(commandLine, toolOptions);
  const cwd = await readlink(join(folder, 'cwd')).catch(() => '/');
  const given = options.heapDumpPath ?? '.';
  return { options, heapDumpPath: normalize(given.startsWith('/') ? given : join(cwd, given)) };
}

/** The volume in which a path lies, if it does in one. */
export function volumeOf(
  path: string,
  directories: NonNullable<Ticket['leftovers']>['directories'],
): { outlivesPod: boolean } | undefined {
  return directories.find((one) => `${path}/`.startsWith(`${withoutEndSlashes(one.path)}/`));
}

/** What the running JVM has open: it may be writing to it. Read by device and inode, as names lie. */
export async function openFilesOf(folder: string): Promise<ReadonlySet<string>> {
  const open = new Set<string>();
  const numbers = await readdir(join(folder, 'fd')).catch(() => []);
  for (const number of numbers.slice(0, maxOpenFileCount)) {
    const facts = await stat(join(folder, 'fd', number), { bigint: true }).catch(() => undefined);
    if (facts?.isFile() === true) open.add(`${facts.dev}:${facts.ino}`);
  }
  return open;
}

interface Look {
  readonly outlivesPod: boolean;
  /** Levels of subdirectories still to go. */
  readonly depth: number;
  /** Only this name, whatever it looks like. */
  readonly name?: string;
}

async function lookAlong(search: Search, root: string, path: string, look: Look): Promise<void> {
  try {
    await lookInto(search, await openDirectoryInside(root, path), path, look);
  } catch (error) {
    const code = systemCode(error);
    // A HeapDumpPath that names a file, or that no dump was ever written to.
    if (code === 'ENOENT' || code === 'ENOTDIR') return;
    search.passedOver.push({ path, reason: `cannot be looked into (${code ?? messageOf(error)})` });
  }
}

/** Takes the directory over: it is closed here unless a leftover was found in it. */
async function lookInto(
  search: Search,
  directory: FileHandle,
  path: string,
  look: Look,
): Promise<void> {
  const before = search.found.length;
  const folders: string[] = [];
  search.folderCount += 1;
  try {
    for await (const entry of await opendir(inside(directory, '.'), { bufferSize: 256 })) {
      search.entryCount += 1;
      search.cut ||= search.entryCount > maxEntryCount || search.folderCount > maxFolderCount;
      if (search.cut) break;
      if (look.name !== undefined && entry.name !== look.name) continue;
      if (entry.isDirectory() && look.depth > 0) folders.push(entry.name);
      if (entry.isFile()) await judge(search, directory, join(path, entry.name), look);
    }
    for (const name of folders) {
      if (search.cut) break;
      const below = join(path, name);
      try {
        const next = await openSubdirectory(directory, name);
        await lookInto(search, next, below, { ...look, depth: look.depth - 1 });
      } catch (error) {
        search.passedOver.push({
          path: below,
          reason: `cannot be looked into (${systemCode(error) ?? 'unknown'})`,
        });
      }
    }
  } finally {
    const used = search.found.slice(before).some((one) => one.directory === directory);
    if (!used) await directory.close();
  }
}

async function judge(
  search: Search,
  directory: FileHandle,
  path: string,
  look: Look,
): Promise<void> {
  const fileName = basename(path);
  const name = dumpNameOf(fileName) ?? (look.name === fileName ? { kind: 'dump' } : undefined);
  if (name === undefined) return;
  const pass = (reason: string): void => void search.passedOver.push({ path, reason });
  if (name.kind === 'compressed') return pass('is compressed; accepted is .hprof');
  if ('captureId' in name && name.captureId === search.order.heldCaptureId) {
    return pass(`belongs to capture ${name.captureId}, which has not ended`);
  }
  if (search.found.length >= maxCandidateCount) {
    search.cut = true;
    return;
  }
  try {
    const { file } = await openRegularFile(inside(directory, fileName));
    try {
      const facts = await file.stat({ bigint: true });
      const key = `${facts.dev}:${facts.ino}`;
      if (search.seen.has(key)) return;
      search.seen.add(key);
      const modified = Number(facts.mtimeNs / 1_000_000n);
      const refusal = refusalOf(search, look, { uid: Number(facts.uid), key, modified });
      if (refusal !== undefined) return pass(refusal);
      const head = Buffer.alloc(fileHeaderBytes);
      await file.read(head, 0, head.length, 0);
      readHeader(head);
      const identity = identityOf(facts);
      search.found.push({ path, fileName, directory, identity });
    } finally {
      await file.close();
    }
  } catch (error) {
    pass(messageOf(error, 200));
  }
}

export function identityOf(facts: {
  dev: bigint;
  ino: bigint;
  size: bigint;
  mtimeNs: bigint;
}): FileIdentity {
  return {
    device: facts.dev,
    inode: facts.ino,
    bytes: facts.size,
    modifiedNanoseconds: facts.mtimeNs,
  };
}

function refusalOf(
  { jvm, order, openFiles }: Search,
  { outlivesPod }: Look,
  { uid, key, modified }: { uid: number; key: string; modified: number },
): string | undefined {
  if (uid !== jvm.uid) return `belongs to uid ${uid}, the JVM is uid ${jvm.uid}`;
  if (openFiles.has(key)) return 'is open in the running JVM';
  const { startedTime, finishedTime } = order.termination;
  const end = finishedTime === undefined ? Date.now() : Date.parse(finishedTime);
  if (modified > end + slackMilliseconds) return 'was written after that life had ended';
  // What outlives the pod can be anybody's, and kept on purpose: only that very life's files are taken.
  if (!outlivesPod) return undefined;
  if (startedTime === undefined)
    return 'lies in a volume that outlives the pod, and it is not known when that life began';
  return modified < Date.parse(startedTime) - slackMilliseconds
    ? 'was written before that life, in a volume that outlives the pod'
    : undefined;
}
