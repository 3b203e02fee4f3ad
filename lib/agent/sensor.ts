import { setTimeout as wait } from 'node:timers/promises';
import { CaptureError, messageOf } from '../errors.ts';
import { JvmMetrics, type JvmReading } from '../jvm/jvm-metrics.ts';
import type { Logger } from '../log.ts';
import { beyondAny, firstLevels, type NotableLevels } from '../policy/notable-levels.ts';
import { SensedFiles } from './sensed-files.ts';
import { maxSensedJvmCount, SensedProcesses, type SensedProcess } from './sensed-processes.ts';

export const tickMilliseconds = 1_000;
const scanEveryTicks = 5;
/** A container can have /tmp on a file system whose server is away. */
const openDeadlineMilliseconds = 5_000;
/** A JVM in no trouble is told of this often; one that is near it at once and then every few seconds. */
const reportEveryTicks = 15;
const notableEveryTicks = 3;

/** What is worth telling at once of any JVM. The forwarder says of which JVMs less is, by their policies. */
const notable: NotableLevels = {
  heapAfterGcPercent: 75,
  cgroupUsedPercent: 85,
  secondsToLimit: 300,
  gcTimePercent: 20,
};

export interface SensedJvm {
  readonly jvm: SensedProcess;
  readonly reading: JvmReading;
}

interface Tracked {
  readonly jvm: SensedProcess;
  readonly files: SensedFiles;
  readonly metrics: JvmMetrics;
  reading?: JvmReading;
  /** By the sensor's ticks; the first report comes at once. */
  reportedTick: number;
  wasNotable: boolean;
  levels: NotableLevels;
}

export interface SensorOptions {
  readonly procRoot: string;
  readonly now: () => number;
  /** What is to be told of a JVM. @param flush whether it should not wait for more. */
  readonly tell: (sensed: SensedJvm, flush: boolean) => void;
  readonly log: Logger;
}

/**
 * Reads counters and memory of every JVM of the node's pods once a second, without attaching to any. One that ends, or
 * cannot be read, is left out from then on; none of it is an error.
 */
export class Sensor {
  readonly #options: SensorOptions;
  readonly #processes: SensedProcesses;
  readonly #tracked = new Map<number, Tracked>();
  #tick = 0;
  #scanning: Promise<void> | undefined;
  /** Those whose files could not be opened in time: a thread of the pool may wait there for good, one is enough. */
  readonly #stuck = new Set<string>();
  #closed = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SensorOptions) {
    this.#options = options;
    this.#processes = new SensedProcesses(options.procRoot);
  }

  start(): void {
    this.#timer = setInterval(() => void this.tick(), tickMilliseconds);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#scanning;
    for (const { files } of this.#tracked.values()) files.close();
    this.#tracked.clear();
  }

  /** The last reading of each. */
  sensed(): readonly SensedJvm[] {
    return [...this.#tracked.values()].flatMap(({ jvm, reading }) =>
      reading === undefined ? [] : [{ jvm, reading }],
    );
  }

  /** From now on values of a container's JVM beyond these are told at once as well; in place of those that were set before. */
  setLevels(runtimeID: string, levels: NotableLevels): void {
    for (const tracked of this.#tracked.values()) {
      if (tracked.jvm.runtimeID === runtimeID) tracked.levels = firstLevels(notable, levels);
    }
  }

  /** One second's work. @returns when a scan that began with it is over. */
  tick(): Promise<void> {
    for (const [pid, tracked] of this.#tracked) this.#read(pid, tracked);
    if (this.#tick % scanEveryTicks === 0) {
      this.#scanning ??= this.#scan().finally(() => (this.#scanning = undefined));
    }
    this.#tick += 1;
    return this.#scanning ?? Promise.resolve();
  }

  #read(pid: number, tracked: Tracked): void {
    const moment = tracked.files.read();
    if (moment === undefined) {
      this.#drop(pid, tracked);
      return;
    }
    const before = tracked.reading;
    const reading = tracked.metrics.add(this.#options.now(), moment.counters, moment.memory);
    tracked.reading = reading;
    if (Object.keys(reading.values).length + Object.keys(reading.totals).length === 0) return;
    const now = isNotable(before, reading, tracked.levels);
    const every = now ? notableEveryTicks : reportEveryTicks;
    const due = this.#tick - tracked.reportedTick >= every;
    if (!due && !(now && !tracked.wasNotable)) return;
    tracked.reportedTick = this.#tick;
    tracked.wasNotable = now;
    this.#options.tell({ jvm: tracked.jvm, reading }, now);
  }

  async #scan(): Promise<void> {
    const { procRoot, log } = this.#options;
    if (this.#closed) return;
    try {
      const found = (await this.#processes.scan()).filter((jvm) => !this.#stuck.has(keyOf(jvm)));
      const pids = new Set(found.map(({ process }) => process.pid));
      for (const [pid, tracked] of this.#tracked) if (!pids.has(pid)) this.#drop(pid, tracked);
      for (const jvm of found) {
        const tracked = this.#tracked.get(jvm.process.pid);
        if (tracked === undefined) await this.#inTime(jvm, this.#track(jvm));
        else if (tracked.files.incomplete) {
          await this.#inTime(jvm, tracked.files.look(procRoot, jvm.process));
        }
      }
    } catch (error) {
      log.warn('the processes of the node could not be looked at', { error: messageOf(error) });
    }
  }

  /** @throws CaptureError DeadlineExceeded, after which this JVM is left alone. */
  async #inTime(jvm: SensedProcess, opening: Promise<void>): Promise<void> {
    const over = new AbortController();
    const late = wait(openDeadlineMilliseconds, 'late' as const, { signal: over.signal });
    try {
      if ((await Promise.race([opening, late])) !== 'late') return;
    } finally {
      over.abort();
      late.catch(() => undefined);
    }
    this.#stuck.add(keyOf(jvm));
    const [oldest] = this.#stuck;
    if (this.#stuck.size > maxSensedJvmCount && oldest !== undefined) this.#stuck.delete(oldest);
    throw new CaptureError(
      'DeadlineExceeded',
      `the files of process ${jvm.process.pid} did not open within ${openDeadlineMilliseconds / 1_000} s; it is left alone from now on`,
    );
  }

  async #track(jvm: SensedProcess): Promise<void> {
    const { procRoot, log } = this.#options;
    const files = await SensedFiles.open(procRoot, jvm.process);
    if (files === undefined || this.#closed) {
      files?.close();
      return;
    }
    const reportedTick = -reportEveryTicks;
    this.#tracked.set(jvm.process.pid, {
      ...{
        jvm,
        files,
        metrics: new JvmMetrics(),
        reportedTick,
        wasNotable: false,
        levels: notable,
      },
    });
    const { podUid, runtimeID } = jvm;
    log.info('a JVM is watched', { podUid, runtimeID, pid: jvm.process.pid });
  }

  #drop(pid: number, { jvm, files }: Tracked): void {
    files.close();
    this.#tracked.delete(pid);
    this.#processes.forget(pid);
    const { podUid, runtimeID } = jvm;
    this.#options.log.info('a JVM is no longer watched', { podUid, runtimeID, pid });
  }
}

function keyOf({ process }: SensedProcess): string {
  return `${process.pid} ${process.startTicks ?? ''}`;
}

/**
 * Of what has a window, the rate of the last second: whatever is beyond a level over a window was so in a second of it. A full collection is
 * always notable.
 */
function isNotable(
  before: JvmReading | undefined,
  { values, totals, epochMilliseconds }: JvmReading,
  levels: NotableLevels,
): boolean {
  const seconds = (epochMilliseconds - (before?.epochMilliseconds ?? epochMilliseconds)) / 1000;
  const grown = (name: keyof JvmReading['totals']): number =>
    (totals[name] ?? 0) - (before?.totals[name] ?? totals[name] ?? 0);
  if (grown('fullGcCount') > 0) return true;
  const rates: NotableLevels =
    seconds > 0
      ? {
          gcTimePercent: (grown('gcSeconds') / seconds) * 100,
          youngGcPerMinuteCount: (grown('youngGcCount') / seconds) * 60,
        }
      : {};
  return beyondAny({ ...values, ...rates }, levels);
}
