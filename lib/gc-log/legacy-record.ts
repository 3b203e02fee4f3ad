// Records of GC logs before JDK 9: "STAMPS [GC (cause) [generation…] 24K->5K(256K), 0.01 secs] [Times: …]". A record can go
// on over many lines, with other threads' lines in the middle of it; what belongs together is told by the brackets.
import { isLegacyDetail } from './legacy-detail.ts';
import { startsWith, type GcMessage } from './message.ts';
import { maxHeapOf, readRecord, withEdenLine, type OpenRecord } from './legacy-message.ts';
import { isDigit } from './read-number.ts';
import { readStamps } from './legacy-stamps.ts';
import { readBody, type LineTime } from './unified-line.ts';

/** A record that does not end within these is cut off: it is given up, and its lines count as unparsed. */
export const maxRecordLineCount = 1_000;
/** Of a record only what stands outside of its inner brackets is kept. */
const maxOuterBytes = 4_096;

export interface LegacySink {
  event(message: GcMessage, time: LineTime): void;
  /** An older record that never ended; its lines were counted as a record's. */
  givenUp(lineCount: number): void;
  maxHeap(bytes: number): void;
  collector(name: string): void;
}

export type LegacyLine = 'record' | 'detail' | 'unparsed';

const open = 91;
const close = 93;
const parenthesis = 40;
const space = 32;
const markers = [
  ['[PSYoungGen', 'Parallel'],
  ['[ParNew', 'CMS'],
  ['[DefNew', 'Serial'],
] as const;

/** Puts records together, line by line. Keeps one record's outer text, at most 4 KiB, and the last pause of G1. */
export class LegacyRecords {
  readonly #sink: LegacySink;
  readonly #outer = Buffer.alloc(maxOuterBytes);
  #record: OpenRecord | undefined;
  /** A remark that waits for the young collection within it. */
  #suspended: { record: OpenRecord; outer: Buffer } | undefined;
  /** A pause of G1 whose heap comes some lines later, in `[Eden: … Heap: …]`. */
  #waiting: { message: GcMessage; time: LineTime } | undefined;

  constructor(sink: LegacySink) {
    this.#sink = sink;
  }

  line(bytes: Buffer, start: number, end: number): LegacyLine {
    const stamps = readStamps(bytes, start, end);
    const begins = beginsRecord(bytes, stamps.at, end);
    if (this.#record !== undefined && !begins) return this.#goOn(this.#record, bytes, start, end);
    if (begins) {
      if (this.#record?.remark === true && this.#suspended === undefined)
        this.#suspend(this.#record);
      this.#giveUp();
      this.flush();
      this.#record = {
        time: stamps.time,
        depth: 0,
        lineCount: 0,
        outerLength: 0,
        whole: bytes[stamps.at + 1] === 70,
        phase: false,
        evacuationFailed: false,
        remark: false,
      };
      return this.#goOn(this.#record, bytes, stamps.at, end);
    }
    return this.#single(bytes, stamps.at, end, stamps);
  }

  /** The input ends, or another format begins. */
  end(): void {
    this.flush();
    this.#giveUp();
    this.#resume();
    this.#giveUp();
  }

  /** Gives away the event that waits for more of it. */
  flush(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.#sink.event(waiting.message, waiting.time);
  }

  #suspend(record: OpenRecord): void {
    this.#suspended = { record, outer: Buffer.from(this.#outer.subarray(0, record.outerLength)) };
    this.#record = undefined;
  }

  #resume(): void {
    const suspended = this.#suspended;
    this.#suspended = undefined;
    if (suspended === undefined) return;
    this.#record = suspended.record;
    suspended.outer.copy(this.#outer);
  }

  #giveUp(): void {
    if (this.#record !== undefined) this.#sink.givenUp(this.#record.lineCount);
    this.#record = undefined;
  }

  #goOn(record: OpenRecord, bytes: Buffer, start: number, end: number): LegacyLine {
    const first = record.lineCount === 0;
    if (!first && isNoise(bytes, start, end)) return 'detail';
    record.lineCount += 1;
    const closed = this.#walk(record, bytes, start, end);
    if (closed) {
      this.#record = undefined;
      const message = readRecord(record, this.#outer);
      if (message === undefined) {
        this.#resume();
        // This line is counted by whoever asked; those before it were taken for a record's.
        if (record.lineCount > 1) this.#sink.givenUp(record.lineCount - 1);
        return 'unparsed';
      }
      this.#took(message, record.time);
      this.#resume();
    } else if (record.lineCount >= maxRecordLineCount) {
      record.lineCount -= 1;
      this.#giveUp();
      return 'unparsed';
    }
    return 'record';
  }

  #took(message: GcMessage, time: LineTime): void {
    if (message.heapAfterBytes === undefined && message.kind !== 'phase') {
      this.#waiting = { message, time };
    } else this.#sink.event(message, time);
  }

  /** One pass over the bytes; answers whether the record's last bracket was among them. */
  #walk(record: OpenRecord, bytes: Buffer, start: number, end: number): boolean {
    const outer = this.#outer;
    let { depth, outerLength } = record;
    for (let at = start; at < end && (depth > 0 || at === start); at += 1) {
      const byte = bytes[at] ?? 0;
      if (byte === open) {
        depth += 1;
        if (depth > 1) this.#inner(record, bytes, at, end);
      } else if (byte === close) depth -= 1;
      else {
        if (byte === parenthesis) noteFailure(record, bytes, at, end);
        if (depth === 1 && outerLength < maxOuterBytes) {
          outer[outerLength] = byte;
          outerLength += 1;
        }
      }
    }
    record.depth = depth;
    record.outerLength = outerLength;
    return depth === 0;
  }

  #inner(record: OpenRecord, bytes: Buffer, at: number, end: number): void {
    if (bytes[at + 1] === 49 && startsWith(bytes, at, end, '[1 CMS-')) record.phase = true;
    else if (startsWith(bytes, at, end, '[YG occupancy')) record.remark = true;
    else if (startsWith(bytes, at, end, '[Tenured')) record.whole = true;
    else if (isCmsCollection(bytes, at, end)) record.whole = true;
    else {
      const marker = markers.find(([word]) => startsWith(bytes, at, end, word));
      if (marker !== undefined) this.#sink.collector(marker[1]);
    }
  }

  #single(
    bytes: Buffer,
    at: number,
    end: number,
    stamps: { time: LineTime; indented: boolean },
  ): LegacyLine {
    const eden = startsWith(bytes, at, end, '[Eden: ');
    if (eden && this.#waiting !== undefined) {
      const { message, time } = this.#waiting;
      this.#waiting = undefined;
      this.#sink.event(withEdenLine(message, bytes, at, end), time);
      return 'record';
    }
    if (
      startsWith(bytes, at, end, '[Pause ') ||
      startsWith(bytes, at, end, '[Concurrent cleanup')
    ) {
      return this.#shenandoah(bytes, at, end, stamps.time);
    }
    const text = bytes.toString('latin1', at, Math.min(end, at + 100));
    if (text.startsWith('CommandLine flags:')) {
      const maxHeapBytes = maxHeapOf(bytes.toString('latin1', at, end));
      if (maxHeapBytes !== undefined) this.#sink.maxHeap(maxHeapBytes);
    }
    return isLegacyDetail(text, stamps.indented) ? 'detail' : 'unparsed';
  }

  /** `[Pause Full (cause) 24M->5M(256M), 3.1 ms]` of Shenandoah's backport to JDK 8: the same words, other commas. */
  #shenandoah(bytes: Buffer, at: number, end: number, time: LineTime): LegacyLine {
    const inner = bytes.toString('latin1', at + 1, Math.min(end, at + 300)).replace(/\]\s*$/, '');
    const unified = Buffer.from(inner.replace(', ', ' ').replace(/ ms$/, 'ms'), 'latin1');
    const finding = readBody(unified, 0, unified.length);
    if (finding === 'detail') return 'detail';
    if (finding === 'broken' || !('event' in finding)) return 'unparsed';
    this.#sink.collector('Shenandoah');
    this.#sink.event(finding.event, time);
    return 'record';
  }
}

/** `[GC…` and `[Full GC…` of a collection, not the details that begin alike. */
function beginsRecord(bytes: Buffer, at: number, end: number): boolean {
  if (bytes[at] !== open) return false;
  if (startsWith(bytes, at, end, '[Full GC')) return true;
  if (!startsWith(bytes, at, end, '[GC')) return false;
  return !startsWith(bytes, at, end, '[GC Worker') && !startsWith(bytes, at, end, '[GC concurrent');
}

/** Lines of PrintHeapAtGC, PrintTenuringDistribution and their like within a record: their brackets are not its own. */
function isNoise(bytes: Buffer, start: number, end: number): boolean {
  const { at, indented } = readStamps(bytes, start, end);
  if (bytes[at] === open) return false;
  const text = bytes.toString('latin1', at, Math.min(end, at + 100));
  return text.includes('[0x') || isLegacyDetail(text, indented);
}

/** `[CMS: 24K->5K(256K)`, `[CMS2.3: [CMS-concurrent-mark…`, `[CMS (concurrent mode failure)`: its collection in one pause. */
function isCmsCollection(bytes: Buffer, at: number, end: number): boolean {
  if (!startsWith(bytes, at, end, '[CMS')) return false;
  const next = bytes[at + 4];
  return next === 58 || next === space || isDigit(next);
}

function noteFailure(record: OpenRecord, bytes: Buffer, at: number, end: number): void {
  if (startsWith(bytes, at, end, '(promotion failed') || startsWith(bytes, at, end, '(to-space')) {
    record.evacuationFailed = true;
  } else if (startsWith(bytes, at, end, '(concurrent mode ')) record.whole = true;
}
