import type { GcEvent } from './gc-event.ts';
import { LegacyRecords } from './legacy-record.ts';
import { LineSplitter } from './line-splitter.ts';
import { LogClock } from './log-clock.ts';
import type { GcMessage } from './message.ts';
import {
  bodyStart,
  decoratorCount,
  messageStart,
  readDecoratorTimes,
  readUnifiedMessage,
  type LineTime,
} from './unified-line.ts';

/** What became of the lines: each is exactly one of the three. */
export interface LineCounts {
  readonly lineCount: number;
  /** Lines that an event was read from. */
  readonly eventLineCount: number;
  /** Known lines that hold no event: phases, sizes of generations, safepoints, blank lines. */
  readonly detailLineCount: number;
  readonly unparsedLineCount: number;
}

/** A line that was not understood, cut to 200 characters, control characters replaced. */
export interface UnparsedLine {
  readonly lineNumber: number;
  readonly text: string;
}

export const maxUnparsedSampleCount = 20;
const maxSampleLength = 200;
const bracketOpen = 91;

/**
 * Reads a GC log of HotSpot, of any JDK and collector, as a stream of bytes; formats may follow each other in it. Never
 * throws on what it reads: what it does not understand is counted, and the first twenty such lines are kept.
 * Memory does not grow with the input. Time is linear in its bytes.
 */
export class GcLogParser {
  readonly #onEvent: (event: GcEvent) => void;
  readonly #clock = new LogClock();
  readonly #lines: LineSplitter;
  readonly #records: LegacyRecords;
  readonly #samples: UnparsedLine[] = [];
  #lineCount = 0;
  #eventLineCount = 0;
  #detailLineCount = 0;
  #unparsedLineCount = 0;
  #blankLineCount = 0;
  #format: 'unified' | 'legacy' | undefined;
  /** Decorators of the lines of this log. */
  #layout: number | undefined;
  #collector: string | undefined;
  #maxHeapBytes: number | undefined;
  #begun = false;

  constructor(onEvent: (event: GcEvent) => void) {
    this.#onEvent = onEvent;
    this.#lines = new LineSplitter((bytes, start, end) => this.#line(bytes, start, end));
    this.#records = new LegacyRecords({
      event: (message, time) => this.#event(message, this.#clock.read(time), time),
      givenUp: (lineCount) => this.#giveUp(lineCount),
      maxHeap: (bytes) => {
        this.#maxHeapBytes = bytes;
      },
      collector: (name) => {
        // CMS can have Serial's young collector beside it.
        if (!(this.#collector === 'CMS' && name === 'Serial')) this.#collector = name;
      },
    });
  }

  get counts(): LineCounts {
    return {
      lineCount: this.#lineCount,
      eventLineCount: this.#eventLineCount,
      detailLineCount: this.#detailLineCount,
      unparsedLineCount: this.#unparsedLineCount,
    };
  }

  /**
   * Whether this looks like a GC log: it has events, or at least as many lines that one has as others. Blank lines say
   * nothing; an input without any other is an empty log.
   */
  get isGcLog(): boolean {
    const details = this.#detailLineCount - this.#blankLineCount;
    return this.#eventLineCount > 0 || details >= this.#unparsedLineCount;
  }

  get unparsedLines(): readonly UnparsedLine[] {
    return this.#samples;
  }

  /** Lines that were cut because they were too long; each is also counted as what it was read as. */
  get cutLineCount(): number {
    return this.#lines.cutLineCount;
  }

  get restartCount(): number {
    return this.#clock.restartCount;
  }

  /** The latest moment on the axis of `GcEvent.startSeconds`. */
  get lastSeconds(): number | undefined {
    return this.#clock.lastSeconds;
  }

  /** `G1`, `ZGC`, …: as the log says, or as its events do. */
  get collector(): string | undefined {
    return this.#collector;
  }

  /** The largest heap that the JVM may have, where the log says it. */
  get maxHeapBytes(): number | undefined {
    return this.#maxHeapBytes;
  }

  push(chunk: Buffer): void {
    this.#lines.push(chunk);
  }

  /** A file ends: a line without line feed is read as it is. A record may go on in the next file. */
  endOfFile(): void {
    this.#lines.end();
  }

  /** No more input comes. */
  end(): void {
    this.#lines.end();
    this.#records.end();
  }

  #line(bytes: Buffer, start: number, end: number): void {
    this.#lineCount += 1;
    if (start === end) {
      this.#detailLineCount += 1;
      this.#blankLineCount += 1;
      return;
    }
    const message = bytes[start] === bracketOpen ? messageStart(bytes, start, end) : -1;
    if (message >= 0) this.#unified(bytes, start, message, end);
    else if (this.#format !== 'legacy' && isUndecorated(bytes, start, end)) {
      this.#unified(bytes, start, start, end);
    } else this.#legacy(bytes, start, end);
  }

  #unified(bytes: Buffer, start: number, message: number, end: number): void {
    const finding = readUnifiedMessage(bytes, message, end);
    if (finding === 'broken') return this.#unparsed(bytes, start, end);
    if (finding === 'detail') return this.#detail(bytes, start, message, end);
    this.#begin('unified');
    this.#layout ??= decoratorCount(bytes, start, message);
    if ('collector' in finding) {
      if (this.#begun) this.#noteLife(readDecoratorTimes(bytes, start, message));
      this.#collector = finding.collector;
      this.#detailLineCount += 1;
    } else if ('maxHeapBytes' in finding) {
      this.#maxHeapBytes = finding.maxHeapBytes;
      this.#detailLineCount += 1;
    } else {
      this.#begun = true;
      this.#eventLineCount += 1;
      this.#unifiedEvent(finding.event, readDecoratorTimes(bytes, start, message));
    }
  }

  /** The JVM says its collector once: another time after events it is another life, which the uptime may tell as well. */
  #noteLife(time: LineTime): void {
    const before = this.#clock.restartCount;
    this.#clock.read(time);
    if (this.#clock.restartCount === before) this.#clock.noteRestart();
    this.#begun = false;
  }

  /** Unified logging stamps an event when it ends. */
  #unifiedEvent(message: GcMessage, time: LineTime): void {
    const end = this.#clock.read(time);
    const length = message.pauseSeconds ?? 0;
    const { epochMilliseconds } = time;
    this.#event(message, end === undefined ? undefined : end - length, {
      uptimeSeconds: undefined,
      epochMilliseconds:
        epochMilliseconds === undefined ? undefined : epochMilliseconds - length * 1000,
    });
  }

  #event(message: GcMessage, startSeconds: number | undefined, time: LineTime): void {
    this.#collector ??= collectorOf(message);
    this.#onEvent({ ...message, startSeconds, startEpochMilliseconds: time.epochMilliseconds });
  }

  /** A line with as many decorators as the log's others; before the first of them, any that has some. */
  #detail(bytes: Buffer, start: number, message: number, end: number): void {
    const count = decoratorCount(bytes, start, message);
    const known = this.#format !== 'legacy' && (this.#layout ?? count) === count;
    if (known) this.#detailLineCount += 1;
    else this.#unparsed(bytes, start, end);
  }

  #legacy(bytes: Buffer, start: number, end: number): void {
    const kind = this.#records.line(bytes, start, end);
    if (kind === 'record') {
      this.#begin('legacy');
      this.#eventLineCount += 1;
    } else if (kind === 'detail') this.#detailLineCount += 1;
    else this.#unparsed(bytes, start, end);
  }

  #begin(format: 'unified' | 'legacy'): void {
    if (this.#format === format) return;
    if (format === 'unified') this.#records.end();
    this.#format = format;
  }

  #giveUp(lineCount: number): void {
    this.#eventLineCount -= lineCount;
    this.#unparsedLineCount += lineCount;
    this.#sample(Buffer.from(`(${lineCount} lines of a record that did not end before this line)`));
  }

  #unparsed(bytes: Buffer, start: number, end: number): void {
    this.#unparsedLineCount += 1;
    if (this.#samples.length >= maxUnparsedSampleCount) return;
    this.#sample(bytes.subarray(start, Math.min(end, start + maxSampleLength * 4)));
  }

  #sample(bytes: Buffer): void {
    if (this.#samples.length >= maxUnparsedSampleCount) return;
    const text = bytes.toString('utf8').replaceAll(/\p{C}/gu, '·').slice(0, maxSampleLength);
    this.#samples.push({ lineNumber: this.#lineCount, text });
  }
}

/** A line of -Xlog with the decorators `none`: only what says by itself what it is can be told from other output. */
function isUndecorated(bytes: Buffer, start: number, end: number): boolean {
  if (bodyStart(bytes, start, end) >= 0) return true;
  const finding = readUnifiedMessage(bytes, start, end);
  return finding !== 'detail' && finding !== 'broken';
}

/** What a log's events give away, where its first lines are gone. */
function collectorOf({ kind, cause, pauseSeconds }: GcMessage): string | undefined {
  if (kind === 'mixed' || cause?.startsWith('G1 ') === true) return 'G1';
  if (kind === 'degenerated') return 'Shenandoah';
  if (kind === 'majorCycle' || kind === 'minorCycle') {
    return pauseSeconds === undefined ? 'ZGC' : 'Shenandoah';
  }
  return undefined;
}
