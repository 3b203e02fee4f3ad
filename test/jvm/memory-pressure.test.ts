import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  directMaxBytesOf,
  judgePressure,
  pressures,
  type MemoryNumbers,
  type Pressure,
} from '../../lib/jvm/memory-pressure.ts';

const MiB = 1024 * 1024;

/** Numbers in MiB, so that a row can be read. */
function mebibytes(numbers: Record<string, number>): MemoryNumbers {
  return Object.fromEntries(
    Object.entries(numbers).map(([name, value]) => [`${name}Bytes`, value * MiB]),
  );
}

const healthy = { heapUsed: 100, heapCommitted: 300, heapMax: 512, offHeap: 120 };

describe('judgePressure', () => {
  it.each<[string, Record<string, number>, Pressure]>([
    ['of a heap that is nearly full', { ...healthy, heapUsed: 500 }, 'heap'],
    [
      'of a heap that is full of garbage only',
      { ...healthy, heapUsed: 500, heapUsedAfterGc: 90 },
      'unknown',
    ],
    [
      'of a heap that is full, whatever lies beside it',
      { ...healthy, heapUsed: 500, offHeap: 4_000, containerUsed: 4_090, containerLimit: 4_096 },
      'heap',
    ],
    [
      'of direct buffers at their own limit',
      { ...healthy, direct: 115, directMax: 128 },
      'offHeap',
    ],
    ['of direct buffers at the limit that the heap gives', { ...healthy, direct: 500 }, 'offHeap'],
    ['of direct buffers that have room', { ...healthy, direct: 200 }, 'unknown'],
    [
      'of a container that is full of what is not heap',
      { ...healthy, offHeap: 700, containerUsed: 1_000, containerLimit: 1_024 },
      'offHeap',
    ],
    [
      'of a container whose rest beside the heap is used up',
      {
        ...healthy,
        ...{ heapCommitted: 512, offHeap: 200, containerUsed: 660, containerLimit: 700 },
      },
      'offHeap',
    ],
    [
      'of a container that is smaller than its heap may grow',
      { ...healthy, heapCommitted: 380, heapUsed: 370, containerUsed: 490, containerLimit: 500 },
      'heap',
    ],
    [
      'of a container with room, however much is not heap',
      { ...healthy, offHeap: 2_000, containerUsed: 2_300, containerLimit: 4_096 },
      'unknown',
    ],
    ['without a limit, of much more than the heap', { ...healthy, offHeap: 900 }, 'offHeap'],
    ['without a limit, of an ordinary JVM', healthy, 'unknown'],
    ['of a heap alone that is not full', { heapUsed: 100, heapMax: 512 }, 'unknown'],
    ['of nothing that is known', {}, 'unknown'],
  ])('%s: %j is %s', (_what, numbers, expected) => {
    expect(judgePressure(mebibytes(numbers)).pressure).toBe(expected);
  });

  it('answers with one of its words and the numbers that decided, whatever it is given', () => {
    const bytes = fc.option(fc.maxSafeNat(), { nil: undefined });
    const numbers = fc.record(
      {
        ...{ heapUsedBytes: bytes, heapUsedAfterGcBytes: bytes, heapCommittedBytes: bytes },
        ...{ heapMaxBytes: bytes, offHeapBytes: bytes, directBytes: bytes, directMaxBytes: bytes },
        ...{ containerUsedBytes: bytes, containerLimitBytes: bytes },
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(numbers, (some) => {
        const { pressure, explanation } = judgePressure(some as MemoryNumbers);

        expect(pressures).toContain(pressure);
        expect(explanation.length).toBeLessThanOrEqual(300);
        expect(explanation).not.toMatch(/undefined|NaN/);
      }),
    );
  });
});

describe('directMaxBytesOf', () => {
  it.each([
    ['-XX:MaxDirectMemorySize=64m', 64 * MiB],
    ['-Xmx1g -XX:MaxDirectMemorySize=1G -XX:MaxDirectMemorySize=3g', 3 * 1024 * MiB],
    ['-XX:MaxDirectMemorySize=4294967296', 4_294_967_296],
    ['-XX:MaxDirectMemorySize=0', undefined],
    ['-Xmx64m', undefined],
  ])('of %j is %s', (options, expected) => {
    expect(directMaxBytesOf(options)).toBe(expected);
  });
});
