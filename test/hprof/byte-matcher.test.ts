import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ByteMatcher } from '../../lib/hprof/byte-matcher.ts';
import { pushInPieces } from './chunks.ts';

describe('ByteMatcher', () => {
  it('finds what a plain search finds, wherever the stream is cut', () => {
    // Few different bytes make near misses and overlaps frequent.
    const bytes = (maxLength: number) =>
      fc.array(fc.integer({ min: 0, max: 2 }), { maxLength }).map((list) => Uint8Array.from(list));
    fc.assert(
      fc.property(bytes(60), bytes(6), fc.array(fc.nat(60)), (data, needle, cuts) => {
        const matcher = new ByteMatcher(needle);

        pushInPieces(matcher, data, cuts);

        expect(matcher.found).toBe(Buffer.from(data).includes(Buffer.from(needle)));
      }),
      { numRuns: 2_000 },
    );
  });

  it('finds a needle that comes byte by byte', () => {
    const matcher = new ByteMatcher(new TextEncoder().encode('marker'));

    for (const byte of new TextEncoder().encode('a mamarker here')) {
      matcher.push(Uint8Array.of(byte));
    }

    expect(matcher.found).toBe(true);
  });
});
