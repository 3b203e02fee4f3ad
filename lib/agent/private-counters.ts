import { readSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { perfDataEntryCount } from '../jvm/hsperfdata.ts';
import { readBounded } from './process-facts.ts';

const pageBytes = 4096n;
const maxMapsBytes = 16 * 1024 * 1024;
/** HotSpot keeps them in 32 KiB of their own, which the kernel joins with small neighbours. */
const maxRegionBytes = 256n * 1024n;
const maxCounterBytes = 64 * 1024;
const maxPageCount = 20_000;

/** Counters in a process's memory. */
export interface PrivateCounters {
  /** `/proc/<pid>/mem`. */
  readonly file: FileHandle;
  readonly bytes: number;
  readonly position: bigint;
}

/**
 * The performance counters of a JVM that shares them with nobody: with -XX:+PerfDisableSharedMem, and where its user has no
 * name in /etc/passwd, of which the shared file's name is made. They begin a page of anonymous memory with their magic
 * number. Reads 32 bytes of each page that could be it: some tens of milliseconds, so this is not for every second.
 * `undefined` where there are none, or the memory may not be read. Source: perfMemory_posix.cpp, create_standard_memory.
 * @param folder `<procRoot>/<pid>`.
 */
export async function openPrivateCounters(folder: string): Promise<PrivateCounters | undefined> {
  const maps = (await readBounded(join(folder, 'maps'), maxMapsBytes))?.toString('latin1') ?? '';
  const file = await open(join(folder, 'mem'), 'r').catch(() => undefined);
  if (file === undefined) return undefined;
  const head = Buffer.alloc(32);
  let pageCount = 0;
  for (const [, from = '0', to = '0'] of maps.matchAll(
    /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) rw-p [0-9a-f]+ 00:00 0[ \t]*$/gm,
  )) {
    const [begin, end] = [BigInt(`0x${from}`), BigInt(`0x${to}`)];
    if (end - begin > maxRegionBytes) continue;
    for (let position = begin; position < end; position += pageBytes) {
      pageCount += 1;
      if (pageCount > maxPageCount || !beginsCounters(file, head, position)) continue;
      return { file, position, bytes: Math.min(Number(end - position), maxCounterBytes) };
    }
  }
  await file.close();
  return undefined;
}

function beginsCounters(file: FileHandle, head: Buffer, position: bigint): boolean {
  try {
    const count = readSync(file.fd, head, 0, head.length, position);
    return perfDataEntryCount(head.subarray(0, count)) !== undefined;
  } catch {
    return false;
  }
}
