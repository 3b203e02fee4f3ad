import type { CreatedObject } from './stored-objects.ts';

export type CreatedListener = (created: CreatedObject) => void | Promise<void>;

/** Tells listeners of new objects, each by itself and never within the request that made the object. */
export class CreatedObjects {
  readonly #listeners = new Set<CreatedListener>();
  readonly #running = new Set<Promise<void>>();
  #fault: { error: unknown } | undefined;

  add(listener: CreatedListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  announce(created: CreatedObject): void {
    for (const listener of this.#listeners) {
      const run = new Promise((resolve) => setImmediate(resolve))
        .then(() => listener(created))
        .catch((error: unknown) => {
          this.#fault ??= { error };
        })
        .finally(() => this.#running.delete(run));
      this.#running.add(run);
    }
  }

  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    if (this.#fault === undefined) return;
    const { error } = this.#fault;
    this.#fault = undefined;
    throw error;
  }
}
