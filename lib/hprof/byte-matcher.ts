/**
 * Looks for a run of bytes in a stream that is cut anywhere: push chunks, then read `found`.
 * The needle's last bytes are carried from chunk to chunk, so a hit across a cut is one.
 */
export class ByteMatcher {
  readonly #needle: Buffer;
  #tail: Buffer = Buffer.alloc(0);
  #found = false;

  /** @param needle 1 byte or more; an empty one is found at once. */
  constructor(needle: Uint8Array) {
    this.#needle = Buffer.from(needle);
    this.#found = needle.length === 0;
  }

  get found(): boolean {
    return this.#found;
  }

  push(chunk: Uint8Array): void {
    if (this.#found) return;
    const data = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const overlap = this.#needle.length - 1;
    const seam = Buffer.concat([this.#tail, data.subarray(0, overlap)]);
    this.#found = seam.includes(this.#needle) || data.includes(this.#needle);
    const rest = data.length >= overlap ? data : seam;
    this.#tail = Buffer.from(overlap === 0 ? [] : rest.subarray(-overlap));
  }
}
