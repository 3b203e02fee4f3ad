import { minPartBytes } from './ticket.ts';

/** Parts that belong together by their numbers: `[firstPartNumber, firstPartNumber + partCount)`. */
export interface PartRange {
  readonly firstPartNumber: number;
  readonly partCount: number;
}

/** A part is held in memory until it is stored, and two are under way at once. */
export const maxPartBytes = 64 * 1024 * 1024;
/** So many parts at a range's end may grow to the maximum: for a stream that is larger than was thought. */
const growingPartCount = 16;
const doublingPartCount = 4;

/**
 * Size at which part `index` (0-based) of a range is sent. All have the first size where the range's numbers do
 * for what is expected, so that a kill loses little; otherwise only the first eighth, and the others the
 * smallest power of two in MiB that suffices. The last parts of a range grow up to 64 MiB.
 */
export function partBytesAt(
  index: number,
  { partCount, firstBytes, expectedBytes }: PartSizes,
): number {
  const plain = plainPartBytes(index, { partCount, firstBytes, expectedBytes });
  const step = index - firstGrowingIndex(partCount);
  if (step < 0) return plain;
  return Math.min(maxPartBytes, plain * 2 ** (1 + Math.floor(step / doublingPartCount)));
}

/** From this part on a range runs short of numbers, and its parts grow. */
export function firstGrowingIndex(partCount: number): number {
  return partCount - Math.min(growingPartCount, Math.floor(partCount / 2));
}

export interface PartSizes {
  readonly partCount: number;
  /** Of the first parts, at least 5 MiB where parts follow. */
  readonly firstBytes: number;
  readonly expectedBytes: number;
}

function plainPartBytes(index: number, sizes: PartSizes): number {
  const { partCount, firstBytes } = sizes;
  const firstCount = Math.floor(partCount / 8);
  if (index < firstCount) return firstBytes;
  return largePartBytes(sizes) ?? maxPartBytes;
}

/** Size of the parts behind the first eighth; `undefined` when even the largest do not hold the dump. */
function largePartBytes({ partCount, firstBytes, expectedBytes }: PartSizes): number | undefined {
  const firstCount = Math.floor(partCount / 8);
  const restBytes = expectedBytes - firstCount * firstBytes;
  const sizes = [firstBytes, ...[8, 16, 32, 64].map((mebibytes) => mebibytes * 1024 * 1024)];
  return sizes.find(
    (bytes) => bytes >= firstBytes && (partCount - firstCount) * bytes >= restBytes,
  );
}

/** Whether parts by these sizes hold what is expected. */
export function partsSuffice(sizes: PartSizes): boolean {
  return largePartBytes(sizes) !== undefined;
}

/** More streams at once would need more memory than a dump thread saves time. */
export const maxFollowedSegmentCount = 4;
const basePartCount = 16;
const restPartCount = 8;
const minStreamedPartCount = 8;

/** Reserved part numbers of a dump that the JVM writes as base and segments, in the object's order. */
export interface StreamRanges {
  readonly base: PartRange;
  readonly segments: readonly PartRange[];
  /** What is read from the base behind so many segments, where they are not all known: all numbers that are left. */
  restAfter(segmentCount: number): PartRange;
  /** With so many part numbers in all: the last segment gets the new ones, and the rest behind it moves. */
  grownTo(partCount: number): StreamRanges;
}

/**
 * Shares the part numbers 1..partCount out: few for the base, equal shares for the segments, a few for a rest.
 * @returns `undefined` when there are too few: the dump is then one stream.
 */
export function streamRanges(partCount: number, segmentCount: number): StreamRanges | undefined {
  const count = Math.min(segmentCount, maxFollowedSegmentCount);
  const baseCount = Math.min(basePartCount, Math.floor(partCount / 4));
  const restCount = Math.min(restPartCount, Math.floor(partCount / 8));
  const share = Math.floor((partCount - baseCount - restCount) / count);
  if (partCount < minStreamedPartCount || count < 1 || share < 1) return undefined;
  return rangesOf({ partCount, baseCount, share, count, grownCount: 0 });
}

interface RangeShape {
  readonly partCount: number;
  readonly baseCount: number;
  readonly share: number;
  readonly count: number;
  /** What the last segment has beyond its share. */
  readonly grownCount: number;
}

function rangesOf(shape: RangeShape): StreamRanges {
  const { partCount, baseCount, share, count, grownCount } = shape;
  const start = (index: number): number =>
    1 + baseCount + index * share + (index === count ? grownCount : 0);
  return {
    base: { firstPartNumber: 1, partCount: baseCount },
    segments: Array.from({ length: count }, (_, index) => ({
      firstPartNumber: start(index),
      partCount: start(index + 1) - start(index),
    })),
    restAfter: (index) => ({
      firstPartNumber: start(index),
      partCount: partCount - start(index) + 1,
    }),
    grownTo: (grown) =>
      rangesOf({ ...shape, partCount: grown, grownCount: grownCount + grown - partCount }),
  };
}

/** Bytes of the skippable frame that brings a part of so many bytes to S3's minimum; 0 when it has them. */
export function paddingBytes(partBytes: number): number {
  if (partBytes >= minPartBytes) return 0;
  return Math.max(skippableHeadBytes, minPartBytes - partBytes);
}

const skippableHeadBytes = 8;
const skippableMagic = 0x184d2a50;

/**
 * A zstd frame that readers pass over, of zeros.
 * Source: RFC 8878, section 3.1.2.
 * @param bytes its whole size, 8 at least.
 */
export function skippableFrame(bytes: number): readonly Uint8Array[] {
  const head = Buffer.alloc(skippableHeadBytes);
  head.writeUInt32LE(skippableMagic, 0);
  head.writeUInt32LE(bytes - skippableHeadBytes, 4);
  return [head, zeros.subarray(0, bytes - skippableHeadBytes)];
}

/** Shared: pages that nobody writes to cost no memory. */
const zeros = Buffer.alloc(minPartBytes);
