import { constants } from 'node:fs';
import { access, lstat, open, statfs, unlink, type FileHandle } from 'node:fs/promises';
import { CaptureError } from '../errors.ts';
import { inside, openDirectoryInside, systemCode } from './container-path.ts';
import type { ProcessFacts } from './process-facts.ts';
import { holesRefusal } from './punch-holes.ts';
import { maxSegmentCount } from './segment-files.ts';

/** f_type of file systems whose pages are memory and count to the container's limit. Source: statfs(2). */
const memoryFileSystems = new Map([
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
  [0x958458f6, 'hugetlbfs'],
]);

/** Where the JVM is to write its dump. Its directory stays open, so that the files can be removed after the JVM. */
export interface DumpPlace {
  readonly fileName: string;
  /** In the JVM's own view. */
  readonly jvmPath: string;
  readonly directory: FileHandle;
  /** There is no room for the whole dump: it fits only if space is given back while it is written. */
  readonly windowed: boolean;
  /** Removes the dump and its segments, as far as they are there. Returns how many files were removed. */
  remove(): Promise<number>;
  /** Puts an empty file where the dump would be; `taken` when one is there. */
  occupy(): Promise<'occupied' | 'taken'>;
  close(): Promise<void>;
}

export interface DumpPlaceRequest {
  /** Under which the directories are looked up: the container's root, or one that has the same volumes. */
  readonly rootPath: string;
  readonly jvm: ProcessFacts;
  /** In the container's view, best first. */
  readonly directories: readonly string[];
  /** Bytes that the dump may have in a directory; more would evict the pod. */
  readonly sizeLimits?: Readonly<Record<string, number>>;
  readonly fileName: string;
  /** Free space asked for. */
  readonly neededBytes: number;
  /** What is enough where holes can be punched behind what is stored; absent when none will be. */
  readonly neededWithHolesBytes?: number;
}

/**
 * The first directory that exists, is on a disk, may be written by the JVM's user, and has room.
 * Access is judged by mode bits; access control lists and security modules can still refuse, which then
 * shows as a failed dump.
 * @throws CaptureError DumpPlaceUnavailable: names each directory and what speaks against it.
 */
export async function findDumpPlace(request: DumpPlaceRequest): Promise<DumpPlace> {
  const refusals: string[] = [];
  for (const path of request.directories) {
    const checked = await check(request, path);
    if (typeof checked === 'object') return checked;
    refusals.push(`${path}: ${checked}`);
  }
  throw new CaptureError(
    'DumpPlaceUnavailable',
    `no directory of the container can take a dump of ${request.neededBytes} bytes: ${refusals.join('; ')}`,
  );
}

async function check(request: DumpPlaceRequest, path: string): Promise<DumpPlace | string> {
  let directory: FileHandle | undefined;
  try {
    directory = await openDirectoryInside(request.rootPath, path);
    const space = await spaceOf(directory, request.sizeLimits?.[path]);
    const refusal = await refusalOf(directory, request, space);
    if (refusal !== undefined) {
      await directory.close();
      return refusal;
    }
    const windowed = space.bytes < request.neededBytes;
    return placeIn(directory, path, { fileName: request.fileName, windowed });
  } catch (error) {
    await directory?.close();
    return refusalWords(systemCode(error));
  }
}

async function refusalOf(
  directory: FileHandle,
  { jvm, fileName, neededBytes, neededWithHolesBytes }: DumpPlaceRequest,
  space: Space,
): Promise<string | undefined> {
  const { type } = await statfs(inside(directory, '.'));
  const memoryBacked = memoryFileSystems.get(type);
  if (memoryBacked !== undefined) {
    return `is on ${memoryBacked}, which counts to the container's memory`;
  }
  const { mode, uid, gid } = await directory.stat();
  if (!mayWrite(jvm, { mode, uid, gid })) {
    const octal = (mode & 0o7777).toString(8);
    return `uid ${jvm.uid} may not write to it (mode ${octal}, owner ${uid}:${gid})`;
  }
  await access(inside(directory, '.'), constants.W_OK);
  if (space.bytes < neededBytes) {
    if (neededWithHolesBytes === undefined) return space.words;
    if (space.bytes < neededWithHolesBytes) {
      return `${space.words}; with holes punched ${neededWithHolesBytes} are needed`;
    }
    const refusal = await holesRefusal(directory);
    if (refusal !== undefined) {
      return `${space.words}, and holes cannot be punched (${refusal})`;
    }
  }
  const present = await lstat(inside(directory, fileName)).catch(() => undefined);
  return present && `holds ${fileName} already`;
}

interface Space {
  readonly bytes: number;
  readonly words: string;
}

async function spaceOf(directory: FileHandle, limitBytes = Infinity): Promise<Space> {
  const { bavail, bsize } = await statfs(inside(directory, '.'));
  const freeBytes = bavail * bsize;
  return limitBytes < freeBytes
    ? { bytes: limitBytes, words: `may take ${limitBytes} bytes by its limit` }
    : { bytes: freeBytes, words: `has ${freeBytes} bytes free` };
}

/** By mode bits alone: access control lists and security modules can still refuse. */
export function mayWrite(
  jvm: ProcessFacts,
  { mode, uid, gid }: { mode: number; uid: number; gid: number },
): boolean {
  if (jvm.uid === 0) return true;
  if (jvm.uid === uid) return (mode & 0o300) === 0o300;
  if (jvm.gid === gid || jvm.groups.includes(gid)) return (mode & 0o030) === 0o030;
  return (mode & 0o003) === 0o003;
}

function refusalWords(code: string | undefined): string {
  if (code === 'ENOENT') return 'does not exist';
  if (code === 'ENOTDIR') return 'is not a directory';
  if (code === 'EROFS') return 'is read-only';
  return `cannot be used (${code ?? 'unknown'})`;
}

function placeIn(
  directory: FileHandle,
  path: string,
  { fileName, windowed }: { fileName: string; windowed: boolean },
): DumpPlace {
  return {
    fileName,
    windowed,
    jvmPath: path.endsWith('/') ? `${path}${fileName}` : `${path}/${fileName}`,
    directory,
    remove: async () => {
      const segments = Array.from({ length: maxSegmentCount }, (_, n) => `${fileName}.p${n}`);
      const names = [fileName, ...segments];
      const removals = names.map((name) =>
        unlink(inside(directory, name)).then(
          () => 1,
          () => 0,
        ),
      );
      return (await Promise.all(removals)).reduce((sum: number, one) => sum + one, 0);
    },
    occupy: async () => {
      try {
        await (await open(inside(directory, fileName), 'wx', 0o600)).close();
        return 'occupied';
      } catch {
        return 'taken';
      }
    },
    close: () => directory.close(),
  };
}
