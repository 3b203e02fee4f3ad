import { randomUUID } from 'node:crypto';
import type { LockCondition } from '../claim/claim-conditions.ts';
import type { ClaimStore } from '../claim/claim-store.ts';
import type { ItemTable } from '../claim/item-table.ts';
import { createTableClaimStore } from '../claim/table-claim-store.ts';
import { MemoryItems, openCaptures } from './memory-items.ts';

/** A claim table in memory. Deletes nothing by time, as if TTL were late. */
export function createMemoryItemTable(): ItemTable {
  const items = new MemoryItems();
  // Copies both ways: nobody can change what is stored but by a write.
  return {
    read: (keys) => Promise.resolve(structuredClone(items.read(keys))),
    write: (writes) => Promise.resolve(structuredClone(items.write(structuredClone(writes)))),
    listOpen: (lease, nowMillis, limit) =>
      Promise.resolve(structuredClone(openCaptures(items.values(), lease, nowMillis, limit))),
  };
}

/** A ClaimStore of this process alone, for tests and the demo's inner parts; it forgets all when it ends. */
export function createMemoryClaimStore(
  options: { table?: ItemTable; lockCondition?: LockCondition } = {},
): ClaimStore {
  const { table = createMemoryItemTable(), lockCondition } = options;
  return createTableClaimStore(table, {
    newNonce: randomUUID,
    ...(lockCondition === undefined ? {} : { lockCondition }),
  });
}
