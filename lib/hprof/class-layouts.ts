import { grown, IdTable } from './id-table.ts';
import { primitiveTypes } from './sub-records.ts';
import type { IdentifierByteSize } from './records.ts';

/** More than any JVM has. Beyond these bounds, or a chain that deep, a layout counts as unknown. */
const maxClassCount = 1_000_000;
const maxFieldCount = 16_000_000;
const maxRunCount = 4_000_000;
const maxClassDepth = 1_000;

const referenceType = 2;

/**
 * Where the primitive fields lie in the values of an instance, learned from class dumps: first the fields of its own
 * class, then those of each superclass. One of these may serve several streams of one dump.
 * Source: dump_instance_fields and FieldStream in heapDumper.cpp of OpenJDK 17 and 25.
 */
export class ClassLayouts {
  readonly #ids = new IdTable(maxClassCount);
  /** By class, once it is described: index of the superclass + 1, or 0; its own fields' types. */
  #supers = new Uint32Array(1_024);
  #fieldStarts = new Uint32Array(1_024);
  #fieldEnds = new Uint32Array(1_024);
  #described = new Uint8Array(1_024);
  /** By class, once it was asked for: where its runs are, and how many bytes its instances have. */
  #runStarts = new Uint32Array(1_024);
  #runEnds = new Uint32Array(1_024);
  #valueBytes = new Float64Array(1_024);
  /** How many classes were described when the layout was found to be unknown; only another one can change that. */
  #unknownAt = new Uint32Array(1_024);
  #describedCount = 0;
  #types = new Uint8Array(4_096);
  #typeCount = 0;
  /** Pairs of start and end, as offsets in the values. */
  #runs = new Uint32Array(4_096);
  #runCount = 0;

  /**
   * Adds a class with the types of its own fields, in the order of the class dump. A second description of a class is
   * ignored, and one for which there is no room.
   * @param superHigh, superLow 0 when it has no superclass.
   */
  describe(
    classHigh: number,
    classLow: number,
    superHigh: number,
    superLow: number,
    types: Uint8Array,
  ): void {
    const index = this.#indexOf(classHigh, classLow);
    const hasSuper = superHigh !== 0 || superLow !== 0;
    const superIndex = hasSuper ? this.#indexOf(superHigh, superLow) : -1;
    const end = this.#typeCount + types.length;
    const noRoom = index === -1 || (hasSuper && superIndex === -1) || end > maxFieldCount;
    if (noRoom || this.#described[index] === 1) return;
    if (end > this.#types.length) {
      this.#types = grown(this.#types, new Uint8Array(Math.max(end, this.#types.length * 2)));
    }
    this.#types.set(types, this.#typeCount);
    this.#supers[index] = superIndex + 1;
    this.#fieldStarts[index] = this.#typeCount;
    this.#fieldEnds[index] = end;
    this.#typeCount = end;
    this.#described[index] = 1;
    this.#describedCount += 1;
  }

  /**
   * The index of a class whose instances have that many bytes, for zeroPrimitives; -1 when the layout is not known
   * (yet), or says another size.
   */
  find(
    classHigh: number,
    classLow: number,
    valueBytes: number,
    identifierByteSize: IdentifierByteSize,
  ): number {
    const index = this.#ids.indexOf(classHigh, classLow);
    if (index === -1) return -1;
    const known = this.#runEnds[index] !== 0 || this.#resolve(index, identifierByteSize);
    return known && this.#valueBytes[index] === valueBytes ? index : -1;
  }

  /**
   * Zeroes the primitive fields in a piece of an instance's values.
   * @param offset of the piece in the values.
   * @returns how many bytes.
   */
  zeroPrimitives(
    index: number,
    data: Uint8Array,
    start: number,
    end: number,
    offset: number,
  ): number {
    const runs = this.#runs;
    const last = this.#runEnds[index] ?? 0;
    const shift = start - offset;
    let zeroedBytes = 0;
    for (let run = this.#runStarts[index] ?? 0; run < last; run += 2) {
      const from = Math.max(start, (runs[run] ?? 0) + shift);
      const to = Math.min(end, (runs[run + 1] ?? 0) + shift);
      for (let at = from; at < to; at += 1) data[at] = 0;
      if (to > from) zeroedBytes += to - from;
    }
    return zeroedBytes;
  }

  #resolve(index: number, idBytes: IdentifierByteSize): boolean {
    if (this.#unknownAt[index] === this.#describedCount + 1) return false;
    const firstRun = this.#runCount;
    let valueBytes = 0;
    let depth = 0;
    for (let next = index + 1; next !== 0; next = this.#supers[next - 1] ?? 0) {
      depth += 1;
      const tooMuch = depth > maxClassDepth || this.#runCount >= maxRunCount;
      if (tooMuch || this.#described[next - 1] !== 1) {
        this.#runCount = firstRun;
        this.#unknownAt[index] = this.#describedCount + 1;
        return false;
      }
      valueBytes = this.#addRuns(next - 1, firstRun, valueBytes, idBytes);
    }
    // An empty run, so that a class without any is told from one that was not asked for.
    if (this.#runCount === 0) this.#addRun(0, 0);
    this.#runStarts[index] = firstRun;
    this.#runEnds[index] = this.#runCount;
    this.#valueBytes[index] = valueBytes;
    return true;
  }

  /** Adjacent primitive fields are one run. */
  #addRuns(
    index: number,
    firstRun: number,
    startBytes: number,
    idBytes: IdentifierByteSize,
  ): number {
    let at = startBytes;
    const end = this.#fieldEnds[index] ?? 0;
    for (let field = this.#fieldStarts[index] ?? 0; field < end; field += 1) {
      const type = this.#types[field] ?? 0;
      const bytes = type === referenceType ? idBytes : (primitiveTypes[type]?.bytes ?? 0);
      if (type !== referenceType) {
        const adjacent = this.#runCount > firstRun && this.#runs[this.#runCount - 1] === at;
        if (adjacent) this.#runs[this.#runCount - 1] = at + bytes;
        else this.#addRun(at, at + bytes);
      }
      at += bytes;
    }
    return at;
  }

  #addRun(start: number, end: number): void {
    if (this.#runCount + 2 > this.#runs.length) {
      this.#runs = grown(this.#runs, new Uint32Array(this.#runs.length * 2));
    }
    this.#runs[this.#runCount] = start;
    this.#runs[this.#runCount + 1] = end;
    this.#runCount += 2;
  }

  #indexOf(high: number, low: number): number {
    const index = this.#ids.add(high, low);
    if (index >= this.#supers.length) {
      const capacity = this.#supers.length * 2;
      this.#supers = grown(this.#supers, new Uint32Array(capacity));
      this.#fieldStarts = grown(this.#fieldStarts, new Uint32Array(capacity));
      this.#fieldEnds = grown(this.#fieldEnds, new Uint32Array(capacity));
      this.#described = grown(this.#described, new Uint8Array(capacity));
      this.#runStarts = grown(this.#runStarts, new Uint32Array(capacity));
      this.#runEnds = grown(this.#runEnds, new Uint32Array(capacity));
      this.#valueBytes = grown(this.#valueBytes, new Float64Array(capacity));
      this.#unknownAt = grown(this.#unknownAt, new Uint32Array(capacity));
    }
    return index;
  }
}
