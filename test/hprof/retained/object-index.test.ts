import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ObjectIds } from '../../../lib/hprof/retained/object-index.ts';

const half = fc.oneof(fc.nat(40), fc.integer({ min: 0, max: 0xffff_ffff }));

describe('ObjectIndex', () => {
  it('numbers objects by address and finds each, and no other', () => {
    const identifiers = fc.array(fc.tuple(fc.constantFrom(0, 1, 7, 0x7f00), half), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(identifiers, fc.tuple(fc.nat(8), half), (list, [otherHigh, otherLow]) => {
        const ids = new ObjectIds(1_000);
        for (const [high, low] of list) ids.object(high, low);
        const index = ids.toIndex();

        const sorted = [...new Set(list.map(([high, low]) => high * 2 ** 32 + low))].sort(
          (one, other) => one - other,
        );
        expect(index?.count).toBe(sorted.length);
        expect(index?.repeatCount).toBe(list.length - sorted.length);
        for (const [number, value] of sorted.entries()) {
          const [high, low] = [Math.floor(value / 2 ** 32), value % 2 ** 32];
          expect(index?.find(high, low)).toBe(number);
          expect(index?.lowOf(number)).toBe(low);
          expect(index?.highOf(number)).toBe(high);
        }
        const other = sorted.indexOf(otherHigh * 2 ** 32 + otherLow);
        expect(index?.find(otherHigh, otherLow)).toBe(other);
      }),
    );
  });

  it('says when there are more objects than it may hold, or they are spread too far', () => {
    const ids = new ObjectIds(2);
    for (const low of [8, 16, 24]) ids.object(0, low);
    const spread = new ObjectIds(100_000);
    for (let high = 0; high < 70_000; high += 1) spread.object(high, 8);

    expect(ids.overflowed).toBe(true);
    expect(spread.toIndex()).toBeUndefined();
  });
});
