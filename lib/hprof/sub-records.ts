/**
 * The sub-records of a heap dump (segment) record. Source: the "HPROF Agent" binary format, heapDumper.cpp of
 * OpenJDK 17 and 25.
 */
import { hex, invalidHprof, readU4, type IdentifierByteSize } from './records.ts';
import type { SubRecordVisitor, ValueVisitor } from './sub-record-visitor.ts';

export const primitiveTypes: Readonly<Record<number, { arrayName: string; bytes: number }>> = {
  4: { arrayName: '[Z', bytes: 1 },
  5: { arrayName: '[C', bytes: 2 },
  6: { arrayName: '[F', bytes: 4 },
  7: { arrayName: '[D', bytes: 8 },
  8: { arrayName: '[B', bytes: 1 },
  9: { arrayName: '[S', bytes: 2 },
  10: { arrayName: '[I', bytes: 4 },
  11: { arrayName: '[J', bytes: 8 },
};

/** Bytes of an element by type; 0 is no primitive type. */
const elementBytesByType = Uint8Array.from(
  { length: 256 },
  (_, type) => primitiveTypes[type]?.bytes ?? 0,
);

const tag = { classDump: 0x20, instance: 0x21, objectArray: 0x22, primitiveArray: 0x23 } as const;

/** Root sub-records: how many identifiers and u4 follow the tag. */
const roots: Readonly<Record<number, readonly [identifiers: number, u4s: number]>> = {
  0xff: [1, 0], // UNKNOWN
  0x01: [2, 0], // JNI_GLOBAL
  0x02: [1, 2], // JNI_LOCAL
  0x03: [1, 2], // JAVA_FRAME
  0x04: [1, 1], // NATIVE_STACK
  0x05: [1, 0], // STICKY_CLASS
  0x06: [1, 1], // THREAD_BLOCK
  0x07: [1, 0], // MONITOR_USED
  0x08: [1, 2], // THREAD_OBJ
};
const androidTags = new Set([0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x90, 0xc3, 0xfe]);
const acceptedTags = [...Object.keys(roots).map(Number), ...Object.values(tag)].map(hex).join(', ');

/** What the next bytes are: a sub-record's head, or one of the parts of a class dump. */
type Expectation = 'subRecord' | 'constants' | 'staticsCount' | 'statics' | 'fieldsCount';

/** The longest piece that must lie in one buffer: a class dump up to its number of constants. */
const maxPieceBytes = 96;

/**
 * Takes the bodies of heap dump records apart. They may come in pieces cut anywhere; what is carried from one to
 * the next is less than 96 bytes.
 */
export class SubRecordReader {
  readonly #visitor: SubRecordVisitor;
  readonly #values: ValueVisitor | undefined;
  readonly #idBytes: IdentifierByteSize;
  /** Bytes of a sub-record's head by tag; 0 is an unknown tag. */
  readonly #headBytes = new Uint8Array(256);
  readonly #carry = new Uint8Array(maxPieceBytes);
  #carryBytes = 0;
  #skipBytes = 0;
  #recordRemainingBytes = 0;
  #expects: Expectation = 'subRecord';
  #remainingCount = 0;

  constructor(identifierByteSize: IdentifierByteSize, visitor: SubRecordVisitor | ValueVisitor) {
    this.#visitor = visitor;
    this.#values = 'values' in visitor ? visitor : undefined;
    this.#idBytes = identifierByteSize;
    const id = identifierByteSize;
    for (const [root, [identifiers, u4s]] of Object.entries(roots)) {
      this.#headBytes[Number(root)] = 1 + identifiers * id + u4s * 4;
    }
    this.#headBytes[tag.classDump] = 1 + 7 * id + 4 + 4 + 2;
    this.#headBytes[tag.instance] = 1 + 2 * id + 8;
    this.#headBytes[tag.objectArray] = 1 + 2 * id + 8;
    this.#headBytes[tag.primitiveArray] = 1 + id + 9;
  }

  beginRecord(lengthBytes: number): void {
    this.#recordRemainingBytes = lengthBytes;
  }

  /** @throws CaptureError InvalidHprof: the record ended inside a sub-record. */
  endRecord(): void {
    if (this.#carryBytes > 0 || this.#expects !== 'subRecord') {
      throw invalidHprof('a heap dump record ends inside one of its sub-records');
    }
  }

  /** @throws CaptureError InvalidHprof: an unknown tag or type, or a sub-record longer than its record. */
  push(data: Uint8Array, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#skipBytes > 0) {
        const skipped = Math.min(this.#skipBytes, end - at);
        this.#values?.values(data, at, at + skipped);
        this.#skipBytes -= skipped;
        at += skipped;
      } else if (this.#carryBytes > 0) {
        at = this.#fillCarry(data, at, end);
      } else {
        at = this.#readObjects(data, at, end);
        if (at >= end) return;
        const wanted = this.#wantedBytes(data[at] ?? 0);
        if (end - at < wanted) {
          this.#carry.set(data.subarray(at, end));
          this.#carryBytes = end - at;
          return;
        }
        this.#read(data, at, wanted);
        at += wanted;
      }
    }
  }

  /** Whole instances and primitive arrays, by far the most of all sub-records, without a detour; stops at anything else. */
  #readObjects(data: Uint8Array, start: number, end: number): number {
    if (this.#expects !== 'subRecord') return start;
    const id = this.#idBytes;
    const visitor = this.#visitor;
    const values = this.#values;
    let at = start;
    for (;;) {
      const first = data[at];
      if (first === tag.instance) {
        const valuesAt = at + 1 + 2 * id + 8;
        if (valuesAt > end) break;
        const valueBytes = readU4(data, valuesAt - 4);
        if (valueBytes > end - valuesAt) break;
        const classHigh = id === 8 ? readU4(data, valuesAt - 12) : 0;
        visitor.instance(classHigh, readU4(data, valuesAt - 8), valueBytes, data, at);
        at = valuesAt + valueBytes;
        values?.values(data, valuesAt, at);
      } else if (first === tag.primitiveArray) {
        const valuesAt = at + 1 + id + 9;
        if (valuesAt > end) break;
        const type = data[valuesAt - 1] ?? 0;
        const elementBytes = elementBytesByType[type] ?? 0;
        const valueBytes = readU4(data, valuesAt - 5) * elementBytes;
        if (elementBytes === 0 || valueBytes > end - valuesAt) break;
        visitor.primitiveArray(type, valueBytes, data, at);
        at = valuesAt + valueBytes;
        values?.values(data, valuesAt, at);
      } else {
        break;
      }
    }
    this.#recordRemainingBytes -= at - start;
    return at;
  }

  #fillCarry(data: Uint8Array, start: number, end: number): number {
    const wanted = this.#wantedBytes(this.#carry[0] ?? 0);
    const taken = Math.min(wanted - this.#carryBytes, end - start);
    this.#carry.set(data.subarray(start, start + taken), this.#carryBytes);
    this.#carryBytes += taken;
    if (this.#carryBytes === wanted) {
      this.#carryBytes = 0;
      this.#read(this.#carry, 0, wanted);
    }
    return start + taken;
  }

  /** Bytes of the next piece, of which the first byte is given. */
  #wantedBytes(first: number): number {
    switch (this.#expects) {
      case 'subRecord': {
        const wanted = this.#headBytes[first] ?? 0;
        if (wanted === 0) throw unknownTag(first);
        return wanted;
      }
      case 'constants':
        return 3;
      case 'statics':
        return this.#idBytes + 1;
      case 'staticsCount':
      case 'fieldsCount':
        return 2;
    }
  }

  #read(data: Uint8Array, at: number, pieceBytes: number): void {
    switch (this.#expects) {
      case 'subRecord':
        this.#readSubRecord(data, at, pieceBytes);
        return;
      case 'constants':
        this.#takeClassValue(pieceBytes, data[at + 2] ?? 0, data, -1);
        this.#countDown('staticsCount');
        return;
      case 'staticsCount':
        this.#take(pieceBytes, 0);
        this.#startList(data, at, 'statics', 'fieldsCount');
        return;
      case 'statics':
        this.#takeClassValue(pieceBytes, data[at + this.#idBytes] ?? 0, data, at);
        this.#countDown('fieldsCount');
        return;
      case 'fieldsCount':
        this.#take(pieceBytes, readU2(data, at) * (this.#idBytes + 1));
        this.#values?.classFields(readU2(data, at));
        this.#expects = 'subRecord';
        return;
    }
  }

  #readSubRecord(data: Uint8Array, at: number, headBytes: number): void {
    const id = this.#idBytes;
    const high = id === 8 ? 4 : 0;
    const first = data[at];
    if (first === tag.instance) {
      const classAt = at + 1 + id + 4;
      const valueBytes = readU4(data, classAt + id);
      this.#take(headBytes, valueBytes);
      const low = readU4(data, classAt + high);
      this.#visitor.instance(highOf(data, classAt, high), low, valueBytes, data, at);
    } else if (first === tag.objectArray) {
      const valueBytes = readU4(data, at + 1 + id + 4) * id;
      const classAt = at + 1 + id + 8;
      this.#take(headBytes, valueBytes);
      this.#visitor.objectArray(
        highOf(data, classAt, high),
        readU4(data, classAt + high),
        valueBytes,
        data,
        at,
      );
    } else if (first === tag.primitiveArray) {
      const type = data[at + 1 + id + 8] ?? 0;
      const valueBytes = readU4(data, at + 1 + id + 4) * primitiveBytes(type);
      this.#take(headBytes, valueBytes);
      this.#visitor.primitiveArray(type, valueBytes, data, at);
    } else if (first === tag.classDump) {
      this.#take(headBytes, 0);
      const superAt = at + 1 + id + 4;
      this.#visitor.classDump(
        highOf(data, at + 1, high),
        readU4(data, at + 1 + high),
        highOf(data, superAt, high),
        readU4(data, superAt + high),
        data,
        at,
      );
      this.#startList(data, at + headBytes - 2, 'constants', 'staticsCount');
    } else {
      this.#take(headBytes, 0);
      this.#visitor.root(data, at);
    }
  }

  /** Accounts for a piece and the values behind it, which are skipped, or handed to the visitor if it wants them. */
  #take(pieceBytes: number, valueBytes: number): void {
    this.#recordRemainingBytes -= pieceBytes + valueBytes;
    if (this.#recordRemainingBytes < 0) {
      throw invalidHprof(
        `a sub-record runs ${-this.#recordRemainingBytes} bytes over the end of its heap dump record`,
      );
    }
    this.#skipBytes = valueBytes;
  }

  #startList(data: Uint8Array, at: number, list: Expectation, next: Expectation): void {
    this.#remainingCount = readU2(data, at);
    this.#expects = this.#remainingCount === 0 ? next : list;
  }

  #countDown(next: Expectation): void {
    this.#remainingCount -= 1;
    if (this.#remainingCount === 0) this.#expects = next;
  }

  #takeClassValue(pieceBytes: number, type: number, data: Uint8Array, nameAt: number): void {
    this.#take(pieceBytes, type === 2 ? this.#idBytes : primitiveBytes(type));
    this.#values?.classValue(type, data, nameAt);
  }
}

function primitiveBytes(type: number): number {
  const bytes = primitiveTypes[type]?.bytes;
  if (bytes === undefined)
    throw invalidHprof(`a value of type ${type}; accepted are 2 and 4 to 11`);
  return bytes;
}

function highOf(data: Uint8Array, at: number, highBytes: number): number {
  return highBytes === 0 ? 0 : readU4(data, at);
}

function readU2(data: Uint8Array, at: number): number {
  return ((data[at] ?? 0) << 8) | (data[at + 1] ?? 0);
}

function unknownTag(first: number): Error {
  return invalidHprof(
    androidTags.has(first)
      ? `the sub-record tag ${hex(first)} is from Android; such dumps are not read`
      : `a sub-record has the tag ${hex(first)}; accepted are ${acceptedTags}`,
  );
}
