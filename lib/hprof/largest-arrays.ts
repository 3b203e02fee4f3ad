/** One array of the heap. */
export interface LargeArray {
  /** Its class's index in the tally, or -1 - element type of a primitive one. */
  readonly classCode: number;
  readonly elementCount: number;
  readonly valueBytes: number;
  readonly high: number;
  readonly low: number;
}

/** Keeps the arrays with most bytes; of equals those that came first. */
export class LargestArrays {
  readonly #maxCount: number;
  #kept: LargeArray[] = [];
  #leastBytes = -1;

  constructor(maxCount: number) {
    this.#maxCount = maxCount;
  }

  /** Asked before an array is described. */
  accepts(valueBytes: number): boolean {
    return valueBytes > this.#leastBytes;
  }

  add(array: LargeArray): void {
    this.#kept.push(array);
    if (this.#kept.length < this.#maxCount * 2) return;
    this.#kept = this.largest();
    this.#leastBytes = this.#kept.at(-1)?.valueBytes ?? -1;
  }

  /** Largest first. */
  largest(): LargeArray[] {
    return this.#kept
      .toSorted((one, other) => other.valueBytes - one.valueBytes)
      .slice(0, this.#maxCount);
  }
}
