import { progressSchema, type Progress } from '../../capture/manifest.ts';
import type { ObjectStore } from '../../capture/ports.ts';
import { progressWords } from '../../capture/progress-words.ts';
import type { IndexEntry } from '../../dump-index/index-entry.ts';
import { objectKeys } from '../../dump-index/object-keys.ts';
import type { CliIo } from '../process-io.ts';
import { readIndexEntry } from './index-reader.ts';

const pauseMillis = 2_000;
const maxProgressBytes = 256 * 1024;

/** A capture that runs, and where its end will show. */
export interface RunningCapture {
  readonly indexKey: string;
  readonly objectPrefix: string | undefined;
  readonly captureId: string | undefined;
}

/**
 * Waits until a capture is sealed.
 * @param tell is given how far it is, in words, whenever it is further.
 * @returns its index entry; `undefined` when the time was over.
 * @throws CaptureError ObjectStoreUnavailable; the reason of `io.stop`.
 */
export async function followCapture(
  objects: Pick<ObjectStore, 'getObject' | 'listObjects'>,
  capture: RunningCapture,
  io: Pick<CliIo, 'now' | 'pause' | 'stop'>,
  options: { endMillis: number; tell(words: string, progress: Progress): void },
): Promise<IndexEntry | undefined> {
  const { indexKey, objectPrefix } = capture;
  let told = '';
  for (;;) {
    io.stop.throwIfAborted();
    if (await isThere(objects, indexKey)) return readIndexEntry(objects, indexKey);
    const progress = await progressOf(objects, objectPrefix, capture.captureId);
    if (progress !== undefined && progress.time !== told) {
      told = progress.time;
      options.tell(progressWords(progress, io.now()), progress);
    }
    if (io.now().getTime() >= options.endMillis) return undefined;
    await io.pause(pauseMillis);
  }
}

/** By a list: where a reader may not list, S3 answers 403 for what is not there yet, and that would look like a fault. */
async function isThere(
  objects: Pick<ObjectStore, 'listObjects'>,
  objectKey: string,
): Promise<boolean> {
  const [found] = await objects.listObjects(objectKey, { limit: 1 });
  return found?.objectKey === objectKey;
}

/** How far the agent is; `undefined` while it has told nothing, or nothing that is of this capture. */
export async function progressOf(
  objects: Pick<ObjectStore, 'getObject'>,
  objectPrefix: string | undefined,
  captureId: string | undefined,
): Promise<Progress | undefined> {
  if (objectPrefix === undefined) return undefined;
  const { progress: objectKey } = objectKeys(objectPrefix);
  const body = await objects.getObject(objectKey, { maxBytes: maxProgressBytes });
  if (body === undefined) return undefined;
  try {
    const json: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
    const parsed = progressSchema.safeParse(json);
    return parsed.success && parsed.data.captureId === captureId ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
