import { CaptureError } from '../errors.ts';
import { endRecord } from '../hprof/end-record.ts';
import { RecordChain } from '../hprof/record-chain.ts';
import type { IdentifierByteSize } from '../hprof/records.ts';

/** The record that a block ends inside of. */
export interface OpenRecord {
  /** Bytes of it that are still to come. */
  readonly remainingBytes: number;
  /** Its whole size, head included. */
  readonly recordBytes: number;
}

export interface RawBlock {
  /** A view into the buffer. */
  readonly bytes: Uint8Array;
  /** The whole buffer, to be used again when the block is done with. */
  readonly buffer: Uint8Array;
  /** Absent when the block ends on a record boundary: always, but inside a record larger than a block. */
  readonly open?: OpenRecord;
}

/**
 * Cuts a stream of dump bytes into blocks that end on record boundaries. Bytes are read straight into
 * its buffer (space(), then filled()); what lies behind a cut moves on to the next buffer. The JVM's own end
 * record never goes into a block: it is written last, and alone.
 */
export class BlockCutter {
  #buffer: Uint8Array;
  #length = 0;
  readonly #chain: RecordChain;
  /** What the chain counts, less this, is an offset in the buffer. */
  #bufferStart = 0;
  /** Nothing from this offset of the stream on belongs to it. */
  #endOffset = Infinity;

  /** @param fileHeader `absent` for a segment file of JDK ≥ 22, or for what is read from the middle of a dump. */
  constructor(buffer: Uint8Array, fileHeader: 'expected' | 'absent' = 'expected') {
    this.#buffer = buffer;
    this.#chain = new RecordChain({ fileHeader });
  }

  get full(): boolean {
    return this.#length === this.#buffer.length;
  }

  /** Whole records so far, the JVM's end record included. */
  get recordCount(): number {
    const { recordCount, recordCountBeforeSegments = recordCount } = this.#chain.state;
    return this.#endOffset === Infinity ? recordCount : recordCountBeforeSegments;
  }

  get identifierByteSize(): IdentifierByteSize | undefined {
    return this.#chain.state.identifierByteSize;
  }

  /** The unbroken chain has come to the JVM's own end record. */
  get ended(): boolean {
    return this.#endOffset === Infinity && this.#chain.state.ended;
  }

  /** Offset in the file of its first heap dump record, once that has come. */
  get firstSegmentOffset(): number | undefined {
    return this.#chain.state.firstSegmentOffset;
  }

  space(): Uint8Array {
    return this.#buffer.subarray(this.#length);
  }

  /** @throws CaptureError InvalidHprof: the bytes broke the chain. The stream can then only be sealed. */
  filled(bytes: number): void {
    const start = this.#length;
    this.#length += bytes;
    this.#chain.push(this.#buffer.subarray(start, this.#length));
  }

  /** Takes a block out, as large as it can be. Call when full. */
  cut(next: Uint8Array): RawBlock {
    const boundary = this.#boundary();
    const open = boundary > 0 ? undefined : this.#open();
    const end = boundary > 0 ? boundary : this.#length;
    const block = {
      buffer: this.#buffer,
      bytes: this.#buffer.subarray(0, end),
      ...(open && { open }),
    };
    next.set(this.#buffer.subarray(end, this.#length));
    this.#buffer = next;
    this.#length -= end;
    this.#bufferStart += end;
    return block;
  }

  /**
   * The record that was not whole when the bytes ended, and whose beginning left with an earlier block. One that
   * began in the buffer is dropped by truncate() alone.
   */
  get openRecord(): OpenRecord | undefined {
    const begunEarlier = this.#boundary() < 0 && this.#chain.state.openRecordRemainingBytes > 0;
    return begunEarlier ? this.#open() : undefined;
  }

  /** Drops what the buffer has of a cut record (and the JVM's end record). */
  truncate(): void {
    this.#length = Math.max(0, Math.min(this.#length, this.#boundary()));
  }

  /** Lets the stream end before its first heap dump record, no byte of which may have left. */
  endBeforeSegments(): void {
    this.#endOffset = this.firstSegmentOffset ?? Infinity;
    this.truncate();
  }

  /** Whether cut() would give whole records. */
  get hasBoundary(): boolean {
    return this.#boundary() > 0;
  }

  /** Whether the stream stands on a record boundary. */
  get onBoundary(): boolean {
    const { bytes, boundaryBytes } = this.#chain.state;
    return bytes === boundaryBytes;
  }

  /** Offset in the buffer of the last boundary before the end record; not positive when there is none. */
  #boundary(): number {
    const { boundaryBytes, ended } = this.#chain.state;
    const end = boundaryBytes - (ended ? endRecord.length : 0);
    return Math.min(end, this.#endOffset) - this.#bufferStart;
  }

  #open(): OpenRecord {
    const { bytes, boundaryBytes, openRecordRemainingBytes } = this.#chain.state;
    if (openRecordRemainingBytes === 0) {
      throw new CaptureError('InvalidHprof', 'a full block holds neither a boundary nor a record');
    }
    return {
      remainingBytes: openRecordRemainingBytes,
      recordBytes: bytes - boundaryBytes + openRecordRemainingBytes,
    };
  }
}
