import { createHash } from 'node:crypto';
import type { CaptureRecord } from '../claim/capture-record.ts';
import { objectKeysOf } from '../dump-index/object-keys.ts';
import type { IndexEntryInput } from '../dump-index/index-entry.ts';
import { endArtifacts, jvmArtifacts } from '../policy/policy.ts';
import type { Manifest } from './manifest.ts';
import type { ObjectStore } from './ports.ts';
import type { Fault } from './settle-dump.ts';

/** A class histogram of 100,000 classes has 10 MiB; larger evidence is judged by its size alone. */
const maxCheckedBytes = 16 * 1024 * 1024;

type StoredEvidence = IndexEntryInput['evidence'][number];

/**
 * The evidence that is really stored, in the order of collection, checked against the manifest where there
 * is one. What differs from the manifest is kept and shown with a fault: it is evidence all the same.
 * @throws CaptureError ObjectStoreUnavailable (retryable).
 */
export async function findEvidence(
  objects: ObjectStore,
  record: CaptureRecord,
  manifest: Manifest | undefined,
): Promise<{ evidence: StoredEvidence[]; faults: Fault[] }> {
  const evidence: StoredEvidence[] = [];
  const faults: Fault[] = [];
  // What an ended life leaves is not asked of a JVM that runs, and the other way round.
  const expected = record.termination === undefined ? jvmArtifacts : endArtifacts;
  for (const artifact of expected) {
    if (artifact === 'heapDump') continue;
    const objectKey = objectKeysOf(record).evidence(artifact);
    const head = await objects.headObject(objectKey);
    const claimed = manifest?.evidence.find((item) => item.artifact === artifact);
    if (head === undefined) {
      if (claimed !== undefined) {
        faults.push({ code: 'EvidenceMissing', message: `${artifact} is in the manifest only` });
      }
      continue;
    }
    const body =
      head.bytes <= maxCheckedBytes
        ? await objects.getObject(objectKey, { maxBytes: maxCheckedBytes })
        : undefined;
    const md5 = body === undefined ? undefined : createHash('md5').update(body).digest('hex');
    evidence.push({
      artifact,
      objectKey,
      bytes: head.bytes,
      ...(md5 === undefined ? {} : { md5 }),
    });
    if (claimed === undefined) continue;
    if (claimed.bytes !== head.bytes || (md5 !== undefined && md5 !== claimed.md5)) {
      const message = `${artifact} has ${head.bytes} bytes, the manifest says ${claimed.bytes}; size or checksum differ`;
      faults.push({ code: 'EvidenceMismatch', message });
    }
  }
  return { evidence, faults };
}
