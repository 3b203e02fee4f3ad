import type { CaptureRecord } from '../claim/capture-record.ts';
import { objectKeysOf } from '../dump-index/object-keys.ts';
import type { IndexEntryInput } from '../dump-index/index-entry.ts';
import { compositeMd5 } from './composite-md5.ts';
import { endFrames, findEndFrame, maxEndFrameBytes } from './end-frames.ts';
import type { Manifest, Progress } from './manifest.ts';
import type { ObjectStore, StoredPart } from './ports.ts';
import { seekTableBytesOf } from './seek-table.ts';
import { maxPartCount, minPartBytes } from './ticket.ts';
import { missingBytes, usableParts } from './usable-parts.ts';

export interface Fault {
  code: string;
  message: string;
}

/** What became of the heap dump: the object that is stored, and what is wrong with it. */
export interface SettledDump {
  /** `none` also when no dump was asked for. */
  state: 'whole' | 'salvaged' | 'none';
  heapDump?: NonNullable<IndexEntryInput['heapDump']>;
  /** First the one that explains the state. */
  faults: readonly Fault[];
}

export interface Upload {
  objects: ObjectStore;
  objectKey: string;
  uploadId: string;
}

/** What the agent said, as far as it was believed. */
export interface AgentAccounts {
  manifest?: Manifest | undefined;
  progress?: Progress | undefined;
}

const none: SettledDump = { state: 'none', faults: [] };

/**
 * Turns the multipart upload of a capture into an object and verifies its end. Nothing that arrived is
 * deleted: parts that do not match stay out of the object only where S3 leaves no other way.
 * Safe to run again and twice at once: a completion whose reply was lost is recognized by the object.
 * @throws CaptureError ObjectStoreUnavailable (retryable).
 */
export async function settleDump(
  objects: ObjectStore,
  record: CaptureRecord,
  accounts: AgentAccounts,
): Promise<SettledDump> {
  const uploadId = record.started?.uploadId;
  if (uploadId === undefined) return none;
  const { heapDump: objectKey } = objectKeysOf(record);
  const upload: Upload = { objects, objectKey, uploadId };
  const stored = await objects.listParts(objectKey, uploadId);
  if (stored === undefined) return verifyObject(upload, accounts.manifest?.dump);
  const dump = accounts.manifest?.dump;
  if (stored.length === 0 && dump === undefined) {
    await objects.abortMultipartUpload(objectKey, uploadId);
    return none;
  }
  if (dump === undefined) {
    const usable = await usableParts(upload, stored, accounts.progress);
    return salvage(upload, stored, usable.parts, accounts, usable.notes);
  }
  const { matching, faults } = compareParts(stored, dump);
  if (matching.length < dump.parts.length) {
    return salvage(upload, stored, matching, accounts, faults);
  }
  await objects.completeMultipartUpload(objectKey, uploadId, matching);
  return withFaults(await verifyObject(upload, dump), faults);
}

function withFaults(settled: SettledDump, faults: readonly Fault[]): SettledDump {
  return { ...settled, faults: [...settled.faults, ...faults] };
}

type DumpAccount = NonNullable<Manifest['dump']>;

/** The stored parts that are, from the first on, what the manifest says; and what was found amiss. */
function compareParts(
  stored: readonly StoredPart[],
  dump: DumpAccount,
): { matching: StoredPart[]; faults: Fault[] } {
  const byNumber = new Map(stored.map((part) => [part.partNumber, part]));
  const faults: Fault[] = [];
  const matching: StoredPart[] = [];
  let lastNumber = 0;
  for (const [index, claimed] of dump.parts.entries()) {
    const part = byNumber.get(claimed.partNumber);
    const isLast = index === dump.parts.length - 1;
    const amiss =
      claimed.partNumber <= lastNumber
        ? `is listed after part ${lastNumber}`
        : part === undefined
          ? 'is not stored'
          : part.bytes !== claimed.bytes
            ? `has ${part.bytes} bytes, the manifest says ${claimed.bytes}`
            : plainETag(part) !== plainETag(claimed)
              ? 'has another checksum than the manifest says'
              : part.bytes < minPartBytes && !isLast
                ? `has ${part.bytes} bytes and is not the last; S3 accepts at least ${minPartBytes}`
                : undefined;
    if (amiss !== undefined || part === undefined) {
      faults.push({ code: 'PartsMismatch', message: `part ${claimed.partNumber} ${amiss ?? ''}` });
      return { matching, faults };
    }
    matching.push(part);
    lastNumber = part.partNumber;
  }
  // The object is made of the manifest's parts alone, so that others cannot spoil it; but they are odd.
  const extraCount = stored.length - matching.length;
  if (extraCount > 0) {
    faults.push({ code: 'PartsUnexpected', message: `${extraCount} parts are in no manifest` });
  }
  return { matching, faults };
}

/** S3 prints eTags in quotes, and some clients take them off. */
function plainETag({ eTag }: { eTag: string }): string {
  return eTag.replaceAll('"', '');
}

/** Completes what is usable, with the end of a dump appended where the agent did not get to send it. */
async function salvage(
  upload: Upload,
  stored: readonly StoredPart[],
  usable: StoredPart[],
  { manifest, progress }: AgentAccounts,
  faults: readonly Fault[],
): Promise<SettledDump> {
  const { objects, objectKey, uploadId } = upload;
  const last = usable.at(-1);
  if (last === undefined) {
    // The parts stay in the upload until the bucket's lifecycle rule drops it: some can be of use to a person.
    const fault = { code: 'FirstPartMissing', message: `${stored.length} parts, none usable` };
    return { state: 'none', faults: [fault, ...faults] };
  }
  const notes: Fault[] = [];
  const isAgentsLast = last.bytes < minPartBytes || last.partNumber === progress?.finalPartNumber;
  if (!isAgentsLast) {
    const { body } = endFrames(missingBytes(last, progress, notes));
    // Above all that is stored: no part that arrived is overwritten, whatever it is worth.
    const highest = stored.reduce((number, part) => Math.max(number, part.partNumber), 0);
    const partNumber = Math.min(highest + 1, maxPartCount);
    usable.push(await objects.uploadPart(objectKey, uploadId, partNumber, body));
  }
  await objects.completeMultipartUpload(objectKey, uploadId, usable);
  const verified = await verifyObject(upload, undefined);
  const fault = salvageFault(manifest, stored.length, usable.length, isAgentsLast);
  return { ...verified, faults: [...faults, fault, ...notes, ...verified.faults] };
}

function salvageFault(
  manifest: Manifest | undefined,
  storedCount: number,
  usedCount: number,
  isAgentsLast: boolean,
): Fault {
  const account = manifest?.dump === undefined ? 'no account of the dump' : 'another account';
  const end = isAgentsLast ? 'they end as the agent ended them' : 'the end record was appended';
  return {
    code: 'DumpSalvaged',
    message: `${account} came from the agent: ${storedCount} parts were stored, the object has ${usedCount}; ${end}`,
  };
}

/** The object is not the one that the manifest speaks of. */
const mismatches: ReadonlySet<string> = new Set(['ChecksumMismatch', 'SizeMismatch']);

/** Judges the stored object: its checksum and size by the manifest if there is one, its end by the end record. */
async function verifyObject(
  { objects, objectKey }: Upload,
  dump: DumpAccount | undefined,
): Promise<SettledDump> {
  const head = await objects.headObject(objectKey);
  if (head === undefined) {
    const message = 'the upload is no longer there, and no object either';
    return { state: 'none', faults: [{ code: 'UploadGone', message }] };
  }
  const endFrameBytes = await findObjectEnd(objects, objectKey, head.bytes, dump);
  const faults = [...faultsOfObject(head, endFrameBytes, dump)];
  const isAsSaid = faults.every(({ code }) => !mismatches.has(code));
  const heapDump = {
    objectKey,
    compressedBytes: head.bytes,
    partCount: partCountOf(head.eTag) ?? dump?.parts.length ?? 1,
    ...(endFrameBytes === undefined ? {} : { endFrameBytes }),
    ...(dump && isAsSaid && { compositeMd5: compositeMd5(dump.parts) }),
  };
  const state = dump?.endRecord === true && faults.length === 0 ? 'whole' : 'salvaged';
  return { state, heapDump, faults };
}

/** Size of the frame with the end record at an object's end, or before the seek table there. */
async function findObjectEnd(
  objects: ObjectStore,
  objectKey: string,
  objectBytes: number,
  dump: DumpAccount | undefined,
): Promise<number | undefined> {
  const read = (end: number, bytes: number): Promise<Uint8Array | undefined> => {
    const range = { start: Math.max(0, end - bytes), end: end - 1 };
    return objects.getObject(objectKey, { maxBytes: maxEndFrameBytes, range });
  };
  const tail = await read(objectBytes, maxEndFrameBytes);
  if (tail === undefined) return undefined;
  const tableBytes = seekTableBytesOf(tail);
  const dumpEnd = objectBytes - tableBytes;
  if (dumpEnd <= 0) return undefined;
  const wantedBytes = dump?.endFrameBytes ?? maxEndFrameBytes;
  const end = tableBytes === 0 ? tail.subarray(-wantedBytes) : await read(dumpEnd, wantedBytes);
  return end === undefined ? undefined : findEndFrame(end);
}

function* faultsOfObject(
  head: { bytes: number; eTag: string },
  endFrameBytes: number | undefined,
  dump: DumpAccount | undefined,
): Generator<Fault> {
  const checksumFault = dump && checksumFaultOf(head, dump);
  if (checksumFault !== undefined) yield { code: 'ChecksumMismatch', message: checksumFault };
  const { bytes } = head;
  if (dump !== undefined && dump.compressedBytes !== bytes) {
    const message = `the object has ${bytes} bytes, the manifest says ${dump.compressedBytes}`;
    yield { code: 'SizeMismatch', message };
  }
  if (endFrameBytes === undefined) {
    yield { code: 'EndRecordMissing', message: 'the object does not end in an end record' };
  }
  if (dump?.endRecord === false) {
    const message = `the JVM ended before its dump did; ${dump.appendedBytes} bytes were appended to make it parseable`;
    yield { code: 'DumpTruncated', message };
  }
}

/**
 * Holds the checksum of the whole against the parts' and against what S3 says of the object. Under SSE-KMS eTags are no
 * checksums, and differ from the parts' MD5s: then the whole is what S3 joined of parts that each had their eTag.
 */
function checksumFaultOf(head: { eTag: string }, dump: DumpAccount): string | undefined {
  const ofParts = compositeMd5(dump.parts);
  if (dump.compositeMd5 !== undefined && dump.compositeMd5 !== ofParts) {
    return `the manifest says ${dump.compositeMd5}, its parts' checksums make ${ofParts}`;
  }
  const eTagsAreMd5s = dump.parts.every((part) => plainETag(part) === part.md5);
  if (!eTagsAreMd5s || plainETag(head) === ofParts) return undefined;
  return `the object has the eTag ${plainETag(head)}, the manifest's parts make ${ofParts}`;
}

/** The eTag of an object that was made of parts ends in their number: `"…-12"`. */
function partCountOf(eTag: string): number | undefined {
  const [, count] = /-([0-9]{1,5})"?$/.exec(eTag) ?? [];
  return count === undefined ? undefined : Number(count);
}
