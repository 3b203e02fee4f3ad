import { grown, IdTable } from './id-table.ts';

/** A JVM's names have at most 65,535 bytes; longer text is no name. */
const maxNameBytes = 65_535;

/**
 * The texts of UTF8 records by identifier, in one buffer. What a class is called comes after all texts, so all
 * must be kept until then, within a bound: what comes after it is left out and `complete` is false.
 */
export class NameTable {
  readonly #ids: IdTable;
  readonly #maxBytes: number;
  #text = new Uint8Array(65_536);
  #usedBytes = 0;
  /** End of each text; it starts at the end of the one before. */
  #ends = new Float64Array(1_024);
  #complete = true;

  constructor(options: { maxCount: number; maxBytes: number }) {
    this.#ids = new IdTable(options.maxCount);
    this.#maxBytes = options.maxBytes;
  }

  /** Whether every name was kept. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Whether a text of that length is to be kept; asked before its bytes are gathered. */
  accepts(textBytes: number): boolean {
    if (textBytes > maxNameBytes) return false;
    if (this.#usedBytes + textBytes <= this.#maxBytes) return true;
    this.#complete = false;
    return false;
  }

  /** Keeps a text that `accepts` has let in. A second text of the same identifier is ignored. */
  add(idHigh: number, idLow: number, text: Uint8Array): void {
    const before = this.#ids.count;
    const index = this.#ids.add(idHigh, idLow);
    if (index === -1) this.#complete = false;
    if (index !== before) return;
    const end = this.#usedBytes + text.length;
    if (end > this.#text.length) {
      this.#text = grown(this.#text, new Uint8Array(Math.max(end, this.#text.length * 2)));
    }
    if (index === this.#ends.length) this.#ends = grown(this.#ends, new Float64Array(index * 2));
    this.#text.set(text, this.#usedBytes);
    this.#usedBytes = end;
    this.#ends[index] = end;
  }

  /** The text, or `undefined` when it is not known. */
  textOf(idHigh: number, idLow: number): string | undefined {
    const index = this.#ids.indexOf(idHigh, idLow);
    if (index === -1) return undefined;
    const start = index === 0 ? 0 : (this.#ends[index - 1] ?? 0);
    return new TextDecoder().decode(this.#text.subarray(start, this.#ends[index]));
  }
}
