import { setTimeout as sleep } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import { GcLogScan } from '../../gc-log/gc-log-scan.ts';
import type { Delivery } from './deliver.ts';
import { LogFollower } from './follow.ts';
import type { GcScanOptions } from './options.ts';
import type { NamedReport } from './report-json.ts';

/** How often the log is looked at; a storm lasts many seconds. */
const pollMilliseconds = 1_000;
/** A word that was not taken is sent again, not more often than this. */
const retryMilliseconds = 15_000;
/** JVMs that log into one directory at once. */
const maxSeriesCount = 256;

interface FollowedLog {
  readonly scan: GcLogScan;
  modifiedEpochMilliseconds: number;
  /** Bytes came since it was judged. */
  fresh: boolean;
  /** Limits that are crossed and were told. */
  told: ReadonlySet<string>;
  retryAt: number;
}

export interface FollowOutput {
  /** A limit is crossed that was not before, or none is any more. */
  changed(named: NamedReport, now: Date): void;
  note(message: string): void;
  body(named: NamedReport, now: Date): Record<string, unknown>;
}

export interface FollowRun {
  readonly options: GcScanOptions;
  readonly delivery: Delivery;
  readonly output: FollowOutput;
  readonly stdin: Readable;
  readonly now: () => Date;
  readonly stop: AbortSignal;
}

/** The logs of one input, by the name of their series. */
class FollowedLogs {
  readonly #logs = new Map<string, FollowedLog>();
  readonly #run: FollowRun;

  constructor(run: FollowRun) {
    this.#run = run;
  }

  bytes(name: string, chunk: Buffer, modifiedEpochMilliseconds: number): void {
    const log = this.#logOf(name);
    if (log === undefined) return;
    log.modifiedEpochMilliseconds = modifiedEpochMilliseconds;
    log.fresh = true;
    log.scan.push(chunk);
  }

  endOfFile(name: string): void {
    this.#logOf(name)?.scan.endOfFile();
  }

  trouble(message: string): void {
    this.#run.output.note(message);
  }

  async judge(): Promise<void> {
    for (const [name, log] of this.#logs) await judge(name, log, this.#run);
  }

  #logOf(name: string): FollowedLog | undefined {
    const known = this.#logs.get(name);
    if (known !== undefined) return known;
    if (this.#logs.size >= maxSeriesCount) {
      this.trouble(`${name} is not followed: there are ${maxSeriesCount} logs already`);
      return undefined;
    }
    const scan = new GcLogScan(this.#run.options);
    const log = {
      scan,
      modifiedEpochMilliseconds: 0,
      fresh: true,
      told: new Set<string>(),
      retryAt: 0,
    };
    this.#logs.set(name, log);
    return log;
  }
}

/**
 * Follows the input until it is told to stop, or standard input ends, and tells each crossing of a limit once: again only
 * after it was within.
 */
export async function followLog(input: string, run: FollowRun): Promise<void> {
  const logs = new FollowedLogs(run);
  if (input === '-') return followStream(logs, run);
  const follower = new LogFollower(input, logs);
  try {
    while (!run.stop.aborted) {
      await follower.poll();
      await logs.judge();
      await sleep(pollMilliseconds, undefined, { signal: run.stop }).catch(() => undefined);
    }
  } finally {
    await follower.close();
  }
}

/** Judges by the clock: a pipe that is silent has its say too. */
async function followStream(logs: FollowedLogs, run: FollowRun): Promise<void> {
  const ended = new AbortController();
  const done = AbortSignal.any([run.stop, ended.signal]);
  const end = (): void => ended.abort();
  run.stdin.on('data', (chunk: Buffer) => logs.bytes('-', chunk, run.now().getTime()));
  for (const name of ['end', 'close', 'error']) run.stdin.once(name, end);
  while (!done.aborted) {
    await sleep(pollMilliseconds, undefined, { signal: done }).catch(() => undefined);
    await logs.judge();
  }
  run.stdin.destroy();
}

async function judge(name: string, log: FollowedLog, run: FollowRun): Promise<void> {
  // Events only leave the time that is judged: without new ones nothing is crossed that was not.
  if (!log.fresh && log.told.size === 0 && log.retryAt === 0) return;
  log.fresh = false;
  const now = run.now();
  const report = log.scan.report({
    epochMilliseconds: now.getTime(),
    lastModifiedEpochMilliseconds: log.modifiedEpochMilliseconds,
  });
  const named = { name, fileCount: 1, report };
  const crossed = new Set<string>(report.crossed.map(({ limit }) => limit));
  const fresh = [...crossed].some((limit) => !log.told.has(limit));
  if (!fresh) {
    if (crossed.size === 0 && log.told.size > 0) run.output.changed(named, now);
    log.told = crossed;
    log.retryAt = 0;
    return;
  }
  if (now.getTime() < log.retryAt) return;
  if (log.retryAt === 0) run.output.changed(named, now);
  const faults = await run.delivery.deliver(run.output.body(named, now), now);
  for (const fault of faults) run.output.note(fault);
  log.retryAt = faults.length === 0 ? 0 : now.getTime() + retryMilliseconds;
  if (faults.length === 0) log.told = crossed;
}
