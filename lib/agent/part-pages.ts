import { noteGarbage } from './garbage.ts';

const pageBytes = 256 * 1024;

/** Memory of a dump's parts, in pages that are used again: as many as were ever in use at once. */
export class PagePool {
  readonly #free: Uint8Array[] = [];

  take(): Uint8Array {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(pageBytes);
  }

  giveBack(pages: readonly Uint8Array[]): void {
    this.#free.push(...pages);
  }
}

/** The bytes of one part. Frames are copied: the compressor's buffers cannot be used again, and die young this way. */
export class PartPages {
  readonly #pool: PagePool;
  readonly #pages: Uint8Array[] = [];
  /** Of the last page. */
  #freeBytes = 0;
  readonly #tail: Uint8Array[] = [];
  #bytes = 0;

  constructor(pool: PagePool) {
    this.#pool = pool;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Call before any refer(). */
  copy(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      if (this.#freeBytes === 0) {
        this.#pages.push(this.#pool.take());
        this.#freeBytes = pageBytes;
      }
      const piece = bytes.subarray(at, at + this.#freeBytes);
      this.#pages.at(-1)?.set(piece, pageBytes - this.#freeBytes);
      this.#freeBytes -= piece.length;
      at += piece.length;
    }
    this.#bytes += bytes.length;
    noteGarbage(bytes.length);
  }

  /** Drops what was copied last, down to so many bytes. Call before any refer(). */
  truncate(bytes: number): void {
    const pageCount = Math.ceil(bytes / pageBytes);
    this.#pool.giveBack(this.#pages.splice(pageCount));
    this.#freeBytes = pageCount * pageBytes - bytes;
    this.#bytes = bytes;
  }

  /** Puts bytes at the end that nobody changes, and that need no page. */
  refer(bytes: Uint8Array): void {
    this.#tail.push(bytes);
    this.#bytes += bytes.length;
  }

  /** The part's bytes in order; valid until release(). */
  get chunks(): readonly Uint8Array[] {
    const last = this.#pages.at(-1)?.subarray(0, pageBytes - this.#freeBytes);
    return [...this.#pages.slice(0, -1), ...(last ? [last] : []), ...this.#tail];
  }

  /** Gives the pages back. Call when nothing reads the chunks any more. */
  release(): void {
    this.#pool.giveBack(this.#pages.splice(0));
    this.#freeBytes = 0;
  }
}
