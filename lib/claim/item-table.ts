import type { Condition, Item } from './condition.ts';

/** One step of a transaction. Without a condition it is taken whatever is there. */
export type Write =
  | { readonly kind: 'put'; readonly item: Item; readonly condition?: Condition }
  | { readonly kind: 'delete' | 'check'; readonly pk: string; readonly condition: Condition };

export type WriteResult =
  | { outcome: 'written' }
  | {
      outcome: 'refused';
      /**
       * One place for each write, in order: what stood in the way of it, `undefined` where its own
       * condition held (or was not looked at). `item` is absent when there is no such item.
       */
      refusals: readonly ({ readonly item?: Item } | undefined)[];
    };

/**
 * The little that claims need of a table: consistent reads, and transactions with a condition on each item.
 * @throws CaptureError ClaimStoreUnavailable: nothing was read or written, or the outcome is unknown.
 */
export interface ItemTable {
  /** Strongly consistent, at most 100 keys; what does not exist is not in the answer. */
  read(keys: readonly string[]): Promise<ReadonlyMap<string, Item>>;
  /** All of it or nothing. At most 100 writes, each on another item. */
  write(writes: readonly Write[]): Promise<WriteResult>;
  /**
   * Items with `openCapture` whose lease is `ended` (`leaseExpireMillis` is at most now) or `alive` (above), lowest
   * first. Reads an index that may lag behind: what it shows must be proven before it is acted upon.
   */
  listOpen(lease: 'ended' | 'alive', nowMillis: number, limit: number): Promise<readonly Item[]>;
}
