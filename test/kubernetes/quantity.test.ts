import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseQuantity } from '../../lib/kubernetes/quantity.ts';

describe('parseQuantity', () => {
  it.each([
    ['512Mi', 536_870_912],
    ['1G', 1_000_000_000],
    ['1.5Gi', 1_610_612_736],
    ['3Gi', 3_221_225_472],
    ['64Ti', 70_368_744_177_664],
    ['128974848', 128_974_848],
    ['129e6', 129_000_000],
    ['1E3', 1_000],
    ['2E', 'unsafe'],
    ['1.1G', 1_100_000_000],
    ['100m', 1],
    ['1500m', 2],
    ['0.1', 1],
    ['5.', 5],
    ['.5k', 500],
    ['+1k', 1_000],
    ['0', 0],
    [4_294_967_296, 4_294_967_296],
  ])('reads %p', (text, value) => {
    expect(parseQuantity(text)).toBe(value === 'unsafe' ? undefined : value);
  });

  it.each([
    '',
    'Mi',
    '1 Gi',
    '1KB',
    '1mi',
    '-1Gi',
    '1e',
    'NaN',
    '0x10',
    '1Gi1',
    '9Ei',
    null,
    {},
    -1,
  ])('refuses %p', (text) => {
    expect(parseQuantity(text)).toBeUndefined();
  });

  it('gives a whole number or nothing for any text', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.stringMatching(/^\d{1,8}\.?\d{0,3}[KMGTkmE]?i?$/)),
        (text) => {
          const value = parseQuantity(text);
          return value === undefined || (Number.isSafeInteger(value) && value >= 0);
        },
      ),
    );
  });
});
