import { promisify } from 'node:util';
import { zstdCompress } from 'node:zlib';
import { endRecord } from '../hprof/end-record.ts';
import { writeBufferBytes } from '../hprof/salvage.ts';
import type { IdentifierByteSize } from '../hprof/records.ts';
import { BlockCutter, type OpenRecord, type RawBlock } from './block-cutter.ts';
import { FrameCompressor, zstdParams } from './frame-compressor.ts';

/** Two blocks are compressed while a third is filled; each holds its buffer until its frame was taken. */
const bufferCount = 3;
const compressorCount = 2;
const compress = promisify(zstdCompress);

/** One block, compressed by itself. */
export interface Frame {
  readonly bytes: Uint8Array;
  /** Dump bytes that it holds. */
  readonly rawBytes: number;
  /** The record in which the block ends, where it does not end on a boundary. */
  readonly open?: OpenRecord;
}

/** Takes frames in the order of the stream. A pending promise holds the reader back. */
export interface FrameSink {
  add(frame: Frame): Promise<void>;
  /** Makes durable what it was given, without waiting for more. */
  flush(): Promise<void>;
  /**
   * Takes back the frames of the record that the last frame left open, if none of them is on its way.
   * @returns how many dump bytes they held; 0 when they can not be taken back.
   */
  dropOpenRecord(): number;
}

export interface StreamEnd {
  /** Without the end record, but with the zeros that fill a cut record. */
  readonly rawBytes: number;
  readonly filledBytes: number;
  /** Whole records, the JVM's end record among them. */
  readonly recordCount: number;
  readonly identifierByteSize?: IdentifierByteSize;
  /** The stream came to the JVM's own end record. */
  readonly ended: boolean;
}

export interface FrameStreamOptions {
  /** `absent` for a segment file of JDK ≥ 22. */
  readonly fileHeader?: 'expected' | 'absent';
  readonly redactor?: { push(block: Uint8Array): void } | undefined;
}

/** The last frame of every dump: the end record alone. */
export function compressEndRecord(): Promise<Uint8Array> {
  return compress(endRecord, { params: zstdParams });
}

/**
 * Turns dump bytes into independent zstd frames: level 1, with checksums, two at a time, in order. Holds
 * at most three blocks and their frames, whatever the sink's pace.
 */
export class FrameStream {
  readonly #blockBytes: number;
  readonly #sink: FrameSink;
  readonly #redactor: { push(block: Uint8Array): void } | undefined;
  readonly #cutter: BlockCutter;
  readonly #compressors: readonly FrameCompressor[];
  #frameCount = 0;
  readonly #free: Uint8Array[] = [];
  #bufferCount = 1;
  #wake: (() => void) | undefined;
  #held: Promise<unknown> | undefined;
  #tail: Promise<void> = Promise.resolve();
  #failure: { error: unknown } | undefined;
  #rawBytes = 0;
  #filledBytes = 0;

  /** @param options.redactor overwrites each block before it is compressed. */
  constructor(
    blockBytes: number,
    sink: FrameSink,
    { fileHeader = 'expected', redactor }: FrameStreamOptions = {},
  ) {
    this.#blockBytes = blockBytes;
    this.#sink = sink;
    this.#redactor = redactor;
    this.#compressors = Array.from(
      { length: compressorCount },
      () => new FrameCompressor(blockBytes),
    );
    this.#cutter = new BlockCutter(Buffer.allocUnsafeSlow(blockBytes), fileHeader);
  }

  get ended(): boolean {
    return this.#cutter.ended;
  }

  get firstSegmentOffset(): number | undefined {
    return this.#cutter.firstSegmentOffset;
  }

  /** Whole records so far. */
  get recordCount(): number {
    return this.#cutter.recordCount;
  }

  /** Raw bytes that went to the compressor so far. */
  get rawBytes(): number {
    return this.#rawBytes;
  }

  /** Takes no bytes until the promise has settled, whatever its outcome. */
  holdUntil(settled: Promise<unknown>): void {
    this.#held = settled.catch(() => undefined);
  }

  /** Where to put the next bytes; never empty. @throws what the sink threw. */
  async space(): Promise<Uint8Array> {
    await this.#held;
    if (this.#cutter.full) {
      const next = await this.#takeBuffer();
      this.#dispatch(this.#cutter.cut(next));
    }
    this.#throwFailure();
    return this.#cutter.space();
  }

  /** @throws CaptureError InvalidHprof: the bytes broke the record chain; only finish() makes sense then. */
  filled(bytes: number): void {
    this.#cutter.filled(bytes);
  }

  /** As BlockCutter. */
  endBeforeSegments(): void {
    this.#cutter.endBeforeSegments();
  }

  /** Whether everything that came is whole records. */
  get onBoundary(): boolean {
    return this.#cutter.onBoundary;
  }

  /** Has the sink make durable what has come up to the last record boundary. */
  async flush(): Promise<void> {
    if (this.#cutter.hasBoundary) this.#dispatch(this.#cutter.cut(await this.#takeBuffer()));
    await this.#tail;
    this.#throwFailure();
    await this.#sink.flush();
  }

  /** Hands over what is left, up to the last whole record. */
  async finish(): Promise<StreamEnd> {
    const { ended } = this.#cutter;
    await this.#closeRecord();
    const { identifierByteSize, recordCount } = this.#cutter;
    if (this.#cutter.space().length < this.#blockBytes) {
      this.#dispatch(this.#cutter.cut(Buffer.alloc(0)));
    }
    await this.#tail;
    for (const compressor of this.#compressors) compressor.close();
    this.#throwFailure();
    return {
      rawBytes: this.#rawBytes,
      filledBytes: this.#filledBytes,
      recordCount,
      ...(identifierByteSize !== undefined && { identifierByteSize }),
      ended,
    };
  }

  /** Zeros are values to an array, and an unknown sub-record to objects: a record that can hold these is dropped. */
  async #closeRecord(): Promise<void> {
    const open = this.#cutter.openRecord;
    if (open !== undefined && open.recordBytes <= writeBufferBytes) {
      await this.#tail;
      this.#throwFailure();
      const droppedBytes = this.#sink.dropOpenRecord();
      this.#rawBytes -= droppedBytes;
      if (droppedBytes === 0) await this.#fillRecord();
    } else await this.#fillRecord();
    this.#cutter.truncate();
  }

  async #fillRecord(): Promise<void> {
    for (;;) {
      const remainingBytes = this.#cutter.openRecord?.remainingBytes ?? 0;
      if (remainingBytes === 0) return;
      const space = await this.space();
      const zeros = space.subarray(0, remainingBytes).fill(0);
      this.#cutter.filled(zeros.length);
      this.#filledBytes += zeros.length;
    }
  }

  async #takeBuffer(): Promise<Uint8Array> {
    for (;;) {
      this.#throwFailure();
      const free = this.#free.pop();
      if (free) return free;
      if (this.#bufferCount < bufferCount) {
        this.#bufferCount += 1;
        return Buffer.allocUnsafeSlow(this.#blockBytes);
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** @throws what the redactor threw: neither this block nor a later one is stored then. */
  #dispatch(block: RawBlock): void {
    this.#throwFailure();
    try {
      this.#redactor?.push(block.bytes);
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
    this.#rawBytes += block.bytes.length;
    const frame = this.#compress(block.bytes);
    frame.catch(() => undefined);
    const before = this.#tail;
    this.#tail = (async () => {
      try {
        await before;
        if (this.#failure === undefined) {
          const rawBytes = block.bytes.length;
          const { open } = block;
          await this.#sink.add({ bytes: await frame, rawBytes, ...(open && { open }) });
        }
      } catch (error) {
        this.#failure ??= { error };
      }
      this.#free.push(block.buffer);
      this.#wake?.();
    })();
  }

  #compress(block: Uint8Array): Promise<Uint8Array> {
    const compressor = this.#compressors[this.#frameCount % compressorCount];
    this.#frameCount += 1;
    if (compressor === undefined) throw new RangeError('a stream without compressors');
    return compressor.compress(block);
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}
