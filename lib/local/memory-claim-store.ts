import { randomUUID } from 'node:crypto';
import type { LockCondition } from '../claim/claim-conditions.ts';
import type { ClaimStore } from '../claim/claim-store.ts';
import { holds, type Item } from '../claim/condition.ts';
import type { ItemTable, Write } from '../claim/item-table.ts';
import { createTableClaimStore } from '../claim/table-claim-store.ts';

/** A claim table in memory: the same conditions, evaluated here. Deletes nothing by time, as if TTL were late. */
export function createMemoryItemTable(): ItemTable {
  const items = new Map<string, Item>();
  const apply = (write: Write): void => {
    if (write.kind === 'put') items.set(write.item.pk, structuredClone(write.item));
    if (write.kind === 'delete') items.delete(write.pk);
  };
  return {
    read: (keys) => {
      const found = keys.map((key) => items.get(key)).filter((item) => item !== undefined);
      return Promise.resolve(new Map(found.map((item) => [item.pk, structuredClone(item)])));
    },
    write: (writes) => {
      const refusals = writes.map((write) => {
        const item = items.get(write.kind === 'put' ? write.item.pk : write.pk);
        if (write.condition === undefined || holds(write.condition, item)) return undefined;
        return item === undefined ? {} : { item: structuredClone(item) };
      });
      if (refusals.some((refusal) => refusal !== undefined)) {
        return Promise.resolve({ outcome: 'refused', refusals });
      }
      writes.forEach(apply);
      return Promise.resolve({ outcome: 'written' });
    },
    listOpen: (lease, nowMillis, limit) => {
      const leaseOf = (item: Item): number => Number(item['leaseExpireMillis']);
      const open = [...items.values()]
        .filter((item) => item['openCapture'] === 'open')
        .filter((item) => leaseOf(item) <= nowMillis === (lease === 'ended'))
        .sort((left, right) => leaseOf(left) - leaseOf(right));
      return Promise.resolve(structuredClone(open.slice(0, limit)));
    },
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
