import { maxRecordBytes, zeroFrames } from './end-frames.ts';
import type { Progress } from './manifest.ts';
import { paddingBytes, skippableFrame } from './part-layout.ts';
import type { StoredPart } from './ports.ts';
import type { Fault, Upload } from './settle-dump.ts';
import { minPartBytes } from './ticket.ts';

/**
 * The parts that make a dump without a manifest. Each file of a dump of JDK ≥ 22 is a stream of its own, and where
 * others follow it, a record that was cut is filled by a part in between.
 */
export async function usableParts(
  upload: Upload,
  stored: readonly StoredPart[],
  progress: Progress | undefined,
): Promise<{ parts: StoredPart[]; notes: Fault[] }> {
  const sorted = stored.toSorted((one, other) => one.partNumber - other.partNumber);
  const starts = progress?.streams ?? [1];
  const parts: StoredPart[] = [];
  const notes: Fault[] = [];
  for (const [index, start] of starts.entries()) {
    const end = starts[index + 1] ?? Infinity;
    const found = usableOfStream(
      sorted.filter(({ partNumber }) => partNumber >= start && partNumber < end),
      start,
      progress,
    );
    if (found.length === 0 && index === 0) break;
    const previous = parts.at(-1);
    if (found.length > 0 && previous !== undefined) {
      const zeroBytes = missingBytes(previous, progress, notes);
      // The number behind a stream's last usable part is free, or another stream's.
      const partNumber = previous.partNumber + 1;
      if (zeroBytes > 0 && partNumber >= start) break;
      if (zeroBytes > 0) parts.push(await uploadFill(upload, partNumber, zeroBytes));
    }
    parts.push(...found);
    if ((parts.at(-1)?.bytes ?? 0) < minPartBytes) break;
  }
  return { parts, notes };
}

/** Zeros for the rest of a record, as a part that others may follow. */
function uploadFill(
  { objects, objectKey, uploadId }: Upload,
  partNumber: number,
  zeroBytes: number,
): Promise<StoredPart> {
  const frames = zeroFrames(zeroBytes);
  const padding = paddingBytes(frames.reduce((sum, frame) => sum + frame.byteLength, 0));
  const body = Buffer.concat([...frames, ...(padding > 0 ? skippableFrame(padding) : [])]);
  return objects.uploadPart(objectKey, uploadId, partNumber, body);
}

/**
 * The parts of one stream, from its first on. A missing part is passed over where the chain of records is whole
 * without it: parts end on a record boundary but for those that the agent announced, so only the records of that part
 * are lost. Without the agent's account it cannot be known, and the first gap is the end. The object cannot do
 * without part 1, which has the file's header. A part below the minimum can only be the last one of an object.
 */
function usableOfStream(
  sorted: readonly StoredPart[],
  start: number,
  progress: Progress | undefined,
): StoredPart[] {
  const found: StoredPart[] = [];
  for (const part of sorted) {
    const last = found.at(-1);
    if (last === undefined && start === 1 && part.partNumber !== 1) break;
    if (last !== undefined && last.bytes < minPartBytes) break;
    if (!canFollow(last?.partNumber ?? start - 1, part.partNumber, start, progress)) break;
    found.push(part);
  }
  return found;
}

/** @param start the stream's first number: a record that another stream left open is not continued in it. */
function canFollow(
  last: number,
  next: number,
  start: number,
  progress: Progress | undefined,
): boolean {
  if (next === last + 1) return true;
  if (progress === undefined) return false;
  const from = Math.max(last, start);
  return !progress.openParts.some((open) => open.partNumber >= from && open.partNumber < next);
}

/** What is missing of the record in which this part ends; by the agent's account, which precedes the part. */
export function missingBytes(
  last: StoredPart,
  progress: Progress | undefined,
  notes: Fault[],
): number {
  const open = progress?.openParts.find((part) => part.partNumber === last.partNumber);
  if (open === undefined) return 0;
  if (open.remainingBytes <= maxRecordBytes) return open.remainingBytes;
  notes.push({
    code: 'OpenPartImplausible',
    message: `progress says ${open.remainingBytes} bytes of a record are missing; accepted are at most ${maxRecordBytes}`,
  });
  return 0;
}
