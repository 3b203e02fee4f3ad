import type { Time } from './time.ts';

export const maxPendingEventCount = 1_000;
export const pendingEventSeconds = 2;

interface Pending<Item> {
  key: string;
  item: Item;
  deadlineMilliseconds: number;
}

/**
 * Events that came before their pod: two watches have no order between them. Each waits at most 2 s for the pod,
 * and at most 1,000 wait; whoever waited in vain, or had to make room, is handed to `onGivenUp`.
 */
export class PendingEvents<Item> {
  readonly #time: Time;
  readonly #signal: AbortSignal;
  readonly #onGivenUp: (item: Item) => void;
  /** In the order of their deadlines. */
  #pending: Pending<Item>[] = [];
  #expiring = false;

  constructor(options: { time: Time; signal: AbortSignal; onGivenUp: (item: Item) => void }) {
    this.#time = options.time;
    this.#signal = options.signal;
    this.#onGivenUp = options.onGivenUp;
  }

  hold(key: string, item: Item): void {
    const deadlineMilliseconds = this.#time.now().getTime() + pendingEventSeconds * 1000;
    this.#pending.push({ key, item, deadlineMilliseconds });
    if (this.#pending.length > maxPendingEventCount) {
      const oldest = this.#pending.shift();
      if (oldest !== undefined) this.#onGivenUp(oldest.item);
    }
    if (!this.#expiring) void this.#expire();
  }

  /** Hands out what waited for this key, oldest first. */
  release(key: string): readonly Item[] {
    if (this.#pending.length === 0) return [];
    const released = this.#pending.filter((pending) => pending.key === key);
    if (released.length > 0) {
      this.#pending = this.#pending.filter((pending) => pending.key !== key);
    }
    return released.map((pending) => pending.item);
  }

  async #expire(): Promise<void> {
    this.#expiring = true;
    for (;;) {
      const [oldest] = this.#pending;
      if (oldest === undefined || this.#signal.aborted) break;
      const wait = oldest.deadlineMilliseconds - this.#time.now().getTime();
      if (wait > 0) {
        await this.#time.sleep(wait, this.#signal);
        continue;
      }
      this.#pending.shift();
      this.#onGivenUp(oldest.item);
    }
    this.#expiring = false;
  }
}
