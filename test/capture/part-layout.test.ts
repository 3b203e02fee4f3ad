import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  maxPartBytes,
  paddingBytes,
  partBytesAt,
  partsSuffice,
  skippableFrame,
  streamRanges,
} from '../../lib/capture/part-layout.ts';
import { minPartBytes } from '../../lib/capture/ticket.ts';

const gibibyte = 1024 ** 3;

describe('partBytesAt', () => {
  const sizesOf = (partCount: number, expectedBytes: number): number[] =>
    Array.from({ length: partCount }, (_, index) =>
      partBytesAt(index, { partCount, firstBytes: minPartBytes, expectedBytes }),
    );

  it('keeps every part at the minimum where the numbers do for the dump, but for the spare ones', () => {
    const sizes = sizesOf(10 * 205 + 40, 10 * gibibyte);

    expect(new Set(sizes.slice(0, -16))).toEqual(new Set([minPartBytes]));
    expect(sizes.at(-1)).toBe(maxPartBytes);
  });

  it('never falls, begins at the minimum, and holds what is expected', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9_999 }),
        fc.integer({ min: 0, max: 700 * gibibyte }),
        (partCount, expectedBytes) => {
          const sizes = sizesOf(partCount, expectedBytes);
          const isAscending = sizes.every((bytes, index) => bytes >= (sizes[index - 1] ?? 0));
          const totalBytes = sizes.reduce((sum, bytes) => sum + bytes, 0);
          const suffices = partsSuffice({ partCount, firstBytes: minPartBytes, expectedBytes });
          expect(isAscending && Math.max(...sizes) <= maxPartBytes).toBe(true);
          expect(partCount < 8 || sizes[0] === minPartBytes).toBe(true);
          expect(!suffices || totalBytes >= expectedBytes).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('streamRanges', () => {
  it('gives every stream numbers of its own, in the order of the object', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 8, max: 9_999 }),
        fc.integer({ min: 1, max: 70 }),
        (partCount, segmentCount) => {
          const ranges = streamRanges(partCount, segmentCount);
          if (ranges === undefined) throw new Error('no ranges');
          const all = [ranges.base, ...ranges.segments, ranges.restAfter(ranges.segments.length)];
          let next = 1;
          for (const range of all) {
            expect(range.firstPartNumber).toBe(next);
            expect(range.partCount).toBeGreaterThan(0);
            next += range.partCount;
          }
          expect(next).toBe(partCount + 1);
          expect(ranges.restAfter(0).firstPartNumber).toBe(1 + ranges.base.partCount);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('grows by the last segment, whose rest then moves, and by nothing else', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 8, max: 5_000 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.integer({ min: 1, max: 1_000 }), { minLength: 1, maxLength: 4 }),
        (partCount, segmentCount, growths) => {
          const ranges = streamRanges(partCount, segmentCount)!;
          const total = growths.reduce((sum, growth) => sum + growth, 0);
          const grown = growths.reduce(
            ({ count, of }, growth) => ({ count: count + growth, of: of.grownTo(count + growth) }),
            { count: partCount, of: ranges },
          ).of;
          const [last, grownLast] = [ranges.segments.at(-1)!, grown.segments.at(-1)!];
          const rest = ranges.restAfter(segmentCount);

          expect(grown.base).toEqual(ranges.base);
          expect(grown.segments.slice(0, -1)).toEqual(ranges.segments.slice(0, -1));
          expect(grownLast).toEqual({ ...last, partCount: last.partCount + total });
          expect(grown.restAfter(segmentCount)).toEqual({
            ...rest,
            firstPartNumber: rest.firstPartNumber + total,
          });
          const early = ranges.restAfter(0);
          expect(grown.restAfter(0)).toEqual({ ...early, partCount: early.partCount + total });
        },
      ),
      { numRuns: 200 },
    );
  });

  it('is not there for a handful of numbers, or without segments', () => {
    expect(streamRanges(7, 1)).toBeUndefined();
    expect(streamRanges(100, 0)).toBeUndefined();
  });
});

describe('the frame that fills a part up', () => {
  it.each([0, 1, minPartBytes - 8, minPartBytes - 7, minPartBytes - 1])(
    'brings %i bytes to the minimum and no further than its own head',
    (partBytes) => {
      const padding = paddingBytes(partBytes);
      const frame = Buffer.concat([...skippableFrame(padding)]);

      expect(frame.length).toBe(padding);
      expect(partBytes + padding).toBeGreaterThanOrEqual(minPartBytes);
      expect(partBytes + padding).toBeLessThan(minPartBytes + 8);
      expect([frame.readUInt32LE(0), frame.readUInt32LE(4)]).toEqual([0x184d2a50, padding - 8]);
    },
  );

  it('is not made for a part that has its size', () => {
    expect(paddingBytes(minPartBytes)).toBe(0);
  });
});
