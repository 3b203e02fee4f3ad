import { EventRing } from './event-ring.ts';
import type { GcEvent } from './gc-event.ts';
import { crossedLimits, type CrossedLimit, type GcLimits } from './gc-limits.ts';
import { GcLogParser, type LineCounts, type UnparsedLine } from './gc-log-parser.ts';
import { GcTally, type GcStatistics } from './gc-statistics.ts';

export interface GcLogScanOptions {
  readonly limits: GcLimits;
  /** Judge the events of the last so many seconds; absent judges all. */
  readonly withinSeconds?: number | undefined;
  /** The limit of the heap, where a person knows it better than the log. */
  readonly maxHeapBytes?: number | undefined;
}

/** What one JVM's log says. */
export interface GcLogReport {
  /** No: hardly a line is one of a GC log, and that nothing was found in it says nothing. */
  readonly isGcLog: boolean;
  readonly collector: string | undefined;
  readonly maxHeapBytes: number | undefined;
  readonly restartCount: number;
  readonly lines: LineCounts & { readonly cutLineCount: number };
  readonly unparsedLines: readonly UnparsedLine[];
  readonly withinSeconds: number | undefined;
  /** Events of the whole log that carry no time; `withinSeconds` does not apply to them. */
  readonly untimedCount: number;
  /** Events within the time that were too many to keep: the oldest are missing. */
  readonly droppedCount: number;
  readonly statistics: GcStatistics;
  readonly crossed: readonly CrossedLimit[];
}

/** When a report is made. */
export interface ReportTime {
  readonly epochMilliseconds: number;
  /** When the log was last written to. Where its lines tell no date, the silence since then is what lies behind its end. */
  readonly lastModifiedEpochMilliseconds?: number;
}

/** More than ten events a second for an hour. */
export const maxKeptEventCount = 65_536;

/**
 * Reads the log of one JVM, with its restarts, and judges it: all of it, or the last so many seconds. Memory does
 * not grow with the log: without `withinSeconds` sums are kept, with it the last 65,536 events.
 */
export class GcLogScan {
  readonly #options: GcLogScanOptions;
  readonly #parser: GcLogParser;
  readonly #whole = new GcTally();
  readonly #kept: EventRing | undefined;
  #lastRestartCount = 0;
  #untimedCount = 0;

  constructor(options: GcLogScanOptions) {
    this.#options = options;
    if (options.withinSeconds !== undefined) this.#kept = new EventRing(maxKeptEventCount);
    this.#parser = new GcLogParser((event) => this.#event(event));
  }

  push(chunk: Buffer): void {
    this.#parser.push(chunk);
  }

  endOfFile(): void {
    this.#parser.endOfFile();
  }

  end(): void {
    this.#parser.end();
  }

  report(now: ReportTime): GcLogReport {
    const parser = this.#parser;
    const maxHeapBytes = this.#options.maxHeapBytes ?? parser.maxHeapBytes;
    const tally = this.#kept === undefined ? this.#whole : this.#recent(this.#kept, now);
    tally.maxHeapBytes = maxHeapBytes;
    const statistics = tally.statistics();
    return {
      isGcLog: parser.isGcLog,
      collector: parser.collector,
      maxHeapBytes,
      restartCount: parser.restartCount,
      lines: { ...parser.counts, cutLineCount: parser.cutLineCount },
      unparsedLines: parser.unparsedLines,
      withinSeconds: this.#options.withinSeconds,
      untimedCount: this.#untimedCount,
      droppedCount: this.#droppedCount(now),
      statistics,
      crossed: crossedLimits(statistics, this.#options.limits),
    };
  }

  #event(event: GcEvent): void {
    if (event.startSeconds === undefined) this.#untimedCount += 1;
    const { restartCount } = this.#parser;
    if (this.#kept !== undefined) {
      this.#kept.add({ event, restartCount });
      return;
    }
    if (restartCount !== this.#lastRestartCount) this.#whole.restart();
    this.#lastRestartCount = restartCount;
    this.#whole.maxHeapBytes = this.#options.maxHeapBytes ?? this.#parser.maxHeapBytes;
    this.#whole.add(event);
  }

  #recent(kept: EventRing, now: ReportTime): GcTally {
    const tally = new GcTally();
    tally.maxHeapBytes = this.#options.maxHeapBytes ?? this.#parser.maxHeapBytes;
    let life: number | undefined;
    for (const { event, restartCount } of kept) {
      if (!this.#isRecent(event, now)) continue;
      if (life !== undefined && life !== restartCount) tally.restart();
      life = restartCount;
      tally.add(event);
    }
    return tally;
  }

  #droppedCount(now: ReportTime): number {
    const last = this.#kept?.lastDropped;
    return last !== undefined && this.#isRecent(last.event, now)
      ? (this.#kept?.droppedCount ?? 0)
      : 0;
  }

  #isRecent(event: GcEvent, now: ReportTime): boolean {
    const withinSeconds = this.#options.withinSeconds ?? Infinity;
    const length = event.pauseSeconds ?? 0;
    if (event.startEpochMilliseconds !== undefined) {
      const end = event.startEpochMilliseconds / 1000 + length;
      return end >= now.epochMilliseconds / 1000 - withinSeconds;
    }
    if (event.startSeconds === undefined) return true;
    const quiet =
      now.epochMilliseconds - (now.lastModifiedEpochMilliseconds ?? now.epochMilliseconds);
    const end = (this.#parser.lastSeconds ?? 0) + Math.max(0, quiet) / 1000;
    return event.startSeconds + length >= end - withinSeconds;
  }
}
