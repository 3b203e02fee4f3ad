import { describe, expect, it } from '@jest/globals';
import type { GcCounters } from '../../lib/jvm/gc-counters.ts';
import { JvmMetrics, longestSecondsToLimit, type MemoryUse } from '../../lib/jvm/jvm-metrics.ts';

const parallel: GcCounters = {
  ...{ collector: 'Parallel', fullGcCount: 0, youngGcCount: 0, gcSeconds: 0 },
  ...{ oldUsedBytes: 10, oldMaxBytes: 100, heapUsedBytes: 20, heapMaxBytes: 200 },
  ...{ edenCapacityBytes: 50, lastCause: 'Allocation Failure' },
};
const g1: GcCounters = { ...parallel, collector: 'G1', cyclePauseCount: 0, oldMaxBytes: 200 };
/** It counts pauses, and no collections. */
const shenandoah: GcCounters = {
  ...{
    collector: 'Shenandoah',
    cyclePauseCount: 0,
    gcSeconds: 0,
    oldUsedBytes: 10,
    oldMaxBytes: 100,
  },
};

/** The readings of one JVM, a second apart. */
function readings(...moments: readonly (GcCounters | [GcCounters, MemoryUse])[]) {
  const metrics = new JvmMetrics();
  return moments.map((moment, second) => {
    const [counters, memory] = Array.isArray(moment) ? moment : [moment, undefined];
    return metrics.add(second * 1000, counters, memory);
  });
}
const afterGc = (...moments: readonly GcCounters[]) =>
  readings(...moments).map(({ values }) => values.heapAfterGcPercent);

describe('the heap after a collection', () => {
  it('is not known before a collection of the old generation was seen', () => {
    expect(afterGc(parallel, { ...parallel, youngGcCount: 5, oldUsedBytes: 60 })).toEqual([
      undefined,
      undefined,
    ]);
    // It may have been minutes ago.
    expect(afterGc({ ...parallel, fullGcCount: 3, oldUsedBytes: 60 })).toEqual([undefined]);
  });

  it('is what a full collection left, until the next one', () => {
    const full = { ...parallel, fullGcCount: 1, oldUsedBytes: 40 };

    expect(afterGc(parallel, full, { ...full, oldUsedBytes: 90 })).toEqual([undefined, 40, 40]);
  });

  it('is what a concurrent cycle or a mixed collection of G1 left', () => {
    const marked = { ...g1, cyclePauseCount: 2, oldUsedBytes: 150 };
    const mixed = { ...marked, oldUsedBytes: 80 };

    expect(afterGc(g1, marked, mixed, { ...mixed, oldUsedBytes: 120 })).toEqual([
      undefined,
      75,
      40,
      40,
    ]);
  });

  it('is the least of the last seconds for Shenandoah, whose counter is current', () => {
    const used = (oldUsedBytes: number, cyclePauseCount: number): GcCounters => ({
      ...{ ...shenandoah, oldUsedBytes, cyclePauseCount },
    });

    expect(afterGc(used(90, 0), used(30, 4), used(70, 8), used(95, 8))).toEqual([
      undefined,
      30,
      30,
      30,
    ]);
  });
});

describe('what is not known', () => {
  it('is absent and never 0', () => {
    const [reading] = readings({});

    expect(reading).toEqual({ epochMilliseconds: 0, values: {}, totals: {} });
  });

  it('is the use of a heap before its first collection, which the counters show as 0', () => {
    const [before, after] = readings(
      { ...parallel, heapUsedBytes: 0 },
      { ...parallel, gcSeconds: 0.1, heapUsedBytes: 50 },
    );

    expect(before?.values).not.toHaveProperty('heapUsedPercent');
    expect(after?.values.heapUsedPercent).toBe(25);
  });

  it('is the way to a limit that there is not', () => {
    const memory = { heldBytes: 5, workingSetBytes: 6 };
    const [reading] = readings([parallel, memory]);

    expect(reading?.values).not.toHaveProperty('cgroupUsedPercent');
    expect(reading?.values).not.toHaveProperty('secondsToLimit');
    expect(reading?.memory).toEqual(memory);
  });
});

describe('full collections', () => {
  it.each([
    ['System.gc()', 0],
    ['Heap Dump Initiated GC', 0],
    ['Diagnostic Command', 0],
    ['Allocation Failure', 1],
    ['Ergonomics', 1],
    ['Metadata GC Threshold', 1],
  ])('by %s count %i', (lastCause, count) => {
    const [, reading] = readings(parallel, { ...parallel, fullGcCount: 1, lastCause });

    expect(reading?.totals.fullGcCount).toBe(count);
  });
});

describe('the way to the memory limit', () => {
  const held = (heldBytes: number): [GcCounters, MemoryUse] => [
    parallel,
    { heldBytes, workingSetBytes: heldBytes, limitBytes: 1_000 },
  ];
  const last = (...values: readonly number[]) => readings(...values.map(held)).at(-1)!;
  const grown = (from: number, step: number, count = 31) =>
    Array.from({ length: count }, (_, second) => from + second * step);

  it('is told by steady growth near the limit', () => {
    const reading = last(...grown(840, 4));

    expect(reading.values.cgroupUsedPercent).toBe(96);
    expect(reading.values.secondsToLimit).toBeCloseTo(10);
    expect(reading.heldBytesPerSecond).toBeCloseTo(4);
  });

  it.each<[string, number[]]>([
    ['of one that does not grow', grown(950, 0)],
    ['of one that shrinks', grown(990, -1)],
    ['far from the limit', grown(100, 10)],
    ['of a single jump, as a heap that is touched at the start', [...grown(100, 0, 25), 900]],
  ])('is longer than counts %s', (_name, values) => {
    expect(last(...values).values.secondsToLimit).toBe(longestSecondsToLimit);
  });

  it('is not told by a few seconds', () => {
    expect(last(...grown(900, 5, 8)).values).not.toHaveProperty('secondsToLimit');
  });
});

it('estimates the allocation by the eden that young collections emptied', () => {
  const moments = Array.from({ length: 21 }, (_, second) => ({
    ...{ ...parallel, youngGcCount: second * 3 },
  }));

  expect(readings(...moments).at(-1)?.allocatedBytesPerSecond).toBeCloseTo(150);
});
