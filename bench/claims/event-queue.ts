interface QueuedEvent {
  atMillis: number;
  order: number;
  run: () => void;
}

/** What is still to happen, by virtual time; of one moment, in the order in which it was asked for. */
export class EventQueue {
  nowMillis: number;
  readonly #events: QueuedEvent[] = [];
  #count = 0;

  constructor(startMillis: number) {
    this.nowMillis = startMillis;
  }

  at(atMillis: number, run: () => void): void {
    this.#count += 1;
    const event = { atMillis: Math.max(atMillis, this.nowMillis), order: this.#count, run };
    this.#events.push(event);
  }

  /** Runs the next one; `false` when there is none. */
  runNext(): boolean {
    let next: QueuedEvent | undefined;
    for (const one of this.#events) if (next === undefined || isSooner(one, next)) next = one;
    if (next === undefined) return false;
    // Their order in the list means nothing: the last one takes the free place.
    const last = this.#events.pop();
    if (last !== undefined && last !== next) this.#events[this.#events.indexOf(next)] = last;
    this.nowMillis = next.atMillis;
    next.run();
    return true;
  }
}

function isSooner(one: QueuedEvent, other: QueuedEvent): boolean {
  const millis = one.atMillis - other.atMillis;
  return millis < 0 || (millis === 0 && one.order < other.order);
}
