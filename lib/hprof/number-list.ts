const chunkBits = 18;
const chunkLength = 1 << chunkBits;
const chunkMask = chunkLength - 1;

/** A list of 32-bit numbers that grows without copying what it has: 4 bytes a number, off the JavaScript heap. */
export class NumberList {
  readonly #chunks: Uint32Array[] = [];
  #chunk = new Uint32Array(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    const at = this.#length & chunkMask;
    if (at === 0) {
      this.#chunk = new Uint32Array(chunkLength);
      this.#chunks.push(this.#chunk);
    }
    this.#chunk[at] = value;
    this.#length += 1;
  }

  /** The number at an index; 0 outside. */
  at(index: number): number {
    return this.#chunks[Math.floor(index / chunkLength)]?.[index & chunkMask] ?? 0;
  }

  /** Copies all into one array, and lets go of each piece as soon as it is copied. The list is empty then. */
  drain(): Uint32Array {
    const all = new Uint32Array(this.#length);
    for (let chunk = 0; chunk < this.#chunks.length; chunk += 1) {
      const start = chunk * chunkLength;
      const piece = this.#chunks[chunk];
      if (piece) all.set(piece.subarray(0, Math.min(chunkLength, this.#length - start)), start);
      this.#chunks[chunk] = new Uint32Array(0);
    }
    this.#chunks.length = 0;
    this.#length = 0;
    return all;
  }
}
