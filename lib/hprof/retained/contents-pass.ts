import { HeapRecords } from '../heap-records.ts';
import { IdTable } from '../id-table.ts';
import { RecordChain } from '../record-chain.ts';
import { readU4, type IdentifierByteSize } from '../records.ts';
import type { ValueVisitor } from '../sub-record-visitor.ts';

/** More objects are not looked up in one pass. */
export const maxWantedCount = 100_000;
const maxKeptBytes = 64 * 1024;

/** An object of which the values are wanted. */
export interface Wanted {
  readonly high: number;
  readonly low: number;
  /** Bytes of its values to keep, from their begin; at most 64 KiB. */
  readonly keptBytes: number;
  /** Of an array of references: the element that refers to this is wanted. */
  readonly element?: { readonly high: number; readonly low: number };
}

/** What was found of a wanted object. */
export interface Found {
  readonly bytes: Uint8Array;
  /** The first element that refers to what was wanted. */
  readonly elementIndex?: number;
}

/** A pass over a dump that looks at a few objects: values come in the order of the file, wherever an object lies. */
export class ContentsPass {
  readonly #chain: RecordChain;
  readonly #collector: ContentsCollector;

  /** @param wanted beyond the bound, the first ones count. */
  constructor(wanted: readonly Wanted[]) {
    this.#collector = new ContentsCollector(wanted.slice(0, maxWantedCount));
    const records = new HeapRecords(this.#collector, (idBytes) => {
      this.#collector.idBytes = idBytes;
    });
    this.#chain = new RecordChain({ visitor: records });
  }

  push(chunk: Uint8Array): void {
    this.#chain.push(chunk);
  }

  /** `undefined` of an object that was not wanted or not there. */
  find(high: number, low: number): Found | undefined {
    return this.#collector.find(high, low);
  }
}

class ContentsCollector implements ValueVisitor {
  readonly #ids = new IdTable(maxWantedCount);
  readonly #wanted: Wanted[] = [];
  readonly #found: { bytes: Uint8Array; elementIndex?: number }[] = [];
  idBytes: IdentifierByteSize = 8;
  #current = -1;
  #isReferences = false;
  #keptBytes = 0;
  #seenBytes = 0;
  readonly #element = new Uint8Array(8);

  constructor(wanted: readonly Wanted[]) {
    for (const want of wanted) {
      const index = this.#ids.add(want.high, want.low);
      if (index !== -1) this.#wanted[index] ??= want;
    }
  }

  find(high: number, low: number): Found | undefined {
    return this.#found[this.#ids.indexOf(high, low)];
  }

  root(): void {
    this.#current = -1;
  }

  classDump(): void {
    this.#current = -1;
  }

  classValue(): void {
    this.#current = -1;
  }

  classFields(): void {
    this.#current = -1;
  }

  instance(_high: number, _low: number, valueBytes: number, data: Uint8Array, at: number): void {
    this.#begin(data, at, valueBytes, false);
  }

  objectArray(_high: number, _low: number, valueBytes: number, data: Uint8Array, at: number): void {
    this.#begin(data, at, valueBytes, true);
  }

  primitiveArray(_type: number, valueBytes: number, data: Uint8Array, at: number): void {
    this.#begin(data, at, valueBytes, false);
  }

  values(data: Uint8Array, start: number, end: number): void {
    if (this.#current === -1) return;
    const found = this.#found[this.#current];
    if (!found) return;
    if (this.#keptBytes < found.bytes.length) {
      const taken = Math.min(end - start, found.bytes.length - this.#keptBytes);
      found.bytes.set(data.subarray(start, start + taken), this.#keptBytes);
      this.#keptBytes += taken;
    }
    const element = this.#wanted[this.#current]?.element;
    if (this.#isReferences && element && found.elementIndex === undefined) {
      this.#lookFor(element, data, start, end);
    }
  }

  #lookFor(
    element: { high: number; low: number },
    data: Uint8Array,
    start: number,
    end: number,
  ): void {
    const id = this.idBytes;
    for (let at = start; at < end; at += 1) {
      const offset = this.#seenBytes % id;
      this.#element[offset] = data[at] ?? 0;
      this.#seenBytes += 1;
      if (offset !== id - 1) continue;
      const low = readU4(this.#element, id - 4);
      const high = id === 8 ? readU4(this.#element, 0) : 0;
      if (low !== element.low || high !== element.high) continue;
      const found = this.#found[this.#current];
      if (found) found.elementIndex = this.#seenBytes / id - 1;
      return;
    }
  }

  #begin(data: Uint8Array, at: number, valueBytes: number, isReferences: boolean): void {
    const high = this.idBytes === 8 ? readU4(data, at + 1) : 0;
    const index = this.#ids.indexOf(high, readU4(data, at + this.idBytes - 3));
    const want = this.#wanted[index];
    this.#current = -1;
    if (index === -1 || !want || this.#found[index]) return;
    this.#current = index;
    this.#isReferences = isReferences;
    this.#keptBytes = 0;
    this.#seenBytes = 0;
    const bytes = Math.min(valueBytes, want.keptBytes, maxKeptBytes);
    this.#found[index] = { bytes: new Uint8Array(bytes) };
  }
}
