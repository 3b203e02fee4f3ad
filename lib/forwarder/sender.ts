import { CaptureError, messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { SignalBus } from '../signal/signal-bus.ts';
import type { Signal } from '../signal/signal.ts';
import type { ForwarderMetrics } from './metrics.ts';
import { RecentMap } from './recent-map.ts';
import type { Spool } from './spool.ts';
import { createBackoff, type Time } from './time.ts';

/** The limit of PutEvents. */
export const maxBatchCount = 10;
const maxPutsInFlightCount = 4;
/** More than this waits on the disk, not in memory. */
const maxQueuedSignalCount = 1_000;
/** Files that are being written at once before a caller should wait. */
const maxSpoolingCount = 64;
const maxRememberedSignalCount = 10_000;
/** The bus has timeouts of its own; this one holds if they do not. */
export const putDeadlineSeconds = 20;
/** A fresh signal asks for a new try at once, but not more often than this while the bus is out. */
const shortestRetryMilliseconds = 500;
const longestRestMilliseconds = 3_600_000;

/**
 * Error codes of a PutEvents result entry that blame the entry itself: no repeat can help. Every other code
 * (throttling, internal faults, rights that someone can still grant) is tried again while the signal is of use.
 * Source: EventBridge API Reference, PutEventsResultEntry.
 */
const permanentErrorCodes: ReadonlySet<string> = new Set(['InvalidArgument', 'MalformedDetail']);

export interface SenderOptions {
  bus: SignalBus;
  spool: Spool;
  time: Time;
  random: () => number;
  metrics: ForwarderMetrics;
  log: Logger;
}

/**
 * Brings signals to the bus at least once, in no order. What the bus takes at once never touches the disk; what it
 * does not goes to the spool, and from there alone it is tried again, the newest first. A signal ends in exactly
 * one of: accepted by the bus, counted as failed, waiting in the spool.
 */
export class SignalSender {
  readonly #options: SenderOptions;
  readonly #recent = new RecentMap<true>(maxRememberedSignalCount);
  readonly #queue: Signal[] = [];
  readonly #inFlight = new Set<readonly Signal[]>();
  readonly #tasks = new Set<Promise<void>>();
  #pumpScheduled = false;
  /** The last call to the bus failed: fresh signals go to the disk first. */
  #suspect = false;
  #closed = false;
  #rung = false;
  #wake: (() => void) | undefined;
  #spoolingCount = 0;
  #waitingForRoom: (() => void)[] = [];

  constructor(options: SenderOptions) {
    this.#options = options;
    this.#track(this.#replayForever());
  }

  /** Takes the signal; never throws and never waits. A word-for-word repeat of a recent one is ignored, counted. */
  send(signal: Signal): void {
    // Not the captureId: one capture has many words (failure 1, 2, 3, the killing), each worth sending.
    // Not the policy: the same trouble under an edited policy is the same trouble.
    const key = JSON.stringify({ ...signal, policy: undefined });
    if (this.#recent.get(key) !== undefined) {
      this.#options.metrics.signalsIgnored.inc({ reason: 'Repeat' });
      return;
    }
    this.#recent.set(key, true);
    if (this.#closed || this.#suspect || this.#queue.length >= maxQueuedSignalCount) {
      this.#track(this.#toSpool([signal]));
      return;
    }
    this.#queue.push(signal);
    if (this.#pumpScheduled) return;
    this.#pumpScheduled = true;
    // Signals of one burst share a call; none waits longer than the current turn.
    queueMicrotask(() => {
      this.#pumpScheduled = false;
      this.#pump();
    });
  }

  /** Nothing is on its way, and nothing waits. */
  get idle(): boolean {
    // One task is the replay, which goes on until the close.
    return (
      this.#queue.length === 0 && this.#tasks.size <= 1 && this.#options.spool.entryCount === 0
    );
  }

  /** Resolves when there is room. */
  async room(): Promise<void> {
    while (!this.hasRoom) {
      await new Promise<void>((resolve) => this.#waitingForRoom.push(resolve));
    }
  }

  /** A signal more does not pile up in memory; after the close it is for the disk to say. */
  get hasRoom(): boolean {
    if (this.#closed) return true;
    return this.#spoolingCount < maxSpoolingCount && this.#queue.length < maxQueuedSignalCount / 2;
  }

  #tellRoom(): void {
    if (!this.hasRoom) return;
    for (const resolve of this.#waitingForRoom.splice(0)) resolve();
  }

  /**
   * Waits for the bus or the spool to have everything. What is still under way at the deadline is spooled too, which
   * only the disk can hold up: the caller bounds that.
   */
  async close(deadlineSeconds: number): Promise<void> {
    this.#closed = true;
    this.#tellRoom();
    this.#ring();
    if (!(await this.#settled(deadlineSeconds * 1000))) {
      await this.#toSpool([...this.#queue.splice(0), ...[...this.#inFlight].flat()]);
    }
    await this.#options.spool.close();
  }

  async #settled(milliseconds: number): Promise<boolean> {
    const late = new AbortController();
    const drained = async (): Promise<true> => {
      while (this.#tasks.size > 0) await Promise.allSettled([...this.#tasks]);
      return true;
    };
    this.#pump();
    const result = await Promise.race([
      drained(),
      this.#options.time.sleep(milliseconds, late.signal),
    ]);
    late.abort();
    return result === true;
  }

  #track(task: Promise<void>): void {
    const guarded = task
      .catch((error: unknown) => {
        this.#options.log.error('the sender failed', { error: messageOf(error) });
      })
      .finally(() => this.#tasks.delete(guarded));
    this.#tasks.add(guarded);
  }

  #pump(): void {
    while (this.#queue.length > 0 && this.#inFlight.size < maxPutsInFlightCount) {
      this.#track(this.#sendBatch(this.#queue.splice(0, maxBatchCount)));
    }
  }

  async #sendBatch(signals: readonly Signal[]): Promise<void> {
    this.#inFlight.add(signals);
    const later = await this.#put(signals);
    this.#inFlight.delete(signals);
    // Once the bus is out, whatever still waits goes to the disk instead of through the same failure.
    const waiting = this.#suspect ? this.#queue.splice(0) : [];
    this.#pump();
    this.#tellRoom();
    await this.#toSpool([...later, ...waiting]);
  }

  async #toSpool(signals: readonly Signal[]): Promise<void> {
    if (signals.length === 0) return;
    this.#spoolingCount += signals.length;
    await Promise.all(signals.map((signal) => this.#options.spool.append(signal)));
    this.#spoolingCount -= signals.length;
    this.#tellRoom();
    this.#ring();
  }

  /** One call. Answers the signals to try again; counts the sent and the refused. Never throws. */
  async #put(signals: readonly Signal[]): Promise<readonly Signal[]> {
    const { metrics, log, time } = this.#options;
    const startMilliseconds = time.now().getTime();
    try {
      const faults = await this.#putWithDeadline(signals);
      if (this.#suspect) log.info('the bus takes signals again');
      this.#suspect = false;
      const later: Signal[] = [];
      const faultByIndex = new Map(faults.map((fault) => [fault.index, fault]));
      for (const [index, signal] of signals.entries()) {
        const fault = faultByIndex.get(index);
        if (fault === undefined) {
          metrics.signalsSent.inc();
          continue;
        }
        const permanent = permanentErrorCodes.has(fault.errorCode);
        log.warn(permanent ? 'the bus refused a signal' : 'the bus did not take a signal yet', {
          namespace: signal.namespace,
          podName: signal.podName,
          reason: signal.reason,
          errorCode: fault.errorCode,
          errorMessage: fault.errorMessage,
        });
        if (permanent) metrics.signalsFailed.inc({ reason: 'BusRefused' });
        else later.push(signal);
      }
      return later;
    } catch (error) {
      if (!this.#suspect) log.error('the bus is out, spooling', { error: messageOf(error) });
      this.#suspect = true;
      return signals;
    } finally {
      metrics.putSeconds.observe((time.now().getTime() - startMilliseconds) / 1000);
    }
  }

  async #putWithDeadline(signals: readonly Signal[]): ReturnType<SignalBus['putSignals']> {
    const answered = new AbortController();
    try {
      const faults = await Promise.race([
        this.#options.bus.putSignals(signals),
        this.#options.time.sleep(putDeadlineSeconds * 1000, answered.signal),
      ]);
      if (faults !== undefined) return faults;
      throw new CaptureError(
        'SignalBusUnavailable',
        `the bus did not answer within ${putDeadlineSeconds} s`,
        { retryable: true },
      );
    } finally {
      answered.abort();
    }
  }

  /** Empties the spool whenever the bus lets it; the one place where anything is tried again. */
  async #replayForever(): Promise<void> {
    const { spool, random } = this.#options;
    const backoff = createBackoff({ baseMilliseconds: 100, maxMilliseconds: 30_000, random });
    while (!this.#closed) {
      this.#rung = false;
      const leftCount = await this.#replayOnce();
      if (leftCount === 0) backoff.reset();
      if (leftCount === 0 && spool.entryCount === 0) await this.#restFor(longestRestMilliseconds);
      else if (leftCount > 0) await this.#restUntilRetry(backoff.next());
    }
  }

  /**
   * Goes once through the spool. Entries that were not taken stay handed out until the end of the pass, so that
   * a few which the bus never takes do not stand before all others.
   * @returns how many were not taken.
   */
  async #replayOnce(): Promise<number> {
    const { spool } = this.#options;
    const left: string[] = [];
    while (!this.#closed) {
      const batch = await spool.takeNewest(maxBatchCount);
      if (batch.length === 0) break;
      const later = new Set(await this.#put(batch.map((entry) => entry.signal)));
      const done = batch.filter((entry) => !later.has(entry.signal));
      await spool.remove(done.map((entry) => entry.name));
      left.push(...batch.filter((entry) => later.has(entry.signal)).map((entry) => entry.name));
      if (this.#suspect) break;
    }
    spool.putBack(left);
    return left.length;
  }

  async #restUntilRetry(milliseconds: number): Promise<void> {
    const sure = Math.min(milliseconds, shortestRetryMilliseconds);
    await this.#restFor(sure, { deaf: true });
    if (!this.#rung) await this.#restFor(milliseconds - sure);
  }

  /** Rests; a fresh spool entry ends it early unless deaf, the close always. */
  async #restFor(milliseconds: number, options: { deaf?: boolean } = {}): Promise<void> {
    const deaf = options.deaf ?? false;
    if (this.#closed || (this.#rung && !deaf)) return;
    const rest = new AbortController();
    this.#wake = () => {
      if (this.#closed || !deaf) rest.abort();
    };
    await this.#options.time.sleep(milliseconds, rest.signal);
    this.#wake = undefined;
  }

  #ring(): void {
    this.#rung = true;
    this.#wake?.();
  }
}
