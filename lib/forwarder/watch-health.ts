import type { Time } from './time.ts';

/** A watcher from which nothing was heard for this long makes the forwarder not ready. */
export const staleWatchSeconds = 300;

/** When each watcher last heard from the API server. */
export class WatchHealth {
  readonly #time: Pick<Time, 'now'>;
  readonly #contacts = new Map<string, number | undefined>();

  constructor(time: Pick<Time, 'now'>) {
    this.#time = time;
  }

  /** @returns what the watcher calls at each contact. */
  watcher(name: string): () => void {
    this.#contacts.set(name, undefined);
    return () => {
      // One that was forgotten may still have its last word.
      if (this.#contacts.has(name)) this.#contacts.set(name, this.#time.now().getTime());
    };
  }

  /** Of one that has ended. */
  forget(name: string): void {
    this.#contacts.delete(name);
  }

  /** When the one of them spoke that has been silent for longest; `undefined` while one has not begun. */
  heardThrough(): Date | undefined {
    const contacts = [...this.#contacts.values()].map((contact) => contact ?? NaN);
    const first = Math.min(...contacts);
    return Number.isFinite(first) ? new Date(first) : undefined;
  }

  unreadyReasons(): readonly string[] {
    const now = this.#time.now().getTime();
    return [...this.#contacts].flatMap(([name, contact]) => {
      if (contact === undefined) return [`${name}: not listed yet`];
      const silentSeconds = Math.round((now - contact) / 1000);
      return silentSeconds > staleWatchSeconds ? [`${name}: silent for ${silentSeconds} s`] : [];
    });
  }
}
