import { parseManifestKey } from '../dump-index/object-keys.ts';

/** A manifest that is said to have arrived. Only the capture's record says whether that can be. */
export interface ArrivedManifest {
  captureId: string;
  /**
   * The prefix as the key may be read: S3's own notifications encode keys as in a URL, events on EventBridge
   * come as the key is, and stand-ins do either. A percent sign is legal in our keys, so the text does not tell.
   */
  prefixes: readonly string[];
}

const maxRecordCount = 1_000;

/**
 * Reads the notifications of manifests from what S3 or EventBridge handed over. Objects of other buckets and
 * other keys are counted, not read.
 * Source: EventMessageStructure and ev-events of the S3 user guide.
 */
export function parseNotification(
  invocation: unknown,
  bucketName: string,
): { arrived: readonly ArrivedManifest[]; foreignCount: number } {
  const objects = objectsOf(invocation).slice(0, maxRecordCount);
  const arrived = objects
    .filter((object) => object.bucketName === bucketName)
    .map(({ objectKey }) => arrivedManifest(objectKey))
    .filter((manifest) => manifest !== undefined);
  return { arrived, foreignCount: objects.length - arrived.length };
}

function arrivedManifest(objectKey: string): ArrivedManifest | undefined {
  const asItIs = parseManifestKey(encodeURIComponent(objectKey));
  const decoded = parseManifestKey(objectKey);
  const captureId = asItIs?.captureId ?? decoded?.captureId;
  if (captureId === undefined) return undefined;
  const prefixes = [asItIs?.prefix, decoded?.prefix].filter((prefix) => prefix !== undefined);
  return { captureId, prefixes: [...new Set(prefixes)] };
}

interface NamedObject {
  bucketName: unknown;
  objectKey: string;
}

function objectsOf(invocation: unknown): readonly NamedObject[] {
  const records = field(invocation, 'Records');
  const parts = Array.isArray(records)
    ? records.map((record: unknown) => field(record, 's3'))
    : [field(invocation, 'detail')];
  return parts.map((part) => {
    const objectKey = field(field(part, 'object'), 'key');
    return {
      bucketName: field(field(part, 'bucket'), 'name'),
      objectKey: typeof objectKey === 'string' ? objectKey.slice(0, 4_096) : '',
    };
  });
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
