import type { FileHandle } from 'node:fs/promises';
import type { Manifest } from '../capture/manifest.ts';
import { compositeMd5 } from '../capture/composite-md5.ts';
import {
  partBytesAt,
  streamRanges,
  type PartRange,
  type StreamRanges,
} from '../capture/part-layout.ts';
import { maxPartCount } from '../capture/ticket.ts';
import { endRecord } from '../hprof/end-record.ts';
import type { SealedObject } from '../capture/sealed-frames.ts';
import type { RedactMode } from '../hprof/redact.ts';
import { DumpRedaction } from './dump-redaction.ts';
import { compressEndRecord, FrameStream, type StreamEnd } from './frame-stream.ts';
import { PartSender, type PartSenderOptions } from './part-sender.ts';
import { PartWriter } from './part-writer.ts';
import { DumpSealing } from './seal-stored.ts';

type DumpResult = NonNullable<Manifest['dump']>;

/** Is told that everything of this file up to an offset is stored in the bucket, and not read again. */
export type OnDurable = (file: FileHandle, endOffset: number) => void;

export interface DumpUploadOptions extends PartSenderOptions {
  readonly blockBytes: number;
  /** Of the first parts. */
  readonly partBytes: number;
  readonly partCount: number;
  readonly expectedBytes: number;
  /** How many segment files the JVM may write; 0 for a JVM that writes one file. */
  readonly segmentCount: number;
  /** Must be durable before the first part of a segment is sent. @param firstPartNumbers of all streams. */
  readonly announceStreams: (firstPartNumbers: readonly number[]) => Promise<void>;
  /** What is zeroed in every stream before it is compressed. */
  readonly redact: RedactMode | undefined;
  /** With what each frame is encrypted; absent where the dump is stored plain. */
  readonly sealed?: SealedObject | undefined;
  readonly announceFinalPart: (partNumber: number) => Promise<void>;
  /** Asks for part numbers up to this one; resolves with the highest that can be used from then on. */
  readonly morePartNumbers?: (partCount: number) => Promise<number>;
  readonly onDurable?: OnDurable;
}

interface Stream {
  readonly frames: FrameStream;
  readonly parts: PartWriter;
}

/** One file of the dump, or the rest of one, on its way to the bucket. */
export type DumpStream = Pick<
  FrameStream,
  'space' | 'filled' | 'flush' | 'ended' | 'onBoundary' | 'firstSegmentOffset' | 'endBeforeSegments'
>;

/** The bytes of one segment after the other need not have come when the next begins. */
export interface DumpStreams {
  /** Segments that can have a stream of their own. */
  readonly segmentCount: number;
  openBase(file: FileHandle): DumpStream;
  /** In ascending order. @throws what the announcement threw. */
  openSegment(file: FileHandle): Promise<DumpStream>;
  /** What is read of the base from this offset on, behind all segments that were opened. */
  openRest(file: FileHandle, startOffset: number): Promise<DumpStream>;
  /** The files are about to be closed: nothing more is told of them. */
  closeFiles(): void;
}

/**
 * Turns the files of a dump into one object: each is a stream of its own, with its own record chain, frames and
 * range of part numbers, and S3 joins them by these. Ends in the end record and the seek table.
 */
export class DumpUpload implements DumpStreams {
  readonly #options: DumpUploadOptions;
  #ranges: StreamRanges | undefined;
  #partCount: number;
  readonly #sender: PartSender;
  readonly #redaction: DumpRedaction | undefined;
  readonly #sealing: DumpSealing | undefined;
  readonly #streams: Stream[] = [];
  #announced: Promise<void> | undefined;
  #held: Promise<unknown> | undefined;
  #filesOpen = true;

  constructor(options: DumpUploadOptions) {
    this.#options = options;
    this.#partCount = options.partCount;
    this.#sender = new PartSender(options);
    this.#redaction = options.redact && new DumpRedaction(options.redact);
    this.#sealing = options.sealed && new DumpSealing(options.sealed);
    this.#ranges = streamRanges(options.partCount, options.segmentCount);
  }

  /** Part numbers that can be used. */
  get partCount(): number {
    return this.#partCount;
  }

  get segmentCount(): number {
    return this.#ranges?.segments.length ?? 0;
  }

  get rawBytes(): number {
    return this.#streams.reduce((sum, { frames }) => sum + frames.rawBytes, 0);
  }

  get recordCount(): number {
    return this.#streams.reduce((sum, { frames }) => sum + frames.recordCount, 0);
  }

  get compressedBytes(): number {
    return this.#streams.reduce((sum, { parts }) => sum + parts.compressedBytes, 0);
  }

  get storedBytes(): number {
    return this.#sender.storedBytes;
  }

  get storedPartCount(): number {
    return this.#sender.storedPartCount;
  }

  /** A stream is larger than its part numbers allow. */
  get exhausted(): boolean {
    return this.#streams.some(({ parts }) => parts.exhausted);
  }

  /**
   * No stream that holds objects takes bytes until the promise has settled, whatever its outcome. The base of a dump in
   * segments holds names alone, and is where its follower sees that they have come. Call before the first is opened.
   */
  holdUntil(settled: Promise<unknown>): void {
    this.#held = settled;
  }

  /** @param file absent where the bytes come from elsewhere: then nothing is told of what is durable. */
  openBase(file?: FileHandle): DumpStream {
    const all = { firstPartNumber: 1, partCount: this.#options.partCount };
    return this.#open(file, this.#ranges?.base ?? all, { share: 1 });
  }

  async openSegment(file: FileHandle): Promise<DumpStream> {
    const range = this.#ranges?.segments[this.#streams.length - 1];
    if (range === undefined)
      throw new Error('the ticket has no part numbers for a further segment');
    await this.#announce();
    return this.#open(file, range, { fileHeader: 'absent', share: this.segmentCount });
  }

  async openRest(file: FileHandle, startOffset: number): Promise<DumpStream> {
    const range = this.#ranges?.restAfter(this.#streams.length - 1);
    if (range === undefined) throw new Error('a dump that is one stream has no rest');
    await this.#announce();
    return this.#open(file, range, { fileHeader: 'absent', share: 1, startOffset });
  }

  closeFiles(): void {
    this.#filesOpen = false;
  }

  /** Waits for the parts that are under way, whatever becomes of them. */
  settle(): Promise<void> {
    return this.#sender.settle();
  }

  /**
   * Makes every stream end on a record boundary, and the object in the end record and the seek table.
   * @param whole the streams are the whole dump.
   * @returns once everything is durable. @throws what an upload threw.
   */
  async finish(whole: boolean): Promise<Omit<DumpResult, 'codec'>> {
    const ends = await Promise.all(this.#streams.map((stream) => this.#finishStream(stream)));
    const last = this.#streams.at(-1);
    if (last === undefined) throw new Error('a dump without a file cannot be finished');
    const account = accountOf(ends, whole);
    const redaction = this.#redaction?.account(account.identifierByteSize);
    const endFrame = await compressEndRecord();
    const earlierStreams = this.#streams.slice(0, -1).map(({ parts }) => parts.frames);
    await this.#sealing?.finish(last.parts);
    await last.parts.finish({ endFrame, earlierStreams });
    await this.#sender.settle();
    this.#sender.throwFailure();
    const parts = this.#sender.stored;
    return {
      ...account,
      ...(redaction && { redaction }),
      compressedBytes: this.compressedBytes,
      endFrameBytes: endFrame.length,
      seekTableBytes: last.parts.seekTableBytes,
      compositeMd5: compositeMd5(parts),
      parts,
    };
  }

  async #finishStream({ frames, parts }: Stream): Promise<StreamEnd> {
    const end = await frames.finish();
    if (parts !== this.#streams.at(-1)?.parts) await parts.close();
    return end;
  }

  #announce(): Promise<void> {
    this.#announced ??= this.#options.announceStreams(this.#firstPartNumbers());
    return this.#announced;
  }

  #firstPartNumbers(): number[] {
    const { segments = [] } = this.#ranges ?? {};
    const rest = this.#ranges?.restAfter(segments.length);
    const ranges = [...segments, ...(rest ? [rest] : [])];
    return [1, ...ranges.map(({ firstPartNumber }) => firstPartNumber)];
  }

  /**
   * Asks for more part numbers for a stream. Only one that no other's numbers follow can have them: the only one, the
   * rest, or the last segment, whose rest then moves.
   * @returns how many the stream has from then on.
   */
  async #extend(index: number, range: PartRange): Promise<number> {
    const { morePartNumbers } = this.#options;
    const segmentCount = this.#ranges?.segments.length ?? 0;
    const isSegment = index >= 1 && index <= segmentCount;
    const mayGrow = (): boolean =>
      index === this.#streams.length - 1 &&
      (this.#ranges === undefined || (isSegment ? index === segmentCount : index > 0));
    if (!morePartNumbers || !mayGrow()) return range.partCount;
    const partCount = await morePartNumbers(Math.min(2 * this.#partCount, maxPartCount - 1));
    if (partCount <= this.#partCount || !mayGrow()) return range.partCount;
    const grownCount = partCount - this.#partCount;
    this.#partCount = partCount;
    if (isSegment) {
      this.#ranges = this.#ranges?.grownTo(partCount);
      this.#announced = this.#options.announceStreams(this.#firstPartNumbers());
      await this.#announced;
    }
    return range.partCount + grownCount;
  }

  #open(
    file: FileHandle | undefined,
    range: PartRange,
    about: { fileHeader?: 'absent'; startOffset?: number; share: number },
  ): DumpStream {
    const { blockBytes, partBytes, expectedBytes, announceFinalPart, onDurable } = this.#options;
    const { fileHeader = 'expected', startOffset = 0, share } = about;
    const isFirst = this.#streams.length === 0;
    const index = this.#streams.length;
    const sizes = {
      partCount: range.partCount,
      firstBytes: partBytes,
      // A base with ranges of its own holds no heap.
      expectedBytes: isFirst && this.#ranges ? 0 : expectedBytes / share,
    };
    const parts = new PartWriter(this.#sender, {
      range,
      partBytesAt: (partIndex) => partBytesAt(partIndex, sizes),
      extend: async () => {
        sizes.partCount = await this.#extend(index, { ...range, partCount: sizes.partCount });
        return sizes.partCount;
      },
      announceFinalPart,
      onDurable: (rawBytes) => {
        if (this.#filesOpen && file !== undefined) onDurable?.(file, startOffset + rawBytes);
      },
    });
    const redactor = this.#redaction?.redactorFor(fileHeader);
    const sink = this.#sealing?.streamInto(parts, range.firstPartNumber) ?? parts;
    const frames = new FrameStream(blockBytes, sink, { fileHeader, redactor });
    const holdsObjects = !isFirst || this.#ranges === undefined;
    if (this.#held && holdsObjects) frames.holdUntil(this.#held);
    this.#streams.push({ frames, parts });
    return frames;
  }
}

function accountOf(
  ends: readonly StreamEnd[],
  whole: boolean,
): Pick<
  DumpResult,
  'rawBytes' | 'recordCount' | 'identifierByteSize' | 'endRecord' | 'appendedBytes'
> {
  const sum = (of: (end: StreamEnd) => number): number =>
    ends.reduce((total, end) => total + of(end), 0);
  const endRecordCame = ends.some(({ ended }) => ended);
  const identifierByteSize = ends[0]?.identifierByteSize;
  return {
    rawBytes: sum(({ rawBytes }) => rawBytes) + endRecord.length,
    recordCount: sum(({ recordCount }) => recordCount) + (endRecordCame ? 0 : 1),
    ...(identifierByteSize !== undefined && { identifierByteSize }),
    endRecord: whole,
    appendedBytes: sum(({ filledBytes }) => filledBytes) + (whole ? 0 : endRecord.length),
  };
}
