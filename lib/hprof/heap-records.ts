import type { RecordVisitor } from './record-chain.ts';
import { recordTag, type HprofHeader, type IdentifierByteSize } from './records.ts';
import type { SubRecordVisitor } from './sub-record-visitor.ts';
import { SubRecordReader } from './sub-records.ts';

/** Hands the bodies of heap dump records to a visitor of their sub-records; no other record holds objects. */
export class HeapRecords implements RecordVisitor {
  readonly #visitor: SubRecordVisitor;
  readonly #onHeader: (identifierByteSize: IdentifierByteSize) => void;
  #subRecords: SubRecordReader | undefined;
  #inHeapDump = false;

  /** @param onHeader told of the identifiers' size before the first sub-record. */
  constructor(
    visitor: SubRecordVisitor,
    onHeader: (identifierByteSize: IdentifierByteSize) => void = () => undefined,
  ) {
    this.#visitor = visitor;
    this.#onHeader = onHeader;
  }

  set idBytes(identifierByteSize: IdentifierByteSize) {
    this.#onHeader(identifierByteSize);
    this.#subRecords = new SubRecordReader(identifierByteSize, this.#visitor);
  }

  header(header: HprofHeader): void {
    this.idBytes = header.identifierByteSize;
  }

  begin(tag: number, lengthBytes: number): void {
    this.#inHeapDump = tag === recordTag.heapDumpSegment || tag === recordTag.heapDump;
    if (this.#inHeapDump) this.#subRecords?.beginRecord(lengthBytes);
  }

  body(chunk: Uint8Array, start: number, end: number): void {
    if (this.#inHeapDump) this.#subRecords?.push(chunk, start, end);
  }

  end(): void {
    if (this.#inHeapDump) this.#subRecords?.endRecord();
  }
}
