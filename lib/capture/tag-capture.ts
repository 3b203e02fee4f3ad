import { messageOf, CaptureError } from '../errors.ts';
import type { Retention } from '../dump-index/retention.ts';
import type { ObjectStore } from './ports.ts';
import type { Fault } from './settle-dump.ts';

/** A capture has 12 objects; what is beyond this is not ours. */
const maxObjectCount = 100;

/**
 * Tags every object of a capture that is stored, so that the bucket's lifecycle rule for that tag removes it. Agents put most of them by
 * presigned URLs, which carry no tags. Without a tag there is nothing to do.
 * @param prefix with a trailing slash, or one object's key.
 * @returns a fault where it is refused for good: the capture is worth more than the time that it is kept, which is then the stack's.
 * @throws CaptureError ObjectStoreUnavailable (retryable).
 */
export async function tagCapture(
  objects: Pick<ObjectStore, 'listObjects' | 'tagObject'>,
  prefix: string,
  { tag }: Retention,
): Promise<Fault[]> {
  if (tag === undefined) return [];
  try {
    const stored = await objects.listObjects(prefix, { limit: maxObjectCount });
    await Promise.all(stored.map(({ objectKey }) => objects.tagObject(objectKey, tag)));
    return [];
  } catch (error) {
    if (!(error instanceof CaptureError) || error.retryable) throw error;
    return [{ code: 'RetentionNotSet', message: messageOf(error, 400) }];
  }
}
