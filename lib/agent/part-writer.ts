import { createHash, type Hash } from 'node:crypto';
import {
  firstGrowingIndex,
  paddingBytes,
  skippableFrame,
  type PartRange,
} from '../capture/part-layout.ts';
import { FrameSizes, seekTable } from '../capture/seek-table.ts';
import { minPartBytes } from '../capture/ticket.ts';
import { endRecord } from '../hprof/end-record.ts';
import type { OpenRecord } from './block-cutter.ts';
import type { Frame, FrameSink } from './frame-stream.ts';
import { PartPages } from './part-pages.ts';
import type { PartSender } from './part-sender.ts';

export interface PartWriterOptions {
  readonly range: PartRange;
  /** Resolves with how many part numbers the range has from then on; asked when it runs short. */
  readonly extend?: () => Promise<number>;
  /** Size at which part `index` (0-based) of the range is sent. */
  readonly partBytesAt: (index: number) => number;
  /** Must be durable before a last part is sent that could be taken for one of many by its size. */
  readonly announceFinalPart: (partNumber: number) => Promise<void>;
  /** Is told how many bytes of the stream, from the first on, are stored without a gap. */
  readonly onDurable?: (rawBytes: number) => void;
}

/** What ends the object: its last frames, and the frames of the streams before this one. */
export interface ObjectEnd {
  readonly endFrame: Uint8Array;
  readonly earlierStreams: readonly FrameSizes[];
}

interface OpenPart {
  readonly pages: PartPages;
  md5: Hash;
  /** How far the stream was at the last frame that ended on a record boundary; absent when the part has none. */
  boundary?: StreamLength;
}

interface StreamLength {
  readonly partBytes: number;
  readonly rawBytes: number;
  readonly frameCount: number;
}

/**
 * Gathers the frames of one stream into parts of a range of part numbers. A part is closed when it has its size
 * and ends on a record boundary; inside a record that is larger than a part, it is announced and closed all
 * the same. Only the object's very last part may be smaller than S3's minimum: a stream's last part, or one that
 * flush() closes, is brought to it by a frame that readers pass over.
 */
export class PartWriter implements FrameSink {
  readonly #sender: PartSender;
  readonly #options: PartWriterOptions;
  readonly #frames = new FrameSizes();
  /** Dump bytes up to the end of each part that is stored behind one that is not. */
  readonly #storedAhead = new Map<number, number>();
  #durablePartCount = 0;
  #rawBytes = 0;
  #part: OpenPart;
  #index = 0;
  #partCount: number;
  #extending: Promise<void> | undefined;
  /** Of the range, when more part numbers were last asked for. */
  #askedPartCount = 0;
  #compressedBytes = 0;
  #seekTableBytes = 0;

  constructor(sender: PartSender, options: PartWriterOptions) {
    this.#sender = sender;
    this.#options = options;
    this.#partCount = options.range.partCount;
    this.#part = this.#emptyPart();
    this.#part.boundary = this.#streamLength();
  }

  /** With the frames that fill parts up. */
  get compressedBytes(): number {
    return this.#compressedBytes;
  }

  get frames(): FrameSizes {
    return this.#frames;
  }

  /** Of the table that finish() wrote. */
  get seekTableBytes(): number {
    return this.#seekTableBytes;
  }

  /**
   * The range's last number is in use, its part has its size, and no more numbers come: nothing but the end may
   * follow. The stream is then larger than the ticket was made for.
   */
  get exhausted(): boolean {
    const atItsEnd = this.#isLastNumber && this.#part.pages.bytes >= this.#partBytes;
    return atItsEnd && this.#extending === undefined;
  }

  /** @throws what a part's upload threw. */
  async add({ bytes, rawBytes, open }: Frame): Promise<void> {
    this.#rawBytes += rawBytes;
    this.#append(bytes, rawBytes);
    if (open === undefined) this.#part.boundary = this.#streamLength();
    if (this.#isLastNumber || this.#index >= firstGrowingIndex(this.#partCount)) this.#extend();
    if (this.#part.pages.bytes < this.#partBytes) return;
    if (this.#isLastNumber) await this.#extending;
    if (this.#isLastNumber) return;
    const partBytes = this.#partBytes;
    if (open && open.recordBytes < partBytes) return;
    await this.#send(open);
  }

  dropOpenRecord(): number {
    const { pages, boundary } = this.#part;
    if (boundary === undefined) return 0;
    const droppedBytes = this.#rawBytes - boundary.rawBytes;
    this.#rawBytes = boundary.rawBytes;
    this.#compressedBytes -= pages.bytes - boundary.partBytes;
    this.#frames.truncate(boundary.frameCount);
    pages.truncate(boundary.partBytes);
    this.#part.md5 = createHash('md5');
    for (const chunk of pages.chunks) this.#part.md5.update(chunk);
    return droppedBytes;
  }

  /** Sends the open part, which must end on a boundary, before it has its size. */
  async flush(): Promise<void> {
    if (!this.#isLastNumber) await this.close();
  }

  /** Sends the last part of a stream that others follow in the object. */
  async close(): Promise<void> {
    if (this.#part.pages.bytes === 0) return;
    this.#pad();
    await this.#send(undefined);
  }

  /** Closes the object's last part with the end of the object. */
  async finish({ endFrame, earlierStreams }: ObjectEnd): Promise<void> {
    this.#append(endFrame, endRecord.length);
    const table = seekTable([...earlierStreams, this.#frames]);
    this.#seekTableBytes = table.length;
    this.#appendBytes(table);
    const partNumber = this.#options.range.firstPartNumber + this.#index;
    // A smaller part can only be the last one of an object: sweep knows it by its size.
    if (this.#part.pages.bytes >= minPartBytes) await this.#options.announceFinalPart(partNumber);
    await this.#send(undefined);
  }

  get #partBytes(): number {
    return this.#options.partBytesAt(this.#index);
  }

  get #isLastNumber(): boolean {
    return this.#index >= this.#partCount - 1;
  }

  /** Asks for more part numbers, once for each that the range has, and without waiting for them. */
  #extend(): void {
    if (this.#askedPartCount === this.#partCount || !this.#options.extend) return;
    this.#askedPartCount = this.#partCount;
    this.#extending = this.#options
      .extend()
      .then((partCount) => {
        this.#partCount = Math.max(this.#partCount, partCount);
      })
      .finally(() => (this.#extending = undefined));
    // Who waits for it is told; nobody else needs to be.
    this.#extending.catch(() => undefined);
  }

  #append(frame: Uint8Array, rawBytes: number): void {
    this.#frames.add(frame.length, rawBytes);
    this.#appendBytes(frame);
  }

  #appendBytes(bytes: Uint8Array): void {
    this.#sender.throwFailure();
    this.#part.pages.copy(bytes);
    this.#count(bytes);
  }

  #count(bytes: Uint8Array): void {
    this.#part.md5.update(bytes);
    this.#compressedBytes += bytes.length;
  }

  #pad(): void {
    const bytes = paddingBytes(this.#part.pages.bytes);
    if (bytes === 0) return;
    this.#frames.add(bytes, 0);
    for (const piece of skippableFrame(bytes)) {
      this.#part.pages.refer(piece);
      this.#count(piece);
    }
  }

  async #send(open: OpenRecord | undefined): Promise<void> {
    const { pages, md5 } = this.#part;
    const index = this.#index;
    const rawEndBytes = this.#rawBytes;
    this.#part = this.#emptyPart();
    if (open === undefined) this.#part.boundary = this.#streamLength();
    this.#index += 1;
    await this.#sender.send({
      partNumber: this.#options.range.firstPartNumber + index,
      pages,
      md5: md5.digest(),
      ...(open && { openBytes: open.remainingBytes }),
      onStored: () => this.#noteDurable(index, rawEndBytes),
    });
  }

  #noteDurable(index: number, rawEndBytes: number): void {
    this.#storedAhead.set(index, rawEndBytes);
    let durableBytes: number | undefined;
    for (;;) {
      const next = this.#storedAhead.get(this.#durablePartCount);
      if (next === undefined) break;
      this.#storedAhead.delete(this.#durablePartCount);
      this.#durablePartCount += 1;
      durableBytes = next;
    }
    if (durableBytes !== undefined) this.#options.onDurable?.(durableBytes);
  }

  #streamLength(): StreamLength {
    const { pages } = this.#part;
    return {
      partBytes: pages.bytes,
      rawBytes: this.#rawBytes,
      frameCount: this.#frames.count,
    };
  }

  #emptyPart(): OpenPart {
    return { pages: new PartPages(this.#sender.pagePool), md5: createHash('md5') };
  }
}
