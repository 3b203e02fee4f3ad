import { NumberList } from './number-list.ts';

/** Contents told apart at most; later new ones are not counted, see `complete`. */
const maxContentCount = 2_000_000;
const maxHashedBytes = 4_096;

/** Arrays of equal elements. */
export interface EqualArrays {
  readonly elementType: number;
  readonly arrayCount: number;
  readonly valueBytes: number;
  /** The first one. */
  readonly high: number;
  readonly low: number;
}

/**
 * Counts arrays of byte and char by what is in them, most of which are the text of strings. Two are taken for equal when
 * type, length and two hashes of 32 bits are. Arrays over 4 KiB are not looked at.
 */
export class ContentTable {
  #mask = 0x3_ffff;
  /** Slot → index + 1. */
  #slots = new Uint32Array(this.#mask + 1);
  readonly #firstHashes = new NumberList();
  readonly #secondHashes = new NumberList();
  readonly #lengths = new NumberList();
  readonly #highs = new NumberList();
  readonly #lows = new NumberList();
  #counts = new Uint32Array(0x2_0000);
  complete = true;
  /** Of arrays that were looked at. */
  arrayCount = 0;
  valueBytes = 0;
  duplicateCount = 0;
  duplicateBytes = 0;

  accepts(valueBytes: number): boolean {
    return valueBytes > 0 && valueBytes <= maxHashedBytes;
  }

  add(
    elementType: number,
    data: Uint8Array,
    start: number,
    end: number,
    high: number,
    low: number,
  ): void {
    let first = elementType;
    let second = 0x811c_9dc5;
    let at = start;
    for (const lastWord = end - 4; at <= lastWord; at += 4) {
      const word =
        (data[at] ?? 0) |
        ((data[at + 1] ?? 0) << 8) |
        ((data[at + 2] ?? 0) << 16) |
        ((data[at + 3] ?? 0) << 24);
      first = Math.imul(first ^ word, 0x9e37_79b1);
      first ^= first >>> 15;
      second = Math.imul(second + word, 0x85eb_ca6b);
      second ^= second >>> 13;
    }
    for (; at < end; at += 1) {
      const byte = data[at] ?? 0;
      first = Math.imul(first, 31) + byte;
      second = Math.imul(second ^ byte, 0x0100_0193);
    }
    const bytes = end - start;
    this.arrayCount += 1;
    this.valueBytes += bytes;
    this.#count(mixed(first) >>> 0, second >>> 0, bytes * 2 + (elementType & 1), high, low);
  }

  /** The contents that waste most: those of which all arrays but one could go. */
  mostWasteful(maxCount: number): EqualArrays[] {
    const found: { index: number; wasted: number }[] = [];
    let least = 0;
    for (let index = 0; index < this.#firstHashes.length; index += 1) {
      const wasted = ((this.#counts[index] ?? 0) - 1) * (this.#lengths.at(index) >>> 1);
      if (wasted <= least) continue;
      found.push({ index, wasted });
      if (found.length < maxCount * 2) continue;
      found.sort((one, other) => other.wasted - one.wasted).length = maxCount;
      least = found.at(-1)?.wasted ?? 0;
    }
    found.sort((one, other) => other.wasted - one.wasted);
    return found.slice(0, maxCount).map(({ index }) => {
      const arrayCount = this.#counts[index] ?? 0;
      const length = this.#lengths.at(index);
      return {
        elementType: (length & 1) === 1 ? 5 : 8,
        arrayCount,
        valueBytes: arrayCount * (length >>> 1),
        high: this.#highs.at(index),
        low: this.#lows.at(index),
      };
    });
  }

  #count(first: number, second: number, length: number, high: number, low: number): void {
    let slot = first & this.#mask;
    for (;;) {
      const index = (this.#slots[slot] ?? 0) - 1;
      if (index === -1) break;
      if (
        this.#firstHashes.at(index) === first &&
        this.#secondHashes.at(index) === second &&
        this.#lengths.at(index) === length
      ) {
        this.#counts[index] = (this.#counts[index] ?? 0) + 1;
        this.duplicateCount += 1;
        this.duplicateBytes += length >>> 1;
        return;
      }
      slot = (slot + 1) & this.#mask;
    }
    const index = this.#firstHashes.length;
    if (index >= maxContentCount) {
      this.complete = false;
      return;
    }
    this.#firstHashes.push(first);
    this.#secondHashes.push(second);
    this.#lengths.push(length);
    this.#highs.push(high);
    this.#lows.push(low);
    if (index === this.#counts.length) this.#grow();
    else this.#slots[slot] = index + 1;
    this.#counts[index] = 1;
  }

  /** Keeps half of the slots free, and places all contents anew. */
  #grow(): void {
    const counts = new Uint32Array(this.#counts.length * 2);
    counts.set(this.#counts);
    this.#counts = counts;
    this.#mask = this.#mask * 2 + 1;
    this.#slots = new Uint32Array(this.#mask + 1);
    for (let index = 0; index < this.#firstHashes.length; index += 1) {
      let slot = this.#firstHashes.at(index) & this.#mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#mask;
      this.#slots[slot] = index + 1;
    }
  }
}

function mixed(hash: number): number {
  let bits = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2_ae35);
  return bits ^ (bits >>> 16);
}
