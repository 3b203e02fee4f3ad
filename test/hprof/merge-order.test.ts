import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { remainingRanges, type FileRange } from './merge-order.ts';
import { errorOf } from './chunks.ts';

const head = 1_000;
const segments = [500, 0, 300, 200];
const merged = head + 1_000;

/** The merged file's offsets as [start, end) of the file they are read from. */
function bytesOf(ranges: readonly FileRange[]): number {
  return ranges.reduce((sum, range) => sum + range.endBytes - range.startBytes, 0);
}

describe('remainingRanges', () => {
  it('gives base and segments in order before the merge', () => {
    expect(remainingRanges({ baseBytes: head, segmentBytes: segments })).toEqual([
      { file: 'base', startBytes: 0, endBytes: 1_000 },
      { file: 0, startBytes: 0, endBytes: 500 },
      { file: 2, startBytes: 0, endBytes: 300 },
      { file: 3, startBytes: 0, endBytes: 200 },
    ]);
  });

  it('reads what was merged from the base, and goes on in the middle of the next segment', () => {
    const files = { baseBytes: 1_600, baseFirstSegmentOffset: head, segmentBytes: segments };

    expect(remainingRanges(files, 200)).toEqual([
      { file: 'base', startBytes: 200, endBytes: 1_600 },
      { file: 2, startBytes: 100, endBytes: 300 },
      { file: 3, startBytes: 0, endBytes: 200 },
    ]);
  });

  it('reads from segments what the follower had delivered of them before the merge', () => {
    const files = { baseBytes: 1_100, baseFirstSegmentOffset: head, segmentBytes: segments };

    expect(remainingRanges(files, 1_450)).toEqual([
      { file: 0, startBytes: 450, endBytes: 500 },
      { file: 2, startBytes: 0, endBytes: 300 },
      { file: 3, startBytes: 0, endBytes: 200 },
    ]);
  });

  it('leaves the end record to the caller', () => {
    const files = { baseBytes: merged + 9, baseFirstSegmentOffset: head, segmentBytes: segments };

    expect(remainingRanges(files)).toEqual([{ file: 'base', startBytes: 0, endBytes: merged }]);
    expect(remainingRanges(files, merged)).toEqual([]);
  });

  it('covers every byte once, whatever was merged and delivered', () => {
    const sizes = fc.array(fc.nat(10_000), { maxLength: 8 });

    fc.assert(
      fc.property(sizes, fc.nat(5_000), fc.nat(), fc.nat(), (segmentBytes, start, some, more) => {
        const total = segmentBytes.reduce((sum, bytes) => sum + bytes, 0);
        const baseBytes = start + (some % (total + 1));
        const delivered = more % (start + total + 1);

        const ranges = remainingRanges(
          { baseBytes, baseFirstSegmentOffset: start, segmentBytes },
          delivered,
        );

        expect(bytesOf(ranges)).toBe(start + total - delivered);
        let offset = delivered;
        for (const range of ranges) {
          const before = range.file === 'base' ? 0 : segmentBytes.slice(0, range.file);
          const fileOffset = before === 0 ? 0 : start + before.reduce((sum, size) => sum + size, 0);
          expect(fileOffset + range.startBytes).toBe(offset);
          expect(range.endBytes).toBeGreaterThan(range.startBytes);
          offset += range.endBytes - range.startBytes;
        }
      }),
    );
  });

  it.each([
    ['a base larger than all it can hold', { baseBytes: merged + 10 }, 0],
    ['a merge that begins behind the base', { baseBytes: head - 1 }, 0],
    ['more delivered than there is', { baseBytes: merged }, merged + 1],
    ['a size that is none', { baseBytes: Number.NaN }, 0],
    ['a negative offset', { baseBytes: merged }, -1],
  ])('refuses %s', (_, { baseBytes }, delivered) => {
    const files = { baseBytes, baseFirstSegmentOffset: head, segmentBytes: segments };

    expect(errorOf(() => remainingRanges(files, delivered))).toMatchObject({
      code: 'InvalidHprof',
    });
  });
});
