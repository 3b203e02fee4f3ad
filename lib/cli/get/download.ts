import { constants } from 'node:fs';
import { open, rename, stat, type FileHandle } from 'node:fs/promises';
import { PartChecksums, type PartChecksum } from '../../capture/part-checksums.ts';
import type { ObjectStore } from '../../capture/ports.ts';
import { CaptureError } from '../../errors.ts';

/** Small enough for the deadline of one request on a line of 120 KiB/s, with all that are under way. */
export const downloadRangeBytes = 1024 * 1024;
const rangesAtOnceCount = 4;
const readBytes = 4 * 1024 * 1024;
const attemptCount = 5;
const firstPauseMillis = 1_000;

export interface Download {
  readonly objects: Pick<ObjectStore, 'getObject'>;
  readonly objectKey: string;
  /** Of the whole object. */
  readonly bytes: number;
  /** Where it is put when it is whole; until then it grows in `<path>.part`. */
  readonly path: string;
  /** Of all parts of the object; absent when they are not known. */
  readonly parts?: readonly PartChecksum[] | undefined;
  readonly stop: AbortSignal;
  /** Waits before a range is asked for again. */
  readonly pause: (millis: number) => Promise<void>;
  readonly onProgress?: (doneBytes: number) => void;
}

export interface Downloaded {
  /** What a run before had brought, and was kept. */
  readonly resumedBytes: number;
  /** `unknown`: nothing says what it should be. */
  readonly checksum: 'matches' | 'differs' | 'unknown';
}

/**
 * Brings an object into a file, by ranges, and goes on where a run before was cut off, wherever that was. Of what that
 * left only those parts are kept whose checksums are right; without checksums, all of it. A file at `path` is one that was
 * brought whole: it is only verified.
 * Memory is bounded by four ranges.
 * @throws CaptureError ObjectStoreUnavailable; the reason of `stop`. Run again, it goes on.
 */
export async function download(order: Download): Promise<Downloaded> {
  const { path, bytes } = order;
  if (await hasSize(path, bytes)) {
    const file = await open(path, 'r');
    try {
      const checksums = await hashed(file, bytes, order);
      return { resumedBytes: bytes, checksum: verdictOf(order, checksums) };
    } finally {
      await file.close();
    }
  }
  const partial = `${path}.part`;
  // Not through a link that somebody put there.
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
  const file = await open(partial, flags, 0o600);
  try {
    const { resumedBytes, checksums } = await resume(file, order);
    await fetchRest(file, resumedBytes, checksums, order);
    await file.sync();
    await rename(partial, path);
    return { resumedBytes, checksum: verdictOf(order, checksums) };
  } finally {
    await file.close();
  }
}

async function hasSize(path: string, bytes: number): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return false;
  if (found.isFile() && found.size === bytes) return true;
  throw new CaptureError(
    'InvalidConfiguration',
    `${path} is there and has ${found.size} bytes, not the ${bytes} of the capture: remove it, or choose another folder`,
  );
}

function verdictOf({ parts }: Download, checksums: PartChecksums): Downloaded['checksum'] {
  if (parts === undefined) return 'unknown';
  return checksums.matches ? 'matches' : 'differs';
}

async function resume(
  file: FileHandle,
  order: Download,
): Promise<{ resumedBytes: number; checksums: PartChecksums }> {
  const { size } = await file.stat();
  const found = Math.min(size, order.bytes);
  let checksums = await hashed(file, found, order);
  const kept = order.parts === undefined ? found : checksums.verifiedBytes;
  if (kept < found) checksums = await hashed(file, kept, order);
  await file.truncate(kept);
  return { resumedBytes: kept, checksums };
}

/** The checksums of a file's first bytes. */
async function hashed(
  file: FileHandle,
  bytes: number,
  { parts, stop }: Download,
): Promise<PartChecksums> {
  const checksums = new PartChecksums(parts ?? []);
  if (parts === undefined) return checksums;
  const buffer = Buffer.allocUnsafe(readBytes);
  for (let at = 0; at < bytes;) {
    stop.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, Math.min(readBytes, bytes - at), at);
    if (bytesRead === 0) break;
    checksums.push(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return checksums;
}

async function fetchRest(
  file: FileHandle,
  start: number,
  checksums: PartChecksums,
  order: Download,
): Promise<void> {
  const { bytes, stop } = order;
  const underWay: Promise<Uint8Array>[] = [];
  let asked = start;
  for (let written = start; written < bytes;) {
    while (underWay.length < rangesAtOnceCount && asked < bytes) {
      const end = Math.min(asked + downloadRangeBytes, bytes) - 1;
      const range = fetchRange({ start: asked, end }, order);
      // Those behind one that fails are dropped.
      range.catch(() => undefined);
      underWay.push(range);
      asked = end + 1;
    }
    const chunk = await underWay.shift();
    stop.throwIfAborted();
    if (chunk === undefined) break;
    await file.write(chunk, 0, chunk.length, written);
    checksums.push(chunk);
    written += chunk.length;
    order.onProgress?.(written);
  }
}

async function fetchRange(
  range: { start: number; end: number },
  { objects, objectKey, bytes, stop, pause }: Download,
): Promise<Uint8Array> {
  for (let attempt = 1; ; attempt += 1) {
    stop.throwIfAborted();
    try {
      const chunk = await objects.getObject(objectKey, { maxBytes: downloadRangeBytes, range });
      if (chunk?.length === range.end - range.start + 1) return chunk;
      const what = `${objectKey} has not the ${bytes} bytes of its index entry`;
      throw new CaptureError('ObjectStoreUnavailable', what);
    } catch (error) {
      const retryable = error instanceof CaptureError && error.retryable;
      if (!retryable || attempt >= attemptCount) throw error;
      await pause(firstPauseMillis * 2 ** (attempt - 1));
    }
  }
}
