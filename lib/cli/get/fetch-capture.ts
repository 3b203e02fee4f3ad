import { rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { readPartChecksums, type PartChecksum } from '../../capture/part-checksums.ts';
import type { IndexEntry } from '../../dump-index/index-entry.ts';
import { evidenceName, objectKeys } from '../../dump-index/object-keys.ts';
import { CaptureError, messageOf } from '../../errors.ts';
import type { Artifact } from '../../policy/policy.ts';
import {
  encryptedCaptureOf,
  storedObjects,
  type EncryptedCapture,
  type StoredObject,
} from '../decrypt/decrypt-capture.ts';
import type { Place } from '../place.ts';
import type { CliIo } from '../process-io.ts';
import { ProgressBar } from '../progress-bar.ts';
import { sizeWords } from '../quantities.ts';
import { decryptEvidence } from './decrypt-evidence.ts';
import { download, type Downloaded } from './download.ts';
import { dumpVerdict, type FileVerdict } from './file-verdict.ts';
import { fileAt, fileMissing } from './local-file.ts';
import { unpackDump } from './unpack-dump.ts';

export interface FetchOrder {
  readonly indexKey: string;
  readonly entry: IndexEntry;
  readonly folder: string;
  /** All of them unless named. */
  readonly artifacts?: ReadonlySet<Artifact> | undefined;
  /** The heap dump stays as zstd frames. */
  readonly compressed?: boolean | undefined;
}

export type FetchIo = Pick<CliIo, 'now' | 'stop' | 'pause' | 'redraw'>;
type FetchPlace = Pick<Place, 'objects' | 'dataKeys'>;

interface Fetching extends FetchOrder {
  readonly place: FetchPlace;
  readonly io: FetchIo;
  /** Present where the capture is encrypted. */
  readonly sealed: { readonly capture: EncryptedCapture; readonly dataKey: Uint8Array } | undefined;
}

/**
 * Brings the files of a capture into a folder, evidence first, each verified, and gives what each turned out to be. A fault
 * of one leaves the others; run again, it goes on where it ended.
 * @throws CaptureError: the data key is refused, there is no room; the reason of `io.stop`.
 */
export async function* fetchCapture(
  place: FetchPlace,
  order: FetchOrder,
  io: FetchIo,
): AsyncGenerator<FileVerdict> {
  const { entry, artifacts } = order;
  const wanted = storedObjects(entry).filter(({ artifact }) => artifacts?.has(artifact) ?? true);
  await checkRoom(order, wanted);
  const sealed = await keyOf(place, order);
  for (const stored of wanted) {
    const fetching = { ...order, place, io, sealed };
    try {
      checkKey(entry, stored);
      yield stored.artifact === 'heapDump'
        ? await fetchDump(fetching, stored)
        : await fetchEvidence(fetching, stored, stored.artifact);
    } catch (error) {
      if (io.stop.aborted) throw error;
      yield { artifact: stored.artifact, holds: false, text: messageOf(error, 1_000) };
    }
  }
}

async function keyOf(place: FetchPlace, { entry, indexKey }: FetchOrder) {
  if (entry.objects.encryption === undefined) return undefined;
  const capture = encryptedCaptureOf(entry, indexKey);
  return { capture, dataKey: await place.dataKeys.decrypt(capture.encryption) };
}

/** An index entry that names another capture's objects is not ours, or not whole. */
function checkKey({ objects }: IndexEntry, { artifact, objectKey }: StoredObject): void {
  const keys = objectKeys(objects.prefix, { encrypted: objects.encryption !== undefined });
  const own = artifact === 'heapDump' ? keys.heapDump : keys.evidence(artifact);
  if (objectKey === own) return;
  const message = `the index entry names ${objectKey} for ${artifact}; accepted is ${own}`;
  throw new CaptureError('InvalidIndexEntry', message);
}

/** Dumps are large: to run out of space after an hour would be a waste. */
async function checkRoom(
  { folder, entry, compressed }: FetchOrder,
  wanted: readonly StoredObject[],
): Promise<void> {
  let neededBytes = 0;
  for (const { artifact, bytes, objectKey } of wanted) {
    const path = join(folder, fileNameOf(artifact, objectKey));
    const there = Math.max(await fileAt(path), await fileAt(`${path}.part`));
    neededBytes += Math.max(0, bytes - there);
    if (artifact !== 'heapDump' || compressed === true) continue;
    if (await fileMissing(join(folder, 'heap.hprof'))) {
      neededBytes += entry.objects.heapDump?.rawBytes ?? bytes;
    }
  }
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= neededBytes) return;
  throw new CaptureError(
    'InvalidConfiguration',
    `${folder} has ${sizeWords(bavail * bsize)} free, needed are ${sizeWords(neededBytes)}: choose another folder by -o${compressed === true ? '' : ', or --compressed'}`,
  );
}

/** By our own table: a key is part of what the bucket holds, and names no file of ours. */
function fileNameOf(artifact: Artifact, objectKey: string): string {
  const end = objectKey.endsWith('.enc') ? '.enc' : '';
  return `${artifact === 'heapDump' ? 'heap.hprof.zst' : evidenceName(artifact)}${end}`;
}

async function bring(
  { place, io, folder }: Fetching,
  { artifact, objectKey, bytes }: StoredObject,
  parts: readonly PartChecksum[] | undefined,
): Promise<Downloaded & { path: string }> {
  const path = join(folder, fileNameOf(artifact, objectKey));
  const bar = new ProgressBar(artifact, bytes, io);
  const { objects } = place;
  try {
    const onProgress = (done: number): void => bar.update(done);
    const { stop } = io;
    const pause = (millis: number): Promise<void> => io.pause(millis);
    const order = { objects, objectKey, bytes, path, parts, stop, pause, onProgress };
    return { ...(await download(order)), path };
  } finally {
    bar.end();
  }
}

async function fetchEvidence(
  fetching: Fetching,
  stored: StoredObject,
  artifact: Exclude<Artifact, 'heapDump'>,
): Promise<FileVerdict> {
  const path = join(fetching.folder, evidenceName(artifact));
  const { sealed, entry } = fetching;
  const storedPath = join(fetching.folder, fileNameOf(artifact, stored.objectKey));
  if (sealed !== undefined && (await isDone(path, storedPath))) return alreadyThere(artifact, path);
  const md5 = entry.objects.evidence.find((one) => one.artifact === artifact)?.md5;
  const parts =
    md5 === undefined || stored.bytes === 0 ? undefined : [{ bytes: stored.bytes, md5 }];
  const brought = await bring(fetching, stored, parts);
  const differs = brought.checksum === 'differs';
  if (sealed === undefined) {
    const checked = differs ? 'its checksum is WRONG' : checksumWords(brought.checksum);
    const text = `${sizeWords(stored.bytes)}, ${checked}`;
    return { artifact, path, holds: !differs, text };
  }
  const account = await decryptEvidence({ ...sealed, stored, storedPath: brought.path, path });
  const holds = account.whole && !differs;
  if (holds) await rm(brought.path);
  const text = holds ? 'decrypted, whole' : 'decrypted, NOT WHOLE';
  return { artifact, path, holds, text };
}

async function fetchDump(fetching: Fetching, stored: StoredObject): Promise<FileVerdict> {
  const { folder, entry, compressed, sealed, place, io } = fetching;
  const artifact = 'heapDump';
  const dumpPath = compressed === true ? undefined : join(folder, 'heap.hprof');
  const framesPath = compressed === true && sealed ? join(folder, 'heap.hprof.zst') : undefined;
  const path = dumpPath ?? framesPath ?? join(folder, 'heap.hprof.zst');
  const made = dumpPath ?? framesPath;
  const storedPath = join(folder, fileNameOf(artifact, stored.objectKey));
  if (made !== undefined && (await isDone(made, storedPath))) return alreadyThere(artifact, made);
  const parts = await readPartChecksums(place.objects, entry);
  const brought = await bring(fetching, stored, parts);
  const bar = new ProgressBar('verifying', stored.bytes, io);
  try {
    const unpacked = await unpackDump({
      storedPath: brought.path,
      storedBytes: stored.bytes,
      ...(sealed && { sealed: { ...sealed, stored } }),
      dumpPath,
      framesPath,
      stop: io.stop,
      onProgress: (done) => bar.update(done),
    });
    const verdict = dumpVerdict({ entry, brought, unpacked, path });
    // What failed stays beside it, for a second look.
    if (made !== undefined && verdict.holds) await rm(brought.path);
    return verdict;
  } finally {
    bar.end();
  }
}

/** What did not hold is beside what was made of it, and is made and judged anew. */
async function isDone(path: string, storedPath: string): Promise<boolean> {
  return !(await fileMissing(path)) && (await fileMissing(storedPath));
}

function alreadyThere(artifact: Artifact, path: string): FileVerdict {
  return { artifact, path, holds: true, text: 'is there already, and was left as it is' };
}

function checksumWords(checksum: Downloaded['checksum']): string {
  return checksum === 'matches' ? 'its checksum is right' : 'the index has no checksum of it';
}
