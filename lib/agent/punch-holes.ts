import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { inside, systemCode } from './container-path.ts';

/** File systems free whole blocks; of one that is cut by the range they would only write zeros. */
const blockBytes = 4_096;
const punchTimeoutMilliseconds = 10_000;
const maxErrorBytes = 500;
const probeBytes = 16 * blockBytes;

/** util-linux's program: the image has it beside its Node, a machine on its PATH. Node has no such call. */
const besideNode = join(dirname(process.execPath), 'fallocate');
const installedProgram = existsSync(besideNode) ? besideNode : 'fallocate';

export interface HolePuncherOptions {
  readonly log: Logger;
  /** A file is punched each time so many more bytes of it are stored: each time costs a process. */
  readonly stepBytes: number;
  /**
   * So much of each file's beginning keeps its space: at least what is read at once. From JDK 22 on the JVM copies a segment
   * into the base, holes and all, and the follower must find its first record there.
   */
  readonly headBytes?: number;
  readonly program?: string;
}

interface Punched {
  /** A descriptor of our own, open for writing. */
  readonly fd: number;
  endOffset: number;
  wantedOffset: number;
}

/**
 * Gives the disk space of a dump back behind what is stored, while the JVM still appends to it. A fault costs
 * nothing but the space: it is logged once, and no more holes are punched.
 * Nothing that it is told of may be read again.
 */
export class HolePuncher {
  readonly #log: Logger;
  readonly #stepBytes: number;
  readonly #headBytes: number;
  readonly #program: string;
  readonly #files = new Map<FileHandle, Punched>();
  #running: Promise<void> = Promise.resolve();
  #punching = false;
  #punchedBytes = 0;
  #disabled = false;

  constructor({ log, stepBytes, headBytes = 0, program = installedProgram }: HolePuncherOptions) {
    this.#log = log;
    this.#stepBytes = stepBytes;
    this.#headBytes = Math.ceil(headBytes / blockBytes) * blockBytes;
    this.#program = program;
  }

  /** Bytes of files that were given back. */
  get punchedBytes(): number {
    return this.#punchedBytes;
  }

  /** Everything up to endOffset is stored. Never waits and never throws; the file may be closed after the call. */
  durable(file: FileHandle, endOffset: number): void {
    if (this.#disabled) return;
    const punched = this.#files.get(file) ?? this.#take(file);
    if (punched === undefined) return;
    punched.wantedOffset = Math.max(
      punched.wantedOffset,
      Math.floor(endOffset / blockBytes) * blockBytes,
    );
    if (!this.#punching) this.#running = this.#punchAll();
  }

  /** Waits for the punch that runs, at most its ten seconds, and lets go of the files. */
  async close(): Promise<void> {
    this.#disabled = true;
    await this.#running;
    for (const { fd } of this.#files.values()) closeSync(fd);
    this.#files.clear();
  }

  /** The file is open for reading, and perhaps unlinked: its descriptor's name opens it anew, for writing. */
  #take(file: FileHandle): Punched | undefined {
    try {
      const punched = {
        fd: openSync(`/proc/self/fd/${file.fd}`, 'r+'),
        endOffset: this.#headBytes,
        wantedOffset: 0,
      };
      this.#files.set(file, punched);
      return punched;
    } catch (error) {
      this.#disable(`a dump file cannot be opened for writing (${systemCode(error) ?? 'unknown'})`);
      return undefined;
    }
  }

  async #punchAll(): Promise<void> {
    this.#punching = true;
    for (let due = this.#due(); due !== undefined; due = this.#due()) {
      const start = due.endOffset;
      const end = due.wantedOffset;
      try {
        await punch(this.#program, due.fd, start, end - start);
        due.endOffset = end;
        this.#punchedBytes += end - start;
      } catch (error) {
        this.#disable(messageOf(error, maxErrorBytes));
      }
    }
    this.#punching = false;
  }

  #due(): Punched | undefined {
    if (this.#disabled) return undefined;
    return [...this.#files.values()].find(
      ({ endOffset, wantedOffset }) => wantedOffset - endOffset >= this.#stepBytes,
    );
  }

  #disable(reason: string): void {
    this.#disabled = true;
    this.#log.warn('no holes are punched, the dump keeps its space until it is stored', { reason });
  }
}

/**
 * Whether a file in this directory can be given holes, tried on one of 64 KiB that is removed at once.
 * Answers `undefined` when it can, else why not.
 */
export async function holesRefusal(
  directory: FileHandle,
  program = installedProgram,
): Promise<string | undefined> {
  const path = inside(directory, `.heapcatch-${randomBytes(8).toString('hex')}`);
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_NOFOLLOW;
  let file: FileHandle | undefined;
  try {
    file = await open(path, flags, 0o600);
    await unlink(path);
    await file.writeFile(Buffer.alloc(probeBytes, 1));
    // Blocks are counted when they are allocated, which some file systems do only at a sync.
    await file.sync();
    const before = (await file.stat()).blocks;
    await punch(program, file.fd, 0, probeBytes);
    const after = (await file.stat()).blocks;
    return after < before ? undefined : 'the file system freed no block';
  } catch (error) {
    return systemCode(error) ?? messageOf(error, maxErrorBytes);
  } finally {
    await file?.close();
  }
}

/** @throws Error with the program's own words when it fails, is not there, or does not end in time. */
async function punch(program: string, fd: number, offset: number, bytes: number): Promise<void> {
  const args = ['--punch-hole', '--offset', String(offset), '--length', String(bytes)];
  const child = spawn(program, [...args, '/proc/self/fd/3'], {
    stdio: ['ignore', 'ignore', 'pipe', fd],
    signal: AbortSignal.timeout(punchTimeoutMilliseconds),
    killSignal: 'SIGKILL',
  });
  let words = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    if (words.length < maxErrorBytes) words += text;
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode, exitSignal) => resolve([exitCode, exitSignal]));
  });
  if (code === 0) return;
  const end = signal === null ? `exit code ${code ?? -1}` : `killed by ${signal}`;
  throw new Error(`${program} ${end}: ${words.trim().slice(0, maxErrorBytes)}`);
}
