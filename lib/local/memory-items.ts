import { holds, type Item } from '../claim/condition.ts';
import type { Write, WriteResult } from '../claim/item-table.ts';

/**
 * The items of a claim table in memory, answering at once: the same conditions, evaluated here. Hands out what was put,
 * not copies of it. Deletes nothing by time unless told, as if TTL were late.
 */
export class MemoryItems {
  readonly #items = new Map<string, Item>();

  get(pk: string): Item | undefined {
    return this.#items.get(pk);
  }

  values(): Iterable<Item> {
    return this.#items.values();
  }

  read(keys: readonly string[]): Map<string, Item> {
    const found = new Map<string, Item>();
    for (const key of keys) {
      const item = this.#items.get(key);
      if (item !== undefined) found.set(key, item);
    }
    return found;
  }

  write(writes: readonly Write[]): WriteResult {
    const refusals = writes.map((write) => {
      const item = this.#items.get(keyOf(write));
      if (write.condition === undefined || holds(write.condition, item)) return undefined;
      return item === undefined ? {} : { item };
    });
    if (refusals.some((refusal) => refusal !== undefined)) return { outcome: 'refused', refusals };
    for (const write of writes) {
      if (write.kind === 'put') this.#items.set(write.item.pk, write.item);
      if (write.kind === 'delete') this.#items.delete(write.pk);
    }
    return { outcome: 'written' };
  }

  delete(pk: string): void {
    this.#items.delete(pk);
  }
}

/** What the index of open captures answers over such items. */
export function openCaptures(
  items: Iterable<Item>,
  lease: 'ended' | 'alive',
  nowMillis: number,
  limit: number,
): Item[] {
  const leaseOf = (item: Item): number => Number(item['leaseExpireMillis']);
  return [...items]
    .filter((item) => item['openCapture'] === 'open')
    .filter((item) => leaseOf(item) <= nowMillis === (lease === 'ended'))
    .sort((left, right) => leaseOf(left) - leaseOf(right))
    .slice(0, limit);
}

export function keyOf(write: Write): string {
  return write.kind === 'put' ? write.item.pk : write.pk;
}
