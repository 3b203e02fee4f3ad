import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { IdTable } from '../../lib/hprof/id-table.ts';

describe('IdTable', () => {
  it('numbers identifiers as a map would, however their halves repeat', () => {
    const half = fc.oneof(fc.nat(3), fc.constantFrom(0x8000_0000, 0xffff_ffff));
    fc.assert(
      fc.property(fc.array(fc.tuple(half, half), { maxLength: 200 }), (identifiers) => {
        const table = new IdTable(1_000);
        const model = new Map<string, number>();

        for (const [high, low] of identifiers) {
          const key = `${high}/${low}`;
          expect(table.indexOf(high, low)).toBe(model.get(key) ?? -1);
          if (!model.has(key)) model.set(key, model.size);
          expect(table.add(high, low)).toBe(model.get(key));
        }

        expect(table.count).toBe(model.size);
      }),
    );
  });

  it('tells thousands of identifiers apart that have one half in common', () => {
    const table = new IdTable(100_000);
    const count = 20_000;

    for (let number = 0; number < count; number += 1) {
      expect(table.add(number, 8)).toBe(2 * number);
      expect(table.add(7_777_777, number * 8 + 16)).toBe(2 * number + 1);
    }

    for (let number = 0; number < count; number += 1) {
      expect(table.indexOf(number, 8)).toBe(2 * number);
    }
  });

  it('is full at its bound, and still knows what it has', () => {
    const table = new IdTable(2);
    table.add(0, 8);
    table.add(0, 16);

    expect(table.add(0, 24)).toBe(-1);
    expect(table.add(0, 16)).toBe(1);
  });

  it('names an identifier as the JVM prints it', () => {
    const table = new IdTable(2);

    expect(table.nameOf(table.add(0, 0xab))).toBe('0xab');
    expect(table.nameOf(table.add(0x7f, 0xab))).toBe('0x7f000000ab');
  });
});
