import type { ObjectStore } from '../../capture/ports.ts';
import { parseIndexEntry, type IndexEntry } from '../../dump-index/index-entry.ts';
import { indexKeyBefore, indexPrefix, parseIndexKey } from '../../dump-index/object-keys.ts';
import { CaptureError, messageOf } from '../../errors.ts';

const maxIndexEntryBytes = 1024 * 1024;
const pageKeyCount = 1_000;
/** Entries that are read at once. */
const readAtOnceCount = 16;
/** Keys that a search for one capture looks at: more than a year at 500 a day. */
const maxSoughtKeyCount = 200_000;

type Objects = Pick<ObjectStore, 'listObjects' | 'getObject'>;

/** An index entry's place, as its key says it. */
export interface IndexKey {
  readonly objectKey: string;
  readonly captureId: string;
  readonly acquireTime: Date;
}

/** One capture of the index, or why its entry could not be read. */
export type IndexedCapture = IndexKey &
  ({ readonly entry: IndexEntry } | { readonly entry?: undefined; readonly fault: string });

export interface IndexSpan {
  /** Acquired at this time or earlier. */
  readonly until?: Date | undefined;
  /** Acquired at this time or later. */
  readonly since?: Date | undefined;
  /** The last key of a list before. */
  readonly after?: string | undefined;
}

/** Keys of the index, newest first, page by page as they are asked for. What is not a key of an entry is passed over. */
export async function* indexKeys(
  objects: Objects,
  { until, since, after }: IndexSpan = {},
): AsyncGenerator<IndexKey> {
  const starts = [after, until && indexKeyBefore(until)].filter((start) => start !== undefined);
  let startAfter = starts.sort().at(-1);
  for (;;) {
    const page = await objects.listObjects(indexPrefix, {
      limit: pageKeyCount,
      ...(startAfter === undefined ? {} : { startAfter }),
    });
    for (const { objectKey } of page) {
      const parsed = parseIndexKey(objectKey);
      if (parsed === undefined) continue;
      if (since !== undefined && parsed.acquireTime < since) return;
      yield { objectKey, ...parsed };
    }
    startAfter = page.at(-1)?.objectKey;
    if (page.length < pageKeyCount || startAfter === undefined) return;
  }
}

/**
 * Reads one entry.
 * @throws CaptureError InvalidIndexEntry: there is none, it is not valid, or it speaks of another capture than its key.
 */
export async function readIndexEntry(objects: Objects, objectKey: string): Promise<IndexEntry> {
  const body = await objects.getObject(objectKey, { maxBytes: maxIndexEntryBytes });
  if (body === undefined) {
    throw new CaptureError('InvalidIndexEntry', `there is no index entry ${objectKey}`);
  }
  const entry = parseIndexEntry(Buffer.from(body).toString());
  if (entry.captureId === parseIndexKey(objectKey)?.captureId) return entry;
  throw new CaptureError('InvalidIndexEntry', `${objectKey} speaks of another capture`);
}

export interface IndexPage {
  readonly captures: readonly IndexedCapture[];
  /** Key behind which the list goes on; absent at the index's end. */
  readonly next?: string;
  /** Entries that were read, whether they were wanted or not. */
  readonly readCount: number;
}

/**
 * The newest captures that are wanted, with their entries. An entry that cannot be read is part of the list: whoever looks
 * for a capture must not be told that there is none.
 * @param bounds.limit captures in the answer. bounds.maxReadCount entries that are read for it.
 */
export async function listCaptures(
  objects: Objects,
  span: IndexSpan,
  wanted: (entry: IndexEntry) => boolean,
  bounds: { limit: number; maxReadCount: number },
): Promise<IndexPage> {
  const captures: IndexedCapture[] = [];
  const keys = indexKeys(objects, span);
  let readCount = 0;
  for (;;) {
    const most = Math.min(readAtOnceCount, bounds.maxReadCount - readCount);
    const batch = await take(keys, most);
    readCount += batch.length;
    for (const one of await Promise.all(batch.map((key) => readCapture(objects, key)))) {
      if (one.entry !== undefined && !wanted(one.entry)) continue;
      captures.push(one);
      if (captures.length >= bounds.limit) return { captures, next: one.objectKey, readCount };
    }
    const last = batch.at(-1);
    if (last === undefined || batch.length < most) return { captures, readCount };
    if (readCount >= bounds.maxReadCount) return { captures, next: last.objectKey, readCount };
  }
}

async function take(keys: AsyncGenerator<IndexKey>, count: number): Promise<IndexKey[]> {
  const taken: IndexKey[] = [];
  while (taken.length < count) {
    const next = await keys.next();
    if (next.done === true) break;
    taken.push(next.value);
  }
  return taken;
}

/** An entry that is not valid is an answer too. @throws CaptureError ObjectStoreUnavailable. */
export async function readCapture(objects: Objects, key: IndexKey): Promise<IndexedCapture> {
  try {
    return { ...key, entry: await readIndexEntry(objects, key.objectKey) };
  } catch (error) {
    if (error instanceof CaptureError && error.code !== 'InvalidIndexEntry') throw error;
    return { ...key, fault: messageOf(error) };
  }
}

/**
 * The entry that a person means: by its key, `s3://BUCKET/KEY`, its captureId, or the first characters of that, four at least.
 * @throws CaptureError InvalidConfiguration: none, several, or another bucket's; InvalidIndexEntry.
 */
export async function findCapture(
  place: { readonly bucketName: string; readonly objects: Objects },
  name: string,
): Promise<{ objectKey: string; entry: IndexEntry }> {
  const objectKey = await keyOf(place, name);
  return { objectKey, entry: await readIndexEntry(place.objects, objectKey) };
}

async function keyOf(
  { bucketName, objects }: { readonly bucketName: string; readonly objects: Objects },
  name: string,
): Promise<string> {
  const [, bucket, key] = /^s3:\/\/([^/]{1,63})\/(.{1,1024})$/.exec(name) ?? [];
  if (bucket !== undefined && bucket !== bucketName) {
    throw notFound(`${name} is in another bucket than ${bucketName}: name it by --bucket`);
  }
  const objectKey = key ?? name;
  if (parseIndexKey(objectKey) !== undefined) return objectKey;
  if (!/^[a-z0-9]{4,40}$/.test(name)) {
    throw notFound(
      `capture ${JSON.stringify(name.slice(0, 100))}: accepted are a captureId, its first characters (4 at least), and the key of an index entry`,
    );
  }
  const found: string[] = [];
  let soughtCount = 0;
  for await (const one of indexKeys(objects)) {
    if (one.captureId.startsWith(name)) found.push(one.objectKey);
    if (one.captureId === name) return one.objectKey;
    soughtCount += 1;
    if (soughtCount >= maxSoughtKeyCount || found.length > 5) break;
  }
  const [only, ...others] = found;
  if (only === undefined) {
    throw notFound(`no capture ${name} is in the index of ${bucketName}; it may still be running`);
  }
  if (others.length === 0) return only;
  const ids = found.map((one) => parseIndexKey(one)?.captureId ?? '');
  throw notFound(`several captures begin with ${name}: ${ids.join(', ')}`);
}

function notFound(message: string): CaptureError {
  return new CaptureError('InvalidConfiguration', message);
}
