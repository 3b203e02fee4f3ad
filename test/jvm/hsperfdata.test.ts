import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { jvmSummary, parsePerfData } from '../../lib/jvm/hsperfdata.ts';
import { collectorsUnderTest, fixture } from './fixtures.ts';
import { perfData } from './perf-data-writer.ts';

const mebibyte = 1024 * 1024;

function capturedCounters(name: string): [string, number | string][] {
  return fixture(name)
    .trimEnd()
    .split('\n')
    .map((line): [string, number | string] => {
      const [key = '', value = ''] = line.split(' = ');
      return [key, JSON.parse(value) as number | string];
    });
}

describe('parsePerfData', () => {
  it.each([true, false])('reads longs and texts, little-endian %s', (littleEndian) => {
    const counters: [string, number | string][] = [
      ['sun.gc.a', 5],
      ['long', 2 ** 40],
      ['negative', -1],
      ['text', 'grüß'],
      ['empty', ''],
    ];

    expect(parsePerfData(perfData(counters, { littleEndian }))).toEqual(new Map(counters));
  });

  it.each([
    ['too short a file', new Uint8Array(31)],
    ['another magic', new Uint8Array(32_768)],
    ['another format version', perfData([], { version: 1 })],
    ['counters not released yet', perfData([['a', 1]], { accessible: false })],
  ])('has no answer for %s', (_, bytes) => {
    expect(parsePerfData(bytes)).toBeUndefined();
  });

  it('keeps the entries before the one that does not fit', () => {
    const bytes = perfData([
      ['first', 1],
      ['second', 2],
    ]);

    expect(parsePerfData(bytes.subarray(0, bytes.length - 1))).toEqual(new Map([['first', 1]]));
  });

  it('answers arbitrary changes without a throw', () => {
    const bytes = perfData(capturedCounters('jdk17-G1-counters.txt'));
    const change = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 20 }), fc.nat(bytes.length), (changes, length) => {
        const changed = Uint8Array.from(bytes);
        for (const [at, value] of changes) changed[at] = value;
        jvmSummary(parsePerfData(changed.subarray(0, length)) ?? new Map());
      }),
      { numRuns: 500 },
    );
  });
});

describe('jvmSummary', () => {
  it.each(
    [17, 25].flatMap((jdk) =>
      collectorsUnderTest.map(([file, name]) => [jdk, file, name] as const),
    ),
  )('knows a JVM of JDK %i with %s', (jdkMajor, file, collector) => {
    const captured = perfData(capturedCounters(`jdk${jdkMajor}-${file}-counters.txt`));

    const summary = jvmSummary(parsePerfData(captured) ?? new Map());

    expect(summary).toMatchObject({ jdkMajor, collector, vmName: 'OpenJDK 64-Bit Server VM' });
    expect(summary.jdkVersion).toMatch(new RegExp(`^${jdkMajor}\\.0\\.\\d+$`));
    expect(summary.vmVersion).toContain(summary.jdkVersion);
    // JDK 17's G1 adds 8 bytes for each space, so that none has a size of 0.
    expect(Math.abs((summary.heapMaxBytes ?? 0) - 128 * mebibyte)).toBeLessThanOrEqual(32);
    expect(summary.heapCommittedBytes).toBeGreaterThan(0);
    expect(summary.heapUsedBytes).toBeLessThanOrEqual(128 * mebibyte);
    expect(summary.gcCount).toBeGreaterThanOrEqual(1);
    expect(summary.gcSeconds).toBeGreaterThan(0);
    expect(summary.gcSeconds).toBeLessThan(10);
  });

  it('leaves out what the counters do not hold', () => {
    expect(jvmSummary(new Map())).toEqual({});
    expect(jvmSummary(new Map<string, number | string>([['sun.gc.collector.0.time', 5]]))).toEqual(
      {},
    );
  });
});
