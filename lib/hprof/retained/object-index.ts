import { NumberList } from '../number-list.ts';
import type { ObjectObserver } from '../survey-visitor.ts';

/** Upper halves of identifiers that are told apart: 4 GiB of addresses each. */
const maxRangeCount = 65_536;

/** Collects the identifiers of all objects while they stream by, 4 bytes each. */
export class ObjectIds implements ObjectObserver {
  readonly maxCount: number;
  readonly #lows = new NumberList();
  /** Objects from `starts[n]` on have the upper half `highs[n]`: addresses that follow each other share it. */
  readonly #highs = new NumberList();
  readonly #starts = new NumberList();
  #lastHigh = -1;
  #overflowed = false;

  constructor(maxCount: number) {
    this.maxCount = maxCount;
  }

  /** There were more objects than may be held; what is here is of no use then. */
  get overflowed(): boolean {
    return this.#overflowed;
  }

  object(high: number, low: number): void {
    if (this.#lows.length >= this.maxCount) {
      this.#overflowed = true;
      return;
    }
    if (high !== this.#lastHigh) {
      this.#highs.push(high);
      this.#starts.push(this.#lows.length);
      this.#lastHigh = high;
    }
    this.#lows.push(low);
  }

  /** The index of what was collected, which is let go; `undefined` when addresses are spread beyond its bounds. */
  toIndex(): ObjectIndex | undefined {
    const sizes = new Map<number, number>();
    for (let run = 0; run < this.#highs.length; run += 1) {
      const high = this.#highs.at(run);
      sizes.set(high, (sizes.get(high) ?? 0) + this.#endOf(run) - this.#starts.at(run));
      if (sizes.size > maxRangeCount) return undefined;
    }
    const next = new Map<number, number>();
    let total = 0;
    for (const high of [...sizes.keys()].sort((one, other) => one - other)) {
      next.set(high, total);
      total += sizes.get(high) ?? 0;
    }
    const offsets = new Map(next);
    const lows = new Uint32Array(total);
    for (let run = 0; run < this.#highs.length; run += 1) {
      const high = this.#highs.at(run);
      let to = next.get(high) ?? 0;
      for (let from = this.#starts.at(run); from < this.#endOf(run); from += 1) {
        lows[to] = this.#lows.at(from);
        to += 1;
      }
      next.set(high, to);
    }
    this.#lows.drain();
    return new ObjectIndex(lows, offsets);
  }

  #endOf(run: number): number {
    return run + 1 < this.#starts.length ? this.#starts.at(run + 1) : this.#lows.length;
  }
}

/** Objects whose identifiers share their upper half: a stretch of the index, and a directory into it. */
interface Range {
  readonly high: number;
  readonly start: number;
  readonly end: number;
  readonly least: number;
  readonly shift: number;
  /** By (low - least) >>> shift: where identifiers of at least that much begin. */
  readonly directory: Uint32Array;
}

/** Identifiers in a directory's entry, on average, if they are spread evenly. */
const entrySize = 8;

/** All objects by address: each has a number from 0 on, in the order of their addresses. 4.5 bytes an object. */
export class ObjectIndex {
  readonly #lows: Uint32Array;
  readonly #ranges: readonly Range[];
  readonly #rangeOf: ReadonlyMap<number, Range>;
  #last: Range | undefined;
  readonly count: number;
  /** Identifiers that more than one object had. */
  readonly repeatCount: number;

  /** @param lows grouped by upper half. @param offsets by upper half, ascending: where its group begins. */
  constructor(lows: Uint32Array, offsets: ReadonlyMap<number, number>) {
    const highs = [...offsets.keys()];
    const ranges: Range[] = [];
    let count = 0;
    for (const [number, high] of highs.entries()) {
      const start = offsets.get(high) ?? 0;
      const nextHigh = highs[number + 1];
      const end = nextHigh === undefined ? lows.length : (offsets.get(nextHigh) ?? 0);
      const sorted = lows.subarray(start, end).sort();
      const first = count;
      let before = -1;
      for (const low of sorted) {
        if (low === before) continue;
        lows[count] = low;
        count += 1;
        before = low;
      }
      ranges.push(rangeOf(lows, high, first, count));
    }
    this.repeatCount = lows.length - count;
    this.count = count;
    this.#lows = lows.subarray(0, count);
    this.#ranges = ranges;
    this.#rangeOf = new Map(ranges.map((range) => [range.high, range]));
  }

  /** The number of an object, -1 when there is none of that identifier. */
  find(high: number, low: number): number {
    let range = this.#last;
    if (range?.high !== high) {
      range = this.#rangeOf.get(high);
      if (!range) return -1;
      this.#last = range;
    }
    const entry = (low - range.least) >>> range.shift;
    if (low < range.least || entry >= range.directory.length - 1) return -1;
    let from = range.directory[entry] ?? 0;
    let to = range.directory[entry + 1] ?? 0;
    const lows = this.#lows;
    while (to - from > 4) {
      const middle = (from + to) >>> 1;
      if ((lows[middle] ?? 0) <= low) from = middle;
      else to = middle;
    }
    for (let at = from; at < to; at += 1) if (lows[at] === low) return at;
    return -1;
  }

  lowOf(object: number): number {
    return this.#lows[object] ?? 0;
  }

  highOf(object: number): number {
    return this.#ranges.find(({ end }) => object < end)?.high ?? 0;
  }

  /** Calls back for each two objects that follow each other in memory, with the distance of their addresses. */
  forEachGap(visit: (object: number, gapBytes: number) => void): void {
    for (const { start, end } of this.#ranges) {
      for (let at = start; at < end - 1; at += 1) {
        visit(at, (this.#lows[at + 1] ?? 0) - (this.#lows[at] ?? 0));
      }
    }
  }
}

function rangeOf(lows: Uint32Array, high: number, start: number, end: number): Range {
  const least = lows[start] ?? 0;
  const span = (lows[end - 1] ?? 0) - least;
  const wanted = Math.max(1, Math.floor((end - start) / entrySize));
  let shift = 0;
  while (shift < 31 && Math.floor(span / 2 ** shift) >= wanted) shift += 1;
  const directory = new Uint32Array(Math.floor(span / 2 ** shift) + 2);
  let entry = 0;
  for (let at = start; at < end; at += 1) {
    const mine = ((lows[at] ?? 0) - least) >>> shift;
    while (entry <= mine) {
      directory[entry] = at;
      entry += 1;
    }
  }
  directory.fill(end, entry);
  return { high, start, end, least, shift, directory };
}
