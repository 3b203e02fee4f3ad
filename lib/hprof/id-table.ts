/**
 * Maps object identifiers to small numbers 0, 1, 2, … in the order in which they were added. An identifier of
 * 8 bytes is kept as two halves of 32 bits: neither BigInt nor a string per look-up.
 */
export class IdTable {
  readonly #maxCount: number;
  #count = 0;
  #mask = 1_023;
  /** Slot → index + 1; 0 is free. */
  #slots = new Int32Array(1_024);
  #highs = new Uint32Array(512);
  #lows = new Uint32Array(512);

  /** @param maxCount bound of the table, up to 2^24. */
  constructor(maxCount: number) {
    this.#maxCount = maxCount;
  }

  get count(): number {
    return this.#count;
  }

  /** The index of the identifier, or -1. */
  indexOf(high: number, low: number): number {
    let slot = hash(high, low) & this.#mask;
    for (;;) {
      const index = (this.#slots[slot] ?? 0) - 1;
      if (index === -1 || (this.#lows[index] === low && this.#highs[index] === high)) return index;
      slot = (slot + 1) & this.#mask;
    }
  }

  /** The index of the identifier, added if it is new; -1 when it is new and the table is full. */
  add(high: number, low: number): number {
    const known = this.indexOf(high, low);
    if (known !== -1) return known;
    if (this.#count >= this.#maxCount) return -1;
    if (this.#count === this.#lows.length) this.#grow();
    const index = this.#count;
    this.#highs[index] = high;
    this.#lows[index] = low;
    this.#count += 1;
    this.#place(index);
    return index;
  }

  /** The identifier as the JVM prints one. */
  nameOf(index: number): string {
    return idText(this.#highs[index] ?? 0, this.#lows[index] ?? 0);
  }

  #place(index: number): void {
    let slot = hash(this.#highs[index] ?? 0, this.#lows[index] ?? 0) & this.#mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#mask;
    this.#slots[slot] = index + 1;
  }

  /** Keeps at least half of the slots free. */
  #grow(): void {
    const capacity = this.#lows.length * 2;
    this.#highs = grown(this.#highs, new Uint32Array(capacity));
    this.#lows = grown(this.#lows, new Uint32Array(capacity));
    this.#slots = new Int32Array(capacity * 2);
    this.#mask = capacity * 2 - 1;
    for (let index = 0; index < this.#count; index += 1) this.#place(index);
  }
}

/** An identifier as the JVM prints one. */
export function idText(high: number, low: number): string {
  const lowText = low.toString(16);
  return high === 0 ? `0x${lowText}` : `0x${high.toString(16)}${lowText.padStart(8, '0')}`;
}

/** Copies the values of a full array into a larger one. */
export function grown<T extends Uint32Array | Float64Array | Uint8Array>(full: T, larger: T): T {
  larger.set(full);
  return larger;
}

/** Identifiers are addresses: aligned, close together, so that all bits must be mixed. */
function hash(high: number, low: number): number {
  let bits = Math.imul(low ^ Math.imul(high, 0x9e37_79b1), 0x85eb_ca6b);
  bits ^= bits >>> 15;
  return Math.imul(bits, 0xc2b2_ae35) ^ (bits >>> 13);
}
