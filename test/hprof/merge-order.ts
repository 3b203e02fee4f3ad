/**
 * JDK ≥ 22 writes the base `d.hprof` (names, classes, stack traces) and the heap into segment files
 * `d.hprof.p0` … `pN`, then appends the segments to the base in that order, removing each, and writes the
 * end record: final = base + p0 + … + pN + end record, byte for byte. A follower that holds the segments
 * open can finish the dump from whatever is there when the JVM dies. Before the merge each file may then end
 * inside a record, and has to be cut at its boundary or filled up before the next one follows; once the merge has
 * begun the segments are whole, and the base ends at any byte of one.
 * Source: DumpMerger in heapDumper.cpp of OpenJDK 22 and later; seen on 25 with SIGKILL.
 */
import { invalidHprof } from '../../lib/hprof/records.ts';

export interface MergeFiles {
  readonly baseBytes: number;
  /**
   * Offset in base of its first heap dump segment record (ChainState.firstSegmentOffset): where the merge
   * began. Absent as long as nothing was merged into it.
   */
  readonly baseFirstSegmentOffset?: number;
  /** Size of p0, p1, … by index: the whole file, also if the JVM has removed it meanwhile. */
  readonly segmentBytes: readonly number[];
}

/** `[startBytes, endBytes)` of the base, or of the segment with that index. */
export interface FileRange {
  readonly file: 'base' | number;
  readonly startBytes: number;
  readonly endBytes: number;
}

/**
 * The ranges that still follow, in order, behind the first `deliveredBytes` of the merged file. What was merged
 * already is read from the base, the rest from the segments. Without the end record; empty when all was
 * delivered.
 * @throws CaptureError InvalidHprof: sizes that contradict each other, such as a base that holds more merged
 *   bytes than the segments had (the end record, 9 bytes, may be there already), or more delivered than exists.
 */
export function remainingRanges(files: MergeFiles, deliveredBytes = 0): readonly FileRange[] {
  const { baseBytes, segmentBytes } = files;
  const mergeStart = files.baseFirstSegmentOffset ?? baseBytes;
  checkSizes([baseBytes, mergeStart, deliveredBytes, ...segmentBytes]);
  const mergedEnd = mergeStart + segmentBytes.reduce((sum, bytes) => sum + bytes, 0);
  if (mergeStart > baseBytes || deliveredBytes > Math.max(mergedEnd, baseBytes)) {
    throw invalidHprof(
      `${deliveredBytes} bytes delivered and the merge begun at ${mergeStart} of a base of ${baseBytes} bytes and segments up to ${mergedEnd}`,
    );
  }
  if (baseBytes > mergedEnd + endRecordBytes) {
    throw invalidHprof(
      `the base has ${baseBytes} bytes, but with all segments the dump ends at ${mergedEnd}`,
    );
  }
  const ranges: FileRange[] = [];
  const baseEnd = Math.min(baseBytes, mergedEnd);
  if (deliveredBytes < baseEnd) {
    ranges.push({ file: 'base', startBytes: deliveredBytes, endBytes: baseEnd });
  }
  let offset = mergeStart;
  segmentBytes.forEach((bytes, index) => {
    const startBytes = Math.max(0, baseEnd - offset, deliveredBytes - offset);
    if (startBytes < bytes) ranges.push({ file: index, startBytes, endBytes: bytes });
    offset += bytes;
  });
  return ranges;
}

const endRecordBytes = 9;

function checkSizes(sizes: readonly number[]): void {
  const wrong = sizes.find((bytes) => !Number.isSafeInteger(bytes) || bytes < 0);
  if (wrong !== undefined) throw invalidHprof(`a size of ${wrong} bytes; accepted are 0 to 2^53`);
}
