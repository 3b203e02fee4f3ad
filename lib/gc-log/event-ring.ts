import { gcEventKinds, type GcEvent } from './gc-event.ts';

/** Causes are a few words of HotSpot; a log that has more is made up, and the rest of them become one. */
const maxCauseCount = 256;
const otherCause = 'other';

/** Numbers of an event, one column each; an absent one is NaN here, and only here. */
const columns = [
  'pauseSeconds',
  'heapBeforeBytes',
  'heapAfterBytes',
  'heapCapacityBytes',
  'startSeconds',
  'startEpochMilliseconds',
] as const;

export interface KeptEvent {
  readonly event: GcEvent;
  /** Restarts of the JVM that the log had told before it. */
  readonly restartCount: number;
}

/**
 * Keeps the last events, in columns of numbers: a few megabytes whatever the log holds, where objects would leave hundreds
 * to the garbage collector.
 */
export class EventRing {
  readonly #capacity: number;
  readonly #numbers: readonly Float64Array[];
  readonly #kinds: Uint8Array;
  readonly #causes: Uint16Array;
  readonly #failed: Uint8Array;
  readonly #restartCounts: Float64Array;
  /** Index 0 is an event without a cause. */
  readonly #causeNames: (string | undefined)[] = [undefined];
  readonly #causeIndexes = new Map<string, number>();
  #addedCount = 0;
  #lastDropped: KeptEvent | undefined;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#numbers = columns.map(() => new Float64Array(capacity));
    this.#kinds = new Uint8Array(capacity);
    this.#causes = new Uint16Array(capacity);
    this.#failed = new Uint8Array(capacity);
    this.#restartCounts = new Float64Array(capacity);
  }

  /** Events that were pushed out by later ones. */
  get droppedCount(): number {
    return Math.max(0, this.#addedCount - this.#capacity);
  }

  /** The youngest of them. */
  get lastDropped(): KeptEvent | undefined {
    return this.#lastDropped;
  }

  add({ event, restartCount }: KeptEvent): void {
    const at = this.#addedCount % this.#capacity;
    if (this.#addedCount >= this.#capacity) this.#lastDropped = this.#at(at);
    this.#addedCount += 1;
    for (const [index, name] of columns.entries()) {
      const column = this.#numbers[index];
      if (column !== undefined) column[at] = event[name] ?? Number.NaN;
    }
    this.#kinds[at] = gcEventKinds.indexOf(event.kind);
    this.#causes[at] = this.#causeIndex(event.cause);
    this.#failed[at] = event.evacuationFailed ? 1 : 0;
    this.#restartCounts[at] = restartCount;
  }

  /** The kept events, the oldest first. */
  *[Symbol.iterator](): Generator<KeptEvent> {
    for (let index = this.droppedCount; index < this.#addedCount; index += 1) {
      yield this.#at(index % this.#capacity);
    }
  }

  #at(at: number): KeptEvent {
    const number = (index: number): number | undefined => {
      const value = this.#numbers[index]?.[at] ?? Number.NaN;
      return Number.isNaN(value) ? undefined : value;
    };
    const event: GcEvent = {
      kind: gcEventKinds[this.#kinds[at] ?? 0] ?? 'phase',
      cause: this.#causeNames[this.#causes[at] ?? 0],
      pauseSeconds: number(0),
      heapBeforeBytes: number(1),
      heapAfterBytes: number(2),
      heapCapacityBytes: number(3),
      startSeconds: number(4),
      startEpochMilliseconds: number(5),
      evacuationFailed: this.#failed[at] === 1,
    };
    return { event, restartCount: this.#restartCounts[at] ?? 0 };
  }

  #causeIndex(cause: string | undefined): number {
    if (cause === undefined) return 0;
    const name = this.#causeNames.length < maxCauseCount ? cause : otherCause;
    const known = this.#causeIndexes.get(cause) ?? this.#causeIndexes.get(name);
    if (known !== undefined) return known;
    const index = this.#causeNames.push(name) - 1;
    this.#causeIndexes.set(name, index);
    return index;
  }
}
