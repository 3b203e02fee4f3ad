/** Where a line is within a buffer: `end` is exclusive, without line feed and carriage return. */
export type OnLine = (bytes: Buffer, start: number, end: number) => void;

/** Longer lines are cut: no line of a GC log comes near it, and a file without line feeds must not fill the memory. */
export const maxLineBytes = 64 * 1024;

const lineFeed = 10;
const carriageReturn = 13;

/**
 * Cuts a stream of bytes into lines, without copying those that lie within one chunk. A line over `maxLineBytes` is
 * given cut to that length and counted; the rest of it is passed over.
 */
export class LineSplitter {
  readonly #onLine: OnLine;
  #carry = Buffer.alloc(0);
  #skipping = false;
  #cutLineCount = 0;

  constructor(onLine: OnLine) {
    this.#onLine = onLine;
  }

  /** Lines that were longer than `maxLineBytes`. */
  get cutLineCount(): number {
    return this.#cutLineCount;
  }

  push(chunk: Buffer): void {
    let start = 0;
    while (start < chunk.length) {
      const end = chunk.indexOf(lineFeed, start);
      if (end < 0) break;
      this.#line(chunk, start, end);
      start = end + 1;
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
  }

  /** The input ends, and with it a last line that has no line feed. */
  end(): void {
    if (this.#carry.length > 0) this.#emit(this.#carry, 0, this.#carry.length);
    this.#carry = Buffer.alloc(0);
    this.#skipping = false;
  }

  #line(chunk: Buffer, start: number, end: number): void {
    if (this.#skipping) {
      this.#skipping = false;
      return;
    }
    if (this.#carry.length === 0) {
      this.#emit(chunk, start, end);
      return;
    }
    const whole = Buffer.concat([this.#carry, chunk.subarray(start, end)]);
    this.#carry = Buffer.alloc(0);
    this.#emit(whole, 0, whole.length);
  }

  #keep(rest: Buffer): void {
    if (this.#skipping) return;
    // A copy: the caller may use its buffer again.
    this.#carry = Buffer.concat([this.#carry, rest]);
    if (this.#carry.length <= maxLineBytes) return;
    this.#emit(this.#carry, 0, this.#carry.length);
    this.#carry = Buffer.alloc(0);
    this.#skipping = true;
  }

  #emit(bytes: Buffer, start: number, end: number): void {
    let last = end;
    if (last > start && bytes[last - 1] === carriageReturn) last -= 1;
    if (last - start > maxLineBytes) {
      this.#cutLineCount += 1;
      last = start + maxLineBytes;
    }
    this.#onLine(bytes, start, last);
  }
}
