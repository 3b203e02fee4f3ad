import { ClassTally } from './class-tally.ts';
import { NameTable } from './name-table.ts';
import type { RecordVisitor } from './record-chain.ts';
import {
  invalidHprof,
  readU4,
  recordTag,
  type HprofHeader,
  type IdentifierByteSize,
} from './records.ts';
import type { SubRecordVisitor } from './sub-record-visitor.ts';
import { SubRecordReader } from './sub-records.ts';

const maxNameCount = 4_000_000;
/** Identifier and text of the longest name. */
const maxGatheredBytes = 8 + 65_535;

/** Is told of more than is counted. */
export interface ContentsObserver {
  /** In place of the tally, which it is to be handed on to. */
  readonly subRecords: SubRecordVisitor;
  header(header: HprofHeader): void;
  /** LOAD_CLASS's serial number of a class, and its index in the tally. */
  classSerial(serial: number, classIndex: number): void;
  /** A FRAME record's body, whole. */
  frame(body: Uint8Array): void;
  /** A TRACE record's body, the first 64 KiB of it. */
  trace(body: Uint8Array): void;
}

/**
 * Reads the records of a chain that tell of classes: UTF8, LOAD_CLASS, HEAP_DUMP and HEAP_DUMP_SEGMENT, and for an
 * observer FRAME and TRACE.
 */
export class RecordContents implements RecordVisitor {
  readonly tally = new ClassTally();
  readonly #observer: ContentsObserver | undefined;
  readonly names: NameTable;
  nameCount = 0;
  timestampMillis: number | undefined;
  #subRecords: SubRecordReader | undefined;
  #idBytes: IdentifierByteSize = 8;
  #tag = 0;
  /** The body of a name or class record, gathered as far as it is wanted. */
  readonly #body = new Uint8Array(maxGatheredBytes);
  #bodyBytes = 0;
  #wantedBytes = 0;

  constructor(maxNameBytes: number, observerOf?: (tally: ClassTally) => ContentsObserver) {
    this.#observer = observerOf?.(this.tally);
    this.names = new NameTable({ maxCount: maxNameCount, maxBytes: maxNameBytes });
  }

  header(header: HprofHeader): void {
    this.timestampMillis = header.timestampMillis;
    this.#idBytes = header.identifierByteSize;
    this.#observer?.header(header);
    this.#subRecords = new SubRecordReader(
      header.identifierByteSize,
      this.#observer?.subRecords ?? this.tally,
    );
  }

  begin(tag: number, lengthBytes: number): void {
    const id = this.#idBytes;
    this.#tag = tag;
    this.#bodyBytes = 0;
    this.#wantedBytes = 0;
    if (tag === recordTag.utf8) {
      requireLength('UTF8', lengthBytes, id);
      this.nameCount += 1;
      if (this.names.accepts(lengthBytes - id)) this.#wantedBytes = lengthBytes;
    } else if (tag === recordTag.loadClass) {
      requireLength('LOAD_CLASS', lengthBytes, 8 + 2 * id);
      this.#wantedBytes = 8 + 2 * id;
    } else if (isHeapDump(tag)) {
      this.#subRecords?.beginRecord(lengthBytes);
    } else if (this.#observer) {
      this.#beginStack(tag, lengthBytes);
    }
  }

  #beginStack(tag: number, lengthBytes: number): void {
    const frameBytes = 4 * this.#idBytes + 8;
    if (tag === recordTag.frame) {
      requireLength('FRAME', lengthBytes, frameBytes);
      this.#wantedBytes = frameBytes;
    } else if (tag === recordTag.trace) {
      requireLength('TRACE', lengthBytes, 12);
      this.#wantedBytes = Math.min(lengthBytes, maxGatheredBytes);
    }
  }

  body(chunk: Uint8Array, start: number, end: number): void {
    if (isHeapDump(this.#tag)) {
      this.#subRecords?.push(chunk, start, end);
      return;
    }
    const taken = Math.min(end - start, this.#wantedBytes - this.#bodyBytes);
    if (taken <= 0) return;
    this.#body.set(chunk.subarray(start, start + taken), this.#bodyBytes);
    this.#bodyBytes += taken;
  }

  end(): void {
    if (isHeapDump(this.#tag)) this.#subRecords?.endRecord();
    if (this.#wantedBytes === 0) return;
    const body = this.#body;
    const id = this.#idBytes;
    if (this.#tag === recordTag.utf8) {
      this.names.add(this.#high(0), this.#low(0), body.subarray(id, this.#wantedBytes));
    } else if (this.#tag === recordTag.frame) {
      this.#observer?.frame(body.subarray(0, this.#wantedBytes));
    } else if (this.#tag === recordTag.trace) {
      this.#observer?.trace(body.subarray(0, this.#wantedBytes));
    } else {
      // serial number, class, stack trace serial number, name
      const nameAt = 8 + id;
      this.tally.loadClass(this.#high(4), this.#low(4), this.#high(nameAt), this.#low(nameAt));
      this.#observer?.classSerial(readU4(body, 0), this.tally.indexOf(this.#high(4), this.#low(4)));
    }
  }

  #high(at: number): number {
    return this.#idBytes === 8 ? readU4(this.#body, at) : 0;
  }

  #low(at: number): number {
    return readU4(this.#body, at + this.#idBytes - 4);
  }
}

function isHeapDump(tag: number): boolean {
  return tag === recordTag.heapDumpSegment || tag === recordTag.heapDump;
}

function requireLength(record: string, lengthBytes: number, least: number): void {
  if (lengthBytes >= least) return;
  throw invalidHprof(`a ${record} record of ${lengthBytes} bytes; the least is ${least}`);
}
