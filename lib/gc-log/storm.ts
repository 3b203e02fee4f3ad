import { isHeapPressure, type GcEvent } from './gc-event.ts';

/**
 * A storm: at least this many collections for want of heap …
 */
export const stormCollectionCount = 3;
/** … within this time … */
export const stormSeconds = 60;
/** … over no less than this: a heap that grows at the start collects a few times as well … */
export const stormShortestSeconds = 2;
/** … that took at least this share of the time from the first to the last … */
export const stormTimeShare = 0.3;
/** … or each left the heap fuller than this. */
export const stormHeapShare = 0.8;

export interface Storm {
  /** When the first of its collections began, on the axis of the events, and with a date where the log has one. */
  readonly startSeconds: number | undefined;
  readonly startEpochMilliseconds: number | undefined;
  /** Collections for want of heap in its worst minute. */
  readonly collectionCount: number;
  /** Share of that minute's time that they took, 0..1. */
  readonly timeShare: number;
}

interface PressureCollection {
  start: number;
  seconds: number;
  heapShare: number | undefined;
  epochMilliseconds: number | undefined;
  /** Seconds in which some thread had waited for memory, from the log's start to this collection. */
  stalledSeconds: number;
}

/** More in a minute add nothing to the judgement. */
const maxKept = 256;

/** Looks for storms event by event, over the last minute of the log's own time; without times it finds none. */
export class StormWatch {
  readonly #recent: PressureCollection[] = [];
  #stalledSeconds = 0;
  #stalledUntil = -Infinity;
  #storm: Storm | undefined;

  /** The worst minute of all storms that were seen, with the start of the first; `undefined` when there was none. */
  get storm(): Storm | undefined {
    return this.#storm;
  }

  /** @param capacityBytes what the heap may hold, as far as known by now. */
  add(event: GcEvent, capacityBytes: number | undefined): void {
    const { startSeconds: start, pauseSeconds: seconds = 0 } = event;
    if (start === undefined) return;
    if (event.kind === 'allocationStall') this.#stall(start, start + seconds);
    if (!isHeapPressure(event)) return;
    const after = event.heapAfterBytes;
    const known = after !== undefined && capacityBytes !== undefined && capacityBytes > 0;
    this.#recent.push({
      start,
      seconds,
      heapShare: known ? after / capacityBytes : undefined,
      epochMilliseconds: event.startEpochMilliseconds,
      stalledSeconds: this.#stalledSeconds,
    });
    this.#forget(start - stormSeconds);
    this.#judge();
  }

  /** Another life of the JVM: its collections are no storm together with those of the last one. */
  restart(): void {
    this.#recent.length = 0;
  }

  /** Threads wait side by side: time in which several do counts once. Stalls come in the order of their ends. */
  #stall(start: number, end: number): void {
    this.#stalledSeconds += Math.max(0, end - Math.max(start, this.#stalledUntil));
    this.#stalledUntil = Math.max(this.#stalledUntil, end);
  }

  #forget(before: number): void {
    while (this.#recent.length > maxKept || (this.#recent[0]?.start ?? before) < before) {
      this.#recent.shift();
    }
  }

  /** Looks back from the last collection: what was before the trouble, a heap that still filled, must not hide it. */
  #judge(): void {
    const last = this.#recent.at(-1);
    if (last === undefined) return;
    let spent = 0;
    let full = true;
    for (let count = 1; count <= this.#recent.length; count += 1) {
      const first = this.#recent.at(-count);
      if (first === undefined) return;
      spent += first.seconds;
      full &&= (first.heapShare ?? 0) >= stormHeapShare;
      const lasted = last.start + last.seconds - first.start;
      if (count < stormCollectionCount || lasted < stormShortestSeconds) continue;
      const stalled = last.stalledSeconds - first.stalledSeconds;
      const timeShare = Math.min(1, (spent + stalled) / lasted);
      if (timeShare >= stormTimeShare || full) this.#note(first, count, timeShare);
    }
  }

  #note(first: PressureCollection, collectionCount: number, timeShare: number): void {
    if (this.#storm !== undefined && this.#storm.collectionCount >= collectionCount) return;
    this.#storm = {
      startSeconds: this.#storm?.startSeconds ?? first.start,
      startEpochMilliseconds: this.#storm?.startEpochMilliseconds ?? first.epochMilliseconds,
      collectionCount,
      timeShare,
    };
  }
}
