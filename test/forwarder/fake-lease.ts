import type { LeaseApi, LeaseRecord, StoredLease } from '../../lib/kubernetes/lease.ts';

/** One Lease as the API keeps it: a write over another version than the last is refused. */
export class FakeLease {
  stored: StoredLease | undefined;
  /** Who cannot reach it. */
  readonly cutOff = new Set<string>();
  /** Negative control: every write wins. */
  unconditional = false;
  #version = 0;

  /** As one of its writers sees it. */
  of(identity: string): LeaseApi {
    return {
      read: async () => {
        await this.#reach(identity);
        return this.stored;
      },
      write: async (record: LeaseRecord, resourceVersion: string | undefined) => {
        await this.#reach(identity);
        if (!this.unconditional && this.stored?.resourceVersion !== resourceVersion) {
          return undefined;
        }
        this.#version += 1;
        this.stored = { ...record, resourceVersion: String(this.#version) };
        return this.stored;
      },
    };
  }

  /** Never answers whoever is cut off. */
  async #reach(identity: string): Promise<void> {
    if (this.cutOff.has(identity)) await new Promise(() => undefined);
  }
}
