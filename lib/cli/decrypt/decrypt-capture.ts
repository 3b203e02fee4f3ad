import type { ObjectStore } from '../../capture/ports.ts';
import type { SealedObject } from '../../capture/sealed-frames.ts';
import { SealedReader, type SealedAccount } from '../../capture/sealed-reader.ts';
import type { IndexEntry } from '../../dump-index/index-entry.ts';
import { CaptureError } from '../../errors.ts';
import type { Artifact } from '../../policy/policy.ts';
import { readIndexEntry } from '../captures/index-reader.ts';

const rangeBytes = 8 * 1024 * 1024;

/** The index entry of an encrypted capture. */
export interface EncryptedCapture {
  readonly entry: IndexEntry;
  readonly encryption: NonNullable<IndexEntry['objects']['encryption']>;
}

/** @throws CaptureError InvalidIndexEntry: there is none, or its capture is not encrypted; ObjectStoreUnavailable. */
export async function readEncryptedCapture(
  objects: ObjectStore,
  indexKey: string,
): Promise<EncryptedCapture> {
  return encryptedCaptureOf(await readIndexEntry(objects, indexKey), indexKey);
}

/** @throws CaptureError InvalidIndexEntry: the capture is not encrypted, or by the data key of another. */
export function encryptedCaptureOf(entry: IndexEntry, indexKey: string): EncryptedCapture {
  const { encryption } = entry.objects;
  if (encryption === undefined) {
    throw new CaptureError('InvalidIndexEntry', `capture ${entry.captureId} is not encrypted`);
  }
  if (encryption.context.captureId !== entry.captureId) {
    const message = `the data key of ${indexKey} is of capture ${encryption.context.captureId}`;
    throw new CaptureError('InvalidIndexEntry', message);
  }
  return { entry, encryption };
}

export interface StoredObject {
  readonly artifact: Artifact;
  readonly objectKey: string;
  readonly bytes: number;
}

/** The objects of a capture, evidence first. */
export function storedObjects({ objects }: IndexEntry): StoredObject[] {
  const { heapDump } = objects;
  return [
    ...objects.evidence,
    ...(heapDump
      ? [
          {
            artifact: 'heapDump' as const,
            objectKey: heapDump.objectKey,
            bytes: heapDump.compressedBytes,
          },
        ]
      : []),
  ];
}

/**
 * Reads one object by ranges, and gives what it held to `write` in order: text of evidence, or the zstd frames of a dump.
 * Memory is bounded by a range and a frame.
 * @throws CaptureError DecryptionFailed, ObjectStoreUnavailable; what was written until then is authentic.
 */
export async function decryptObject(
  objects: Pick<ObjectStore, 'getObject'>,
  { encryption }: EncryptedCapture,
  stored: StoredObject,
  { dataKey, write }: { dataKey: Uint8Array; write: (bytes: Uint8Array) => Promise<unknown> },
): Promise<SealedAccount> {
  const { artifact, objectKey, bytes } = stored;
  const { captureId, fencingToken } = encryption.context;
  const object: SealedObject = {
    ...{ captureId, artifact, dataKey },
    fencingToken: Number(fencingToken),
  };
  const reader = new SealedReader(object);
  for (let start = 0; start < bytes; start += rangeBytes) {
    const range = { start, end: Math.min(start + rangeBytes, bytes) - 1 };
    const chunk = await objects.getObject(objectKey, { maxBytes: rangeBytes, range });
    if (chunk?.length !== range.end - start + 1) {
      const what = `${objectKey} has not the ${bytes} bytes of its index entry`;
      throw new CaptureError('ObjectStoreUnavailable', what);
    }
    for (const opened of reader.push(chunk)) await write(opened);
  }
  return reader.finish();
}
