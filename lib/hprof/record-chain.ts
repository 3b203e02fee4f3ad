import { CaptureError } from '../errors.ts';
import {
  acceptedRecordTags,
  fileHeaderBytes,
  hex,
  invalidHprof,
  isRecordTag,
  readHeader,
  readU4,
  recordHeadBytes,
  recordTag,
  type HprofHeader,
  type HprofVersion,
  type IdentifierByteSize,
} from './records.ts';

/** How far a stream of top-level records has come. All offsets and sizes are bytes, safe up to 2^53. */
export interface ChainState {
  /** Absent until the file header is whole, and for a segment file, which has none. */
  readonly version?: HprofVersion;
  readonly identifierByteSize?: IdentifierByteSize;
  /** Bytes pushed; after a fault, the bytes up to it. */
  readonly bytes: number;
  /** Whole records, the end record among them. */
  readonly recordCount: number;
  /** Offset behind the last whole record (or file header); 0 before that. */
  readonly boundaryBytes: number;
  /**
   * Bytes of the current record's body still to come. 0 at a boundary, and also while the head itself is
   * not whole, because then the length is not known: see `incompleteHead`.
   */
  readonly openRecordRemainingBytes: number;
  /**
   * What has come of a record head (1 to 8 bytes) or a file header (1 to 30) that is not whole; otherwise
   * empty. The stream stands on a boundary when this is empty and `openRecordRemainingBytes` is 0.
   */
  readonly incompleteHead: Uint8Array;
  /** Offset within the last chunk behind the last record that ended in it (1..its length), if one did. */
  readonly lastChunkBoundary?: number;
  /** Offset of the first heap dump (segment) record. */
  readonly firstSegmentOffset?: number;
  /** Records before the first heap dump (segment) record. */
  readonly recordCountBeforeSegments?: number;
  /** The end record has come, and nothing after it. */
  readonly ended: boolean;
}

/** Is told of the file header, then of every record: `begin`, its body in pieces (none when it is empty), `end`. */
export interface RecordVisitor {
  header(header: HprofHeader): void;
  begin(tag: number, lengthBytes: number): void;
  body(chunk: Uint8Array, start: number, end: number): void;
  end(): void;
}

export interface RecordChainOptions {
  /** `absent` walks a segment file (`d.hprof.p0`) of JDK ≥ 22, which holds records only. */
  fileHeader?: 'expected' | 'absent';
  visitor?: RecordVisitor;
}

const nothing = new Uint8Array(0);

/**
 * Walks the top-level records of a heap dump as it streams by. Bodies are skipped, chunks may be cut
 * anywhere, `push` allocates nothing. A dump is whole when `state.ended` is true: the unbroken chain up to
 * the end record is the only proof of it, since neither jcmd's exit code nor its words are.
 */
export class RecordChain {
  readonly #visitor: RecordVisitor | undefined;
  readonly #head = new Uint8Array(fileHeaderBytes);
  #headBytes = 0;
  #wantedHeadBytes: number;
  #header: HprofHeader | undefined;
  #bytes = 0;
  #recordCount = 0;
  #boundaryBytes = 0;
  #remainingBytes = 0;
  #chunkStart = 0;
  #firstSegmentOffset: number | undefined;
  #recordCountBeforeSegments: number | undefined;
  #endRecordSeen = false;
  #fault: CaptureError | undefined;

  constructor(options: RecordChainOptions = {}) {
    this.#visitor = options.visitor;
    this.#wantedHeadBytes = options.fileHeader === 'absent' ? recordHeadBytes : fileHeaderBytes;
  }

  get state(): ChainState {
    const header = this.#header;
    const chunkBoundary = this.#boundaryBytes - this.#chunkStart;
    return {
      ...(header && {
        version: header.version,
        identifierByteSize: header.identifierByteSize,
      }),
      bytes: this.#bytes,
      recordCount: this.#recordCount,
      boundaryBytes: this.#boundaryBytes,
      openRecordRemainingBytes: this.#remainingBytes,
      incompleteHead: this.#headBytes === 0 ? nothing : this.#head.slice(0, this.#headBytes),
      ...(chunkBoundary > 0 && { lastChunkBoundary: chunkBoundary }),
      ...(this.#firstSegmentOffset !== undefined && {
        firstSegmentOffset: this.#firstSegmentOffset,
      }),
      ...(this.#recordCountBeforeSegments !== undefined && {
        recordCountBeforeSegments: this.#recordCountBeforeSegments,
      }),
      ended: this.#endRecordSeen && this.#fault === undefined,
    };
  }

  /**
   * @throws CaptureError InvalidHprof at the first byte that breaks the chain, and again at every later call;
   *   `state.boundaryBytes` is then the end of what was good.
   */
  push(chunk: Uint8Array): void {
    if (this.#fault) throw this.#fault;
    this.#chunkStart = this.#bytes;
    try {
      let at = 0;
      while (at < chunk.length) {
        at = this.#remainingBytes > 0 ? this.#skipBody(chunk, at) : this.#readHead(chunk, at);
        this.#bytes = this.#chunkStart + at;
      }
    } catch (error) {
      if (error instanceof CaptureError) this.#fault = error;
      throw error;
    }
  }

  #skipBody(chunk: Uint8Array, start: number): number {
    const end = Math.min(chunk.length, start + this.#remainingBytes);
    this.#visitor?.body(chunk, start, end);
    this.#remainingBytes -= end - start;
    if (this.#remainingBytes === 0) this.#endRecord(this.#chunkStart + end);
    return end;
  }

  #readHead(chunk: Uint8Array, start: number): number {
    if (this.#endRecordSeen) {
      throw invalidHprof(`bytes after the end record, at offset ${this.#chunkStart + start}`);
    }
    const wanted = this.#wantedHeadBytes;
    const end = start + wanted - this.#headBytes;
    if (this.#headBytes === 0 && wanted === recordHeadBytes && end <= chunk.length) {
      this.#beginRecord(chunk, start, this.#chunkStart + end);
      return end;
    }
    const available = Math.min(end, chunk.length);
    this.#head.set(chunk.subarray(start, available), this.#headBytes);
    this.#headBytes += available - start;
    if (this.#headBytes < wanted) return available;
    if (wanted === recordHeadBytes) {
      this.#beginRecord(this.#head, 0, this.#chunkStart + end);
    } else {
      this.#header = readHeader(this.#head);
      this.#visitor?.header(this.#header);
      this.#wantedHeadBytes = recordHeadBytes;
      this.#boundaryBytes = this.#chunkStart + end;
    }
    this.#headBytes = 0;
    return end;
  }

  #beginRecord(data: Uint8Array, at: number, bodyOffset: number): void {
    const tag = data[at] ?? 0;
    const lengthBytes = readU4(data, at + 5);
    const offset = bodyOffset - recordHeadBytes;
    if (!isRecordTag(tag)) {
      throw invalidHprof(
        `record ${this.#recordCount} at offset ${offset} has the tag ${hex(tag)}; accepted are ${acceptedRecordTags}`,
      );
    }
    if (tag === recordTag.heapDumpEnd) {
      if (lengthBytes !== 0) {
        throw invalidHprof(`the end record at offset ${offset} has ${lengthBytes} bytes, not 0`);
      }
      this.#endRecordSeen = true;
    } else if (tag === recordTag.heapDump && lengthBytes === 0) {
      throw invalidHprof(
        `the heap dump record at offset ${offset} has a length of 0: its writer broke off, or wrote over 4 GiB in one record`,
      );
    }
    if (tag === recordTag.heapDump || tag === recordTag.heapDumpSegment) {
      this.#firstSegmentOffset ??= offset;
      this.#recordCountBeforeSegments ??= this.#recordCount;
    }
    this.#visitor?.begin(tag, lengthBytes);
    if (lengthBytes === 0) this.#endRecord(bodyOffset);
    else this.#remainingBytes = lengthBytes;
  }

  #endRecord(offset: number): void {
    this.#visitor?.end();
    this.#recordCount += 1;
    this.#boundaryBytes = offset;
  }
}
