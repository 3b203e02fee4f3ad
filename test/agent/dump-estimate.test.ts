import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DumpRates, expectedDump } from '../../lib/agent/dump-estimate.ts';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
const guess = { expectedBytes: 1_000 * MiB, basedOn: 'heapUsedBytes' } as const;

/** A dump that is read at 100 MiB/s, halved by compression, and sent at 25 MiB/s. */
function countsAt(seconds: number) {
  return {
    rawBytes: seconds * 100 * MiB,
    compressedBytes: seconds * 50 * MiB,
    sentBytes: seconds * 25 * MiB,
  };
}

describe('expectedDump', () => {
  it.each([
    [10 * GiB, 1_000, { expectedBytes: 1_400, basedOn: 'heapUsedBytes' }],
    [10 * GiB, 100 * GiB, { expectedBytes: 10 * GiB, basedOn: 'ticket' }],
    [10 * GiB, undefined, { expectedBytes: 10 * GiB, basedOn: 'ticket' }],
  ])('of a ticket of %i bytes and a heap of %p is %j', (ticketBytes, heapUsed, expected) => {
    expect(expectedDump(ticketBytes, heapUsed)).toEqual(expected);
  });
});

describe('DumpRates', () => {
  it('tells rates, and the time that the slower of reading and sending needs', () => {
    const rates = new DumpRates(guess, 0);
    for (let at = 500; at <= 4_000; at += 500) rates.note(countsAt(at / 1_000), at);

    expect(rates.estimate(countsAt(4), 4_000)).toEqual({
      ...guess,
      rawBytesPerSecond: 100 * MiB,
      sentBytesPerSecond: 25 * MiB,
      // 600 MiB are unread, 300 when compressed; 100 are compressed and unsent; all of it at 25 MiB/s.
      remainingSeconds: 16,
    });
  });

  it('forgets what was before the last 10 s', () => {
    const rates = new DumpRates(guess, 0);
    for (let at = 500; at <= 60_000; at += 500) {
      const moved = countsAt(Math.max(0, at - 50_000) / 1_000);
      rates.note(moved, at);
    }

    expect(rates.estimate(countsAt(10), 60_000).rawBytesPerSecond).toBe(100 * MiB);
  });

  it('says no time while nothing moves, and when the dump is larger than was expected', () => {
    const rates = new DumpRates(guess, 0);
    rates.note(countsAt(1), 1_000);

    expect(rates.estimate(countsAt(0), 5_000)).not.toHaveProperty('remainingSeconds');
    expect(rates.estimate(countsAt(11), 11_000)).not.toHaveProperty('remainingSeconds');
    expect(rates.estimate(countsAt(10), 10_000)).toHaveProperty('remainingSeconds');
  });

  it('answers whole numbers of at least 0, whatever it is told', () => {
    const size = fc.integer({ min: 0, max: 2 ** 45 });
    const step = fc.record({ rawBytes: size, compressedBytes: size, sentBytes: size, after: size });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), size, (steps, expectedBytes) => {
        const rates = new DumpRates({ expectedBytes, basedOn: 'ticket' }, 0);
        let at = 0;
        for (const { after, ...counts } of steps) {
          at += after % 5_000;
          rates.note(counts, at);
          for (const value of Object.values(rates.estimate(counts, at))) {
            if (typeof value !== 'number') continue;
            expect(Number.isInteger(value) && value >= 0).toBe(true);
          }
        }
      }),
    );
  });
});
