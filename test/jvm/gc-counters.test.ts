import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { GcCounterReader, type GcCounters } from '../../lib/jvm/gc-counters.ts';
import { collectorsUnderTest, fixture } from './fixtures.ts';
import { perfData } from './perf-data-writer.ts';

type Counters = readonly (readonly [string, number | string])[];

const captured = (name: string): Counters =>
  fixture(name)
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [key = '', value = ''] = line.split(' = ');
      return [key, JSON.parse(value) as number | string] as const;
    });
const changed = (counters: Counters, changes: Record<string, number | string>): Counters =>
  counters.map(([name, value]) => [name, changes[name] ?? value]);

function readOf(counters: Counters): GcCounters {
  const bytes = perfData(counters);
  return GcCounterReader.of(bytes)?.read(bytes) ?? {};
}

const mebibyte = 1024 * 1024;

describe('GcCounterReader', () => {
  it.each(
    [17, 25].flatMap((jdk) =>
      collectorsUnderTest.map(([file, name]) => [jdk, name, file] as const),
    ),
  )('reads what JDK %i counts with %s, and leaves out what it does not', (jdk, collector, file) => {
    const counters = readOf(captured(`jdk${jdk}-${file}-counters.txt`));

    expect(counters).toMatchObject({
      collector,
      gcSeconds: expect.any(Number),
      oldUsedBytes: expect.any(Number),
      heapUsedBytes: expect.any(Number),
    });
    // Serial and Parallel keep a third of the heap for the young generation.
    const split = collector === 'Serial' || collector === 'Parallel';
    const oldMebibytes = Math.round((counters.oldMaxBytes ?? 0) / mebibyte);
    expect(oldMebibytes).toBeGreaterThanOrEqual(split ? 85 : 128);
    expect(oldMebibytes).toBeLessThanOrEqual(split ? 86 : 128);
    const counts = collector !== 'ZGC' && collector !== 'Shenandoah';
    expect(counters.fullGcCount).toBe(counts ? 1 : undefined);
    expect('youngGcCount' in counters).toBe(counts);
    expect('cyclePauseCount' in counters).toBe(!split);
  });

  const jdk8: [string, string, string, boolean][] = [
    ['Serial', 'Copy', 'MSC', true],
    ['Parallel', 'PSScavenge', 'PSParallelCompact', true],
    ['G1', 'G1 incremental collections', 'G1 stop-the-world full collections', true],
    ['CMS, which counts phases', 'PCopy', 'CMS', false],
  ];
  it.each(jdk8)('knows the names of JDK 8: %s', (_name, young, old, full) => {
    const counters = readOf(
      changed(captured('jdk17-Parallel-counters.txt'), {
        'sun.gc.collector.0.name': young,
        'sun.gc.collector.1.name': old,
        'sun.gc.collector.0.invocations': 7,
        'sun.gc.collector.1.invocations': 3,
      }),
    );

    expect(counters.youngGcCount).toBe(7);
    expect(counters.fullGcCount).toBe(full ? 3 : undefined);
  });

  it('goes on with fresh bytes, and not with counters that have moved', () => {
    const first = captured('jdk17-G1-counters.txt');
    const reader = GcCounterReader.of(perfData(first))!;

    const later = changed(first, { 'sun.gc.collector.1.invocations': 5 });
    expect(reader.read(perfData(later))?.fullGcCount).toBe(5);
    expect(reader.read(perfData([['new', 1], ...later]))).toBeUndefined();
    expect(reader.read(new Uint8Array())).toBeUndefined();
  });

  it('has no answer for counters that a starting JVM has not released yet', () => {
    expect(GcCounterReader.of(perfData([], { accessible: false }))).toBeUndefined();
  });

  it('never throws, nor gives anything but numbers, whatever the bytes are', () => {
    const good = perfData(captured('jdk25-G1-counters.txt'));
    const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 20 }), fc.nat(good.length), (changes, length) => {
        const bytes = Uint8Array.from(good);
        for (const [at, value] of changes) bytes[at] = value;
        const reader = GcCounterReader.of(bytes.subarray(0, length)) ?? GcCounterReader.of(good)!;
        const counters = reader.read(bytes) ?? {};

        for (const [name, value] of Object.entries(counters)) {
          if (name === 'collector' || name === 'lastCause') continue;
          expect(value).toBeGreaterThanOrEqual(0);
        }
      }),
      { numRuns: 300 },
    );
  });
});
