import type { ObjectStore } from '../../capture/ports.ts';
import { indexPrefix, parseIndexKey } from '../../dump-index/object-keys.ts';
import { readCapture, type IndexedCapture, type IndexKey } from '../captures/index-reader.ts';

/** The newest captures that are looked at. One that was acquired before all of these is not seen when it is sealed. */
const maxKeyCount = 1_000;

type Objects = Pick<ObjectStore, 'listObjects' | 'getObject'>;

/** Finds index entries as they come, whatever the order in which their captures began. */
export class SealedCaptures {
  readonly #objects: Objects;
  #known: readonly IndexKey[];

  private constructor(objects: Objects, known: readonly IndexKey[]) {
    this.#objects = objects;
    this.#known = known;
  }

  static async fromNow(objects: Objects): Promise<SealedCaptures> {
    return new SealedCaptures(objects, await newestKeys(objects));
  }

  /** Those that came since the last look, the one that was acquired first at the head. */
  async look(): Promise<IndexedCapture[]> {
    const keys = await newestKeys(this.#objects);
    const known = new Set(this.#known.map(({ objectKey }) => objectKey));
    // Where old entries are removed, older ones come into view.
    const last = this.#known.length < maxKeyCount ? undefined : this.#known.at(-1)?.objectKey;
    const fresh = keys.filter(
      ({ objectKey }) => !known.has(objectKey) && (last === undefined || objectKey < last),
    );
    this.#known = keys;
    const captures: IndexedCapture[] = [];
    for (const key of fresh.reverse()) captures.push(await readCapture(this.#objects, key));
    return captures;
  }
}

async function newestKeys(objects: Objects): Promise<IndexKey[]> {
  const page = await objects.listObjects(indexPrefix, { limit: maxKeyCount });
  return page.flatMap(({ objectKey }) => {
    const parsed = parseIndexKey(objectKey);
    return parsed === undefined ? [] : [{ objectKey, ...parsed }];
  });
}
