import type { ApiObject, ResourceName } from './api-objects.ts';

export interface HistoryEntry {
  version: number;
  resource: ResourceName;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: ApiObject;
  /** The object before the change: a selector may have held for it. */
  previous: ApiObject | undefined;
}

type Listener = (entry: HistoryEntry) => void;

/**
 * The last changes, in order of their versions, for watches to resume from. It is bounded: whoever asks for what
 * has been forgotten must list again, as with the real API's watch cache and etcd's compaction.
 */
export class WatchHistory {
  readonly #limit: number;
  readonly #entries: HistoryEntry[] = [];
  readonly #listeners = new Set<Listener>();
  /** Everything up to this version is forgotten. */
  #forgottenVersion: number;

  constructor(limit: number, firstVersion: number) {
    this.#limit = limit;
    this.#forgottenVersion = firstVersion;
  }

  record(entry: HistoryEntry): void {
    this.#entries.push(entry);
    while (this.#entries.length > this.#limit) {
      this.#forgottenVersion = this.#entries.shift()?.version ?? this.#forgottenVersion;
    }
    for (const listener of [...this.#listeners]) listener(entry);
  }

  /** Changes after a version, or `expired` when some of them may be forgotten. */
  since(version: number): readonly HistoryEntry[] | 'expired' {
    if (version < this.#forgottenVersion) return 'expired';
    return this.#entries.filter((entry) => entry.version > version);
  }

  /** Forgets everything so far: every earlier version is expired. */
  forget(): void {
    this.#forgottenVersion = this.#entries.at(-1)?.version ?? this.#forgottenVersion;
    this.#entries.length = 0;
  }

  /** Calls the listener for every later change, in order, until the returned function is called. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
