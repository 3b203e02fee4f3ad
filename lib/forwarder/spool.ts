import { randomBytes } from 'node:crypto';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { signalSchema, type Signal } from '../signal/signal.ts';
import { validate } from '../validation.ts';
import type { ForwarderMetrics } from './metrics.ts';
import { SpoolDirectory } from './spool-directory.ts';
import type { Time } from './time.ts';

/** Older signals cannot lead to a dump any more: the container is long gone. */
export const maxSignalAgeSeconds = 15 * 60;
/** What one small file really takes; the bound is about the disk, not about characters. */
export const diskBlockBytes = 4096;
/** No signal comes near it; a file that does was not written here. */
const maxFileBytes = 256 * 1024;
/** Signals that the disk refused are kept in memory, at most this many of them. */
const maxMemoryEntryCount = 1_000;
const namePattern = /^(\d{15})-\d{9}-[0-9a-f]{8}\.json$/;

interface Entry {
  /** `<observed time, epoch milliseconds>-<sequence>-<random>.json`: names sort by time. */
  name: string;
  bytes: number;
  /** Present when the disk refused the file. */
  memory?: Signal;
}

export interface SpooledSignal {
  name: string;
  signal: Signal;
}

export interface SpoolOptions {
  directory: string;
  maxBytes: number;
  time: Time;
  metrics: ForwarderMetrics;
  log: Logger;
}

/**
 * Signals that the bus did not take yet: one file each, written beside and renamed, so that a file is whole or
 * not there. Survives a restart of the process, not of the node: nothing is synced (docs/decisions/forwarder.md).
 * When full the oldest go first; each that is dropped is counted in `heapcatch_signals_failed_total`.
 * Entries that are handed out by `takeNewest` are out of reach of others until put back or removed.
 */
export class Spool {
  readonly #options: SpoolOptions;
  readonly #directory: SpoolDirectory;
  /** Sorted by name: oldest first. */
  #entries: Entry[] = [];
  readonly #appending = new Set<Promise<void>>();
  readonly #taken = new Map<string, Entry>();
  #bytes = 0;
  #sequence = 0;
  #lastDropLogTime = Number.NEGATIVE_INFINITY;
  #unloggedDropCount = 0;

  private constructor(options: SpoolOptions) {
    this.#options = options;
    this.#directory = new SpoolDirectory(options.directory);
  }

  /** Opens the folder, creates it if needed, and takes over what an earlier process left. */
  static async open(options: SpoolOptions): Promise<Spool> {
    const spool = new Spool(options);
    try {
      await spool.#takeOver();
    } catch (error) {
      // A forwarder without a disk still sends; only an outage of the bus would then depend on memory.
      options.log.error('the spool folder cannot be used, keeping signals in memory', {
        error: messageOf(error),
        spoolDirectory: options.directory,
      });
    }
    return spool;
  }

  /** Entries that wait, handed-out ones included. */
  get entryCount(): number {
    return this.#entries.length + this.#taken.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps the signal, on disk or, when the disk refuses, in memory. Never throws. */
  async append(signal: Signal): Promise<void> {
    const appending = this.#append(signal);
    this.#appending.add(appending);
    await appending;
    this.#appending.delete(appending);
  }

  async #append(signal: Signal): Promise<void> {
    const text = JSON.stringify(signal);
    const entry: Entry = {
      name: this.#nameOf(signal),
      bytes: blocksOf(Buffer.byteLength(text)),
    };
    await this.#makeRoom(entry.bytes);
    // Counted before it is written, so that appends at the same time do not pass the bound together.
    this.#bytes += entry.bytes;
    try {
      await this.#directory.write(entry.name, text);
    } catch (error) {
      entry.memory = signal;
      this.#options.metrics.spoolWriteFaults.inc();
      this.#options.log.error('the disk refused a signal, it stays in memory', {
        error: messageOf(error),
      });
    }
    this.#insert(entry);
    if (entry.memory !== undefined) await this.#boundMemory();
    this.#report();
  }

  /**
   * Hands out at most `limit` signals, the newest first: those can still lead to a dump.
   * On the way, signals older than 15 minutes are dropped and unreadable files set aside, both counted.
   */
  async takeNewest(limit: number): Promise<readonly SpooledSignal[]> {
    await this.#dropAged();
    const found: SpooledSignal[] = [];
    while (found.length < limit) {
      const entry = this.#entries.pop();
      if (entry === undefined) break;
      this.#taken.set(entry.name, entry);
      const signal = entry.memory ?? (await this.#read(entry));
      if (signal === undefined) this.#taken.delete(entry.name);
      else found.push({ name: entry.name, signal });
    }
    this.#report();
    return found;
  }

  /** Ends the life of handed-out entries: the bus has them, or refused them for good. */
  async remove(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const entry = this.#taken.get(name);
      if (entry === undefined) continue;
      this.#taken.delete(name);
      await this.#discard(entry);
    }
    this.#report();
  }

  /** Gives handed-out entries back, for a later try. */
  putBack(names: readonly string[]): void {
    for (const name of names) {
      const entry = this.#taken.get(name);
      if (entry === undefined) continue;
      this.#taken.delete(name);
      this.#insert(entry);
    }
  }

  /**
   * Waits for what is being written, and tries once more to write what the disk had refused; what it refuses again
   * ends with the process, counted.
   */
  async close(): Promise<void> {
    await Promise.all(this.#appending);
    for (const entry of [...this.#entries, ...this.#taken.values()]) {
      if (entry.memory === undefined) continue;
      try {
        await this.#directory.write(entry.name, JSON.stringify(entry.memory));
        delete entry.memory;
      } catch {
        this.#fail('SpoolUnavailable', 1);
      }
    }
  }

  async #takeOver(): Promise<void> {
    for (const file of await this.#directory.open()) {
      if (!namePattern.test(file.name)) {
        await this.#setAside(file.name, 'not a name of the spool');
        continue;
      }
      const entry = { name: file.name, bytes: blocksOf(file.bytes) };
      this.#bytes += entry.bytes;
      this.#entries.push(entry);
    }
    await this.#makeRoom(0);
    this.#report();
  }

  #nameOf(signal: Signal): string {
    this.#sequence = (this.#sequence + 1) % 1_000_000_000;
    const milliseconds = Math.max(0, Date.parse(signal.observedTime));
    const order = String(milliseconds).padStart(15, '0');
    return `${order}-${String(this.#sequence).padStart(9, '0')}-${randomBytes(4).toString('hex')}.json`;
  }

  #insert(entry: Entry): void {
    // Nearly always the newest: found from the end.
    let at = this.#entries.length;
    while (at > 0 && (this.#entries[at - 1]?.name ?? '') > entry.name) at -= 1;
    this.#entries.splice(at, 0, entry);
  }

  async #read(entry: Entry): Promise<Signal | undefined> {
    try {
      if (entry.bytes > maxFileBytes) throw new Error(`larger than ${maxFileBytes} bytes`);
      const parsed: unknown = JSON.parse(await this.#directory.read(entry.name));
      return validate(signalSchema, parsed, 'InvalidSignal', 'spooled signal');
    } catch (error) {
      this.#bytes -= entry.bytes;
      await this.#setAside(entry.name, messageOf(error));
      this.#fail('SpoolCorrupt', 1);
      return undefined;
    }
  }

  async #setAside(name: string, why: string): Promise<void> {
    this.#options.metrics.spoolCorrupt.inc();
    this.#options.log.warn('set an unreadable spool file aside', { fileName: name, error: why });
    await this.#directory.setAside(name).catch((error: unknown) => {
      this.#options.log.warn('could not set a spool file aside', { error: messageOf(error) });
    });
  }

  async #dropAged(): Promise<void> {
    const oldest = this.#options.time.now().getTime() - maxSignalAgeSeconds * 1000;
    const first = this.#entries.findIndex((entry) => timeOf(entry) >= oldest);
    const aged = this.#entries.splice(0, first === -1 ? this.#entries.length : first);
    if (aged.length === 0) return;
    for (const entry of aged) await this.#discard(entry);
    this.#fail('SpoolExpired', aged.length);
  }

  async #makeRoom(bytes: number): Promise<void> {
    const { maxBytes } = this.#options;
    while (this.#bytes + bytes > maxBytes) {
      const oldest = this.#entries.shift();
      if (oldest === undefined) return;
      await this.#discard(oldest);
      this.#fail('SpoolFull', 1);
    }
  }

  async #boundMemory(): Promise<void> {
    const inMemory = this.#entries.filter((entry) => entry.memory !== undefined);
    for (const entry of inMemory.slice(0, Math.max(0, inMemory.length - maxMemoryEntryCount))) {
      this.#entries = this.#entries.filter((kept) => kept !== entry);
      await this.#discard(entry);
      this.#fail('SpoolUnavailable', 1);
    }
  }

  async #discard(entry: Entry): Promise<void> {
    this.#bytes -= entry.bytes;
    if (entry.memory !== undefined) return;
    await this.#directory.remove(entry.name).catch((error: unknown) => {
      // It comes back at the next start and is a repeat then, which is harmless.
      this.#options.log.warn('could not remove a spool file', { error: messageOf(error) });
    });
  }

  #fail(reason: string, count: number): void {
    this.#options.metrics.signalsFailed.inc({ reason }, count);
    this.#unloggedDropCount += count;
    const now = this.#options.time.now().getTime();
    if (now - this.#lastDropLogTime < 60_000) return;
    this.#lastDropLogTime = now;
    this.#options.log.error('signals were dropped from the spool', {
      reason,
      signalCount: this.#unloggedDropCount,
    });
    this.#unloggedDropCount = 0;
  }

  #report(): void {
    this.#options.metrics.spoolEntries.set(this.entryCount);
    this.#options.metrics.spoolBytes.set(this.#bytes);
  }
}

function blocksOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / diskBlockBytes)) * diskBlockBytes;
}

function timeOf(entry: Entry): number {
  return Number(namePattern.exec(entry.name)?.[1] ?? 0);
}
