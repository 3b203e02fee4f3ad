/**
 * The files of one JVM that the sensor reads once a second, opened once. Reads are synchronous: they are of the kernel's
 * own texts and of a page that the JVM has mapped, take some microseconds, and cost a tenth of a thread pool's turn.
 */
import { fstatSync, readSync, statfsSync } from 'node:fs';
import { open, readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { GcCounterReader, type GcCounters } from '../jvm/gc-counters.ts';
import type { MemoryUse } from '../jvm/jvm-metrics.ts';
import { memoryFolder, parseMemoryLimit } from './cgroup-limits.ts';
import { inside, openDirectoryInside, openRegularFile } from './container-path.ts';
import { openPrivateCounters } from './private-counters.ts';
import { readBounded, type ProcessFacts } from './process-facts.ts';
import { readTextInside } from './work-beside.ts';

/** HotSpot's default is 32 KiB (-XX:PerfDataMemorySize). */
const maxCounterBytes = 256 * 1024;
const maxTextBytes = 16 * 1024;
/** File systems whose server could let a read wait: nothing is read from there. Source: statfs(2), linux/magic.h. */
const remoteFileSystems: ReadonlySet<number> = new Set([
  0x6969, // NFS
  0x65735546, // FUSE
  0xff534d42, // CIFS
  0xfe534d42, // SMB2
  0x01021997, // 9P
  0x00c36400, // Ceph
]);

/** Reads between two looks at what hardly ever changes. */
const seldom = 15;

/** One buffer for all: a read is used up before the next one. */
const shared = Buffer.alloc(maxCounterBytes);

export interface SensedMoment {
  readonly counters: GcCounters;
  readonly memory?: MemoryUse;
}

interface CounterFile {
  readonly file: FileHandle;
  readonly bytes: number;
  readonly position: bigint;
}

interface MemoryFiles {
  readonly unified: boolean;
  readonly usage: FileHandle;
  readonly stat: FileHandle;
  readonly limit: FileHandle;
}

export class SensedFiles {
  readonly #stat: FileHandle;
  readonly #startTicks: string;
  #memory: MemoryFiles | undefined;
  #counters: CounterFile | undefined;
  #reader: GcCounterReader | undefined;
  #limitBytes: number | undefined;
  #readCount = 0;
  #lookCount = 0;
  #closed = false;

  /** `undefined` when the process is gone. */
  static async open(procRoot: string, jvm: ProcessFacts): Promise<SensedFiles | undefined> {
    const folder = join(procRoot, String(jvm.pid));
    const stat = await open(join(folder, 'stat'), 'r').catch(() => undefined);
    if (stat === undefined) return undefined;
    const files = new SensedFiles(stat, jvm.startTicks ?? '');
    await files.look(procRoot, jvm);
    return files;
  }

  private constructor(stat: FileHandle, startTicks: string) {
    this.#stat = stat;
    this.#startTicks = startTicks;
  }

  /** Opens what was not there yet: counters appear when the JVM has begun. */
  async look(procRoot: string, jvm: ProcessFacts): Promise<void> {
    const root = join(procRoot, String(jvm.pid), 'root');
    this.#memory ??= await openMemory(procRoot, jvm).catch(() => undefined);
    this.#counters ??= await openCounters(root, jvm).catch(() => undefined);
    this.#lookCount += 1;
    // The shared file is there a moment after the start. What has none is searched twice, and then has no counters.
    if (this.#lookCount > 1 && this.#lookCount <= 3) {
      this.#counters ??= await openPrivateCounters(join(procRoot, String(jvm.pid)));
    }
    if (this.#counters !== undefined) this.#reader ??= GcCounterReader.of(this.#counterBytes());
    // The process can have ended meanwhile.
    if (this.#closed) this.close();
  }

  /** Whether something is still missing that could yet appear. */
  get incomplete(): boolean {
    return this.#memory === undefined || this.#reader === undefined;
  }

  /** `undefined` once the process has ended; what cannot be read of a running one is absent. */
  read(): SensedMoment | undefined {
    if (!this.#runs()) return undefined;
    this.#readCount += 1;
    if (this.#readCount % seldom === 0) this.#dropRemovedCounters();
    const counters = this.#readCounters();
    const memory = this.#readMemory();
    return { counters: counters ?? {}, ...(memory && { memory }) };
  }

  close(): void {
    this.#closed = true;
    const { usage, stat, limit } = this.#memory ?? {};
    for (const file of [this.#stat, this.#counters?.file, usage, stat, limit]) {
      if (file !== undefined) void file.close().catch(() => undefined);
    }
  }

  /** An open stat of an ended process answers ESRCH; field 3 is Z of one that only waits for its parent. */
  #runs(): boolean {
    const text = readText(this.#stat, 4_096);
    if (text === undefined) return false;
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ', 20);
    return !/^[ZXx]/.test(fields[0] ?? 'X') && fields[19] === this.#startTicks;
  }

  /**
   * A JVM removes what an earlier one of the same pid left in a volume, and begins a file of its own: the old one, if it
   * was opened in between, would show the same numbers for ever.
   */
  #dropRemovedCounters(): void {
    const { file, position } = this.#counters ?? {};
    if (file === undefined || position !== 0n || fstatSync(file.fd).nlink > 0) return;
    void file.close().catch(() => undefined);
    this.#counters = undefined;
    this.#reader = undefined;
  }

  #readCounters(): GcCounters | undefined {
    if (this.#counters === undefined || this.#reader === undefined) return undefined;
    const bytes = this.#counterBytes();
    const counters = this.#reader.read(bytes);
    if (counters === undefined) this.#reader = GcCounterReader.of(bytes);
    return counters ?? this.#reader?.read(bytes);
  }

  #counterBytes(): Uint8Array {
    if (this.#counters === undefined) return new Uint8Array();
    try {
      const { file, bytes, position } = this.#counters;
      return shared.subarray(0, readSync(file.fd, shared, 0, bytes, position));
    } catch {
      return new Uint8Array();
    }
  }

  /** The limit can be changed in place, but is not every second. */
  #readMemory(): MemoryUse | undefined {
    if (this.#memory === undefined) return undefined;
    const { unified, usage, stat, limit } = this.#memory;
    const usedBytes = Number(readText(usage, 64) ?? NaN);
    const text = readText(stat, maxTextBytes);
    if (!Number.isFinite(usedBytes) || text === undefined) return undefined;
    if (this.#readCount % seldom === 1) {
      const bytes = parseMemoryLimit(readText(limit, 64));
      this.#limitBytes = typeof bytes === 'number' ? bytes : undefined;
    }
    const prefix = unified ? '' : 'total_';
    const inactive = statBytes(text, `${prefix}inactive_file`);
    const active = statBytes(text, `${prefix}active_file`);
    return {
      heldBytes: Math.max(0, usedBytes - inactive - active),
      workingSetBytes: Math.max(0, usedBytes - inactive),
      ...(this.#limitBytes !== undefined && { limitBytes: this.#limitBytes }),
    };
  }
}

function statBytes(text: string, name: string): number {
  const at = text.startsWith(`${name} `) ? 0 : text.indexOf(`\n${name} `) + 1;
  if (at === 0 && !text.startsWith(`${name} `)) return 0;
  return Number.parseInt(text.slice(at + name.length + 1, at + name.length + 24), 10);
}

function readText(file: FileHandle, maxBytes: number): string | undefined {
  try {
    return shared.toString('latin1', 0, readSync(file.fd, shared, 0, maxBytes, 0));
  } catch {
    return undefined;
  }
}

async function openMemory(procRoot: string, jvm: ProcessFacts): Promise<MemoryFiles | undefined> {
  const own = join(procRoot, String(jvm.pid));
  const root = join(own, 'root');
  const text = (await readBounded(join(own, 'cgroup'), 64 * 1024))?.toString('latin1') ?? '';
  const place = await memoryFolder(text, (path) => readTextInside(root, path));
  if (place === undefined) return undefined;
  const unified = place.version === 2;
  const folder = await openDirectoryInside(root, place.folder);
  const names = unified
    ? (['memory.current', 'memory.stat', 'memory.max'] as const)
    : (['memory.usage_in_bytes', 'memory.stat', 'memory.limit_in_bytes'] as const);
  const opened: FileHandle[] = [];
  try {
    for (const name of names) opened.push((await openRegularFile(inside(folder, name))).file);
  } catch (error) {
    await Promise.all(opened.map((file) => file.close()));
    throw error;
  } finally {
    await folder.close();
  }
  const [usage, stat, limit] = opened as [FileHandle, FileHandle, FileHandle];
  return { unified, usage, stat, limit };
}

/** As readPerfData does; the file is kept open. */
async function openCounters(root: string, jvm: ProcessFacts): Promise<CounterFile | undefined> {
  const tmp = await openDirectoryInside(root, '/tmp');
  const users = await readdir(inside(tmp, '.')).finally(() => tmp.close());
  for (const user of users.filter((name) => name.startsWith('hsperfdata_')).slice(0, 50)) {
    const directory = await openDirectoryInside(root, `/tmp/${user}`).catch(() => undefined);
    if (directory === undefined) continue;
    try {
      const { file, stats } = await openRegularFile(inside(directory, String(jvm.namespacePid)));
      const local = !remoteFileSystems.has(statfsSync(`/proc/self/fd/${file.fd}`).type);
      if (stats.uid === jvm.uid && stats.size <= maxCounterBytes && local) {
        return { file, bytes: stats.size, position: 0n };
      }
      await file.close();
    } catch {
      // Another user's folder, or no counters of this process in it.
    } finally {
      await directory.close();
    }
  }
  return undefined;
}
