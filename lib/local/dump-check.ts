import { zstdDecompressSync } from 'node:zlib';
import { PartChecksums, readPartChecksums } from '../capture/part-checksums.ts';
import type { ObjectStore } from '../capture/ports.ts';
import { ZstdFrames } from '../capture/zstd-frames.ts';
import type { IndexEntry } from '../dump-index/index-entry.ts';
import { CaptureError } from '../errors.ts';
import { ByteMatcher } from '../hprof/byte-matcher.ts';
import { HeapScan, type ScanResult } from '../hprof/scan.ts';

const rangeBytes = 8 * 1024 * 1024;
/** Of a ticket's largest blocks, and of the zeros that a salvage appends. */
const maxBlockBytes = 64 * 1024 * 1024;

/** What a stored dump turned out to be, read back whole from the bucket. */
export interface DumpCheck {
  /** `ended`: an unbroken record chain with the end record and nothing after it. */
  chain: 'ended' | 'broken';
  rawBytes: number;
  classCount: number;
  instanceCount: number;
  markerInstances: number;
  markerTextFound: boolean;
  /** The stored bytes have the checksum that the index says of the whole, and each part of them the manifest's. */
  checksumMatches: boolean;
  scan: ScanResult;
}

/**
 * Reads a stored heap dump back by ranges, decompresses it frame by frame, and looks at every record of it.
 * Memory is bounded by a range and a frame, whatever the dump's size.
 * @throws CaptureError InvalidHprof, ObjectStoreUnavailable; InvalidIndexEntry when the entry has no dump.
 */
export async function checkStoredDump(
  objects: ObjectStore,
  entry: IndexEntry,
  marker: { markerClass: string; markerText: string },
): Promise<DumpCheck> {
  const dump = entry.objects.heapDump;
  if (dump === undefined) {
    throw new CaptureError('InvalidIndexEntry', `capture ${entry.captureId} has no heap dump`);
  }
  const scan = new HeapScan();
  const text = new ByteMatcher(Buffer.from(marker.markerText, 'latin1'));
  const checksum = new PartChecksums((await readPartChecksums(objects, entry)) ?? []);
  const frames = new ZstdFrames();
  let rawBytes = 0;
  for (let start = 0; start < dump.compressedBytes; start += rangeBytes) {
    const end = Math.min(start + rangeBytes, dump.compressedBytes) - 1;
    const range = await objects.getObject(dump.objectKey, {
      maxBytes: rangeBytes,
      range: { start, end },
    });
    if (range === undefined) {
      throw new CaptureError('ObjectStoreUnavailable', `${dump.objectKey} is not there`);
    }
    checksum.push(range);
    for (const frame of frames.push(range)) {
      const raw = zstdDecompressSync(frame, { maxOutputLength: maxBlockBytes });
      rawBytes += raw.length;
      scan.push(raw);
      text.push(raw);
    }
  }
  const result = scan.finish();
  return {
    chain: result.chain.ended && frames.openBytes === 0 ? 'ended' : 'broken',
    rawBytes,
    classCount: result.classCount,
    instanceCount: result.instanceCount,
    markerInstances: result.classNamed(marker.markerClass).instanceCount,
    markerTextFound: text.found,
    checksumMatches: checksum.matches,
    scan: result,
  };
}
