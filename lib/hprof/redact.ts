import { CaptureError, messageOf } from '../errors.ts';
import { ClassLayouts } from './class-layouts.ts';
import { HeapRecords } from './heap-records.ts';
import { RecordChain } from './record-chain.ts';
import type { IdentifierByteSize } from './records.ts';
import type { ValueVisitor } from './sub-record-visitor.ts';

/**
 * What is zeroed: the elements of primitive arrays (and so the text of every string in the heap), or of primitive
 * fields, static fields and constants as well. See docs/security.md for what neither protects.
 */
export type RedactMode = 'primitiveArrays' | 'allPrimitives';

export interface RedactorOptions {
  readonly mode: RedactMode;
  /** Given for a segment file of JDK ≥ 22, which has no file header: the size that the base's header says. */
  readonly segmentIdentifierByteSize?: IdentifierByteSize;
  /** Shared by the redactors of all files of one dump: classes may be described in another than their instances. */
  readonly layouts?: ClassLayouts;
}

/** What a redactor did so far. */
export interface RedactionAccount {
  readonly mode: RedactMode;
  readonly zeroedBytes: number;
  /** Instances whose values were zeroed whole, references too, since their class was not described before them. */
  readonly blankedInstanceCount: number;
}

/**
 * Zeroes primitive values of a heap dump in place while it streams by, in chunks of any size, cut anywhere.
 * Sizes, counts, names, classes and references stay, so that the record chain and everything that counts is the
 * same. State is bounded: what the class dumps say of fields, a few bytes a field.
 */
export class Redactor {
  readonly #eraser: PrimitiveEraser;
  readonly #chain: RecordChain;

  constructor(options: RedactorOptions) {
    const { mode, segmentIdentifierByteSize, layouts = new ClassLayouts() } = options;
    this.#eraser = new PrimitiveEraser(mode, layouts);
    const heapRecords = new HeapRecords(this.#eraser, (idBytes) => {
      this.#eraser.idBytes = idBytes;
    });
    if (segmentIdentifierByteSize !== undefined) heapRecords.idBytes = segmentIdentifierByteSize;
    this.#chain = new RecordChain({
      fileHeader: segmentIdentifierByteSize === undefined ? 'expected' : 'absent',
      visitor: heapRecords,
    });
  }

  get account(): RedactionAccount {
    const { mode, zeroedBytes, blankedInstanceCount } = this.#eraser;
    return { mode, zeroedBytes, blankedInstanceCount };
  }

  /**
   * @throws CaptureError RedactionFailed: bytes that cannot be told apart (a broken chain, an unknown sub-record, one
   *   that is longer than its record), and again at every later call. The chunk must then not be kept.
   */
  push(chunk: Uint8Array): void {
    try {
      this.#chain.push(chunk);
    } catch (error) {
      throw new CaptureError(
        'RedactionFailed',
        `the dump cannot be redacted, and is not stored from here on: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }
}

/** What becomes of the values that come next. */
const keep = 0;
const zero = 1;
const zeroPrimitives = 2;
const learnFields = 3;

/** Below it a loop is faster than TypedArray.fill (docs/decisions/jvm-hprof.md). */
const minFillBytes = 48;

class PrimitiveEraser implements ValueVisitor {
  readonly mode: RedactMode;
  zeroedBytes = 0;
  blankedInstanceCount = 0;
  idBytes: IdentifierByteSize = 8;
  readonly #all: boolean;
  readonly #layouts: ClassLayouts;
  #treatment = keep;
  /** Of the values that were announced, how many bytes have come. */
  #offset = 0;
  /** The class of the instance whose values come; -1 is none. */
  #instanceClass = -1;
  /** The class that is described: identifier and superclass in halves, its fields' types so far. */
  #describedClass: readonly [number, number, number, number] = [0, 0, 0, 0];
  readonly #fieldTypes = new Uint8Array(65_535);
  #fieldCount = 0;
  #knownFieldCount = 0;

  constructor(mode: RedactMode, layouts: ClassLayouts) {
    this.mode = mode;
    this.#all = mode === 'allPrimitives';
    this.#layouts = layouts;
  }

  root(): void {
    this.#treatment = keep;
  }

  objectArray(): void {
    this.#treatment = keep;
  }

  primitiveArray(): void {
    this.#treatment = zero;
  }

  instance(classHigh: number, classLow: number, valueBytes: number): void {
    if (!this.#all) {
      this.#treatment = keep;
      return;
    }
    this.#offset = 0;
    this.#instanceClass = this.#layouts.find(classHigh, classLow, valueBytes, this.idBytes);
    this.#treatment = this.#instanceClass === -1 ? zero : zeroPrimitives;
    if (this.#instanceClass === -1) this.blankedInstanceCount += 1;
  }

  classDump(classHigh: number, classLow: number, superHigh: number, superLow: number): void {
    this.#treatment = keep;
    if (this.#all) this.#describedClass = [classHigh, classLow, superHigh, superLow];
  }

  classValue(type: number): void {
    this.#treatment = this.#all && type !== 2 ? zero : keep;
  }

  classFields(fieldCount: number): void {
    this.#treatment = this.#all ? learnFields : keep;
    this.#offset = 0;
    this.#fieldCount = fieldCount;
    this.#knownFieldCount = 0;
    if (this.#all && fieldCount === 0) this.#describe();
  }

  values(data: Uint8Array, start: number, end: number): void {
    switch (this.#treatment) {
      case zero:
        this.zeroedBytes += end - start;
        if (end - start >= minFillBytes) data.fill(0, start, end);
        else for (let at = start; at < end; at += 1) data[at] = 0;
        return;
      case zeroPrimitives:
        this.zeroedBytes += this.#layouts.zeroPrimitives(
          this.#instanceClass,
          data,
          start,
          end,
          this.#offset,
        );
        this.#offset += end - start;
        return;
      case learnFields:
        this.#learnFields(data, start, end);
        return;
      default:
        return;
    }
  }

  /** Each descriptor is an identifier, the field's name, and its type in one byte. */
  #learnFields(data: Uint8Array, start: number, end: number): void {
    const stride = this.idBytes + 1;
    const first = start + stride - 1 - (this.#offset % stride);
    for (let at = first; at < end; at += stride) {
      this.#fieldTypes[this.#knownFieldCount] = data[at] ?? 0;
      this.#knownFieldCount += 1;
    }
    this.#offset += end - start;
    if (this.#knownFieldCount === this.#fieldCount) this.#describe();
  }

  #describe(): void {
    this.#layouts.describe(
      ...this.#describedClass,
      this.#fieldTypes.subarray(0, this.#knownFieldCount),
    );
  }
}
