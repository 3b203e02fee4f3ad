import type { CaptureRecord } from '../claim/capture-record.ts';
import { objectKeys } from '../dump-index/object-keys.ts';
import { CaptureError, messageOf } from '../errors.ts';
import { validate } from '../validation.ts';
import type * as z from 'zod';
import { manifestSchema, progressSchema, type Manifest, type Progress } from './manifest.ts';
import type { ObjectStore } from './ports.ts';

/** 10,000 parts of about 150 bytes of JSON are 1.5 MiB. */
const maxManifestBytes = 8 * 1024 * 1024;
const maxProgressBytes = 256 * 1024;

export type Account<T> =
  | { found: 'valid'; value: T; bytes: number }
  | { found: 'none' }
  /** Not of this capture, not ours, or broken: never acted upon, only named. */
  | { found: 'refused'; reason: string };

/**
 * Reads the manifest of a capture. Whoever holds the presigned URL can write there, so that only one
 * that names this very claim (captureId and fencing token) counts.
 * @throws CaptureError ObjectStoreUnavailable (retryable).
 */
export function readManifest(
  objects: ObjectStore,
  record: CaptureRecord,
): Promise<Account<Manifest>> {
  const { manifest } = objectKeys(record.objectPrefix);
  return readAccount(objects, record, manifest, manifestSchema, maxManifestBytes);
}

/** Reads the agent's running account; the same rules as for the manifest. */
export function readProgress(
  objects: ObjectStore,
  record: CaptureRecord,
): Promise<Account<Progress>> {
  const { progress } = objectKeys(record.objectPrefix);
  return readAccount(objects, record, progress, progressSchema, maxProgressBytes);
}

async function readAccount<T extends { captureId: string; fencingToken: number }>(
  objects: ObjectStore,
  record: CaptureRecord,
  objectKey: string,
  schema: z.ZodType<T>,
  maxBytes: number,
): Promise<Account<T>> {
  const head = await objects.headObject(objectKey);
  if (head === undefined) return { found: 'none' };
  if (head.bytes > maxBytes) {
    return refused(`${objectKey} has ${head.bytes} bytes; accepted are at most ${maxBytes}`);
  }
  const body = await objects.getObject(objectKey, { maxBytes });
  if (body === undefined) return { found: 'none' };
  try {
    const json: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
    const value = validate(schema, json, 'InvalidManifest', objectKey);
    if (value.captureId !== record.captureId || value.fencingToken !== record.fencingToken) {
      return refused(
        `${objectKey} speaks of capture ${value.captureId} with token ${value.fencingToken}; accepted is ${record.captureId} with token ${record.fencingToken}`,
      );
    }
    return { found: 'valid', value, bytes: body.byteLength };
  } catch (error) {
    if (error instanceof SyntaxError) return refused(`${objectKey} is not JSON`);
    if (error instanceof CaptureError && error.code === 'InvalidManifest') {
      return refused(messageOf(error));
    }
    throw error;
  }
}

function refused(reason: string): { found: 'refused'; reason: string } {
  return { found: 'refused', reason };
}
