import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { crossedLimits } from '../../lib/gc-log/gc-limits.ts';
import { GcLogScan, maxKeptEventCount } from '../../lib/gc-log/gc-log-scan.ts';
import type { GcStatistics } from '../../lib/gc-log/gc-statistics.ts';
import { PauseHistogram } from '../../lib/gc-log/pause-histogram.ts';
import { fixture, mebi } from './read-log.ts';

interface LoggedPause {
  at: number;
  ms?: number;
  type?: string;
  cause?: string;
  after?: number;
}

const pause = ({
  at,
  ms = 10,
  type = 'Full',
  cause = 'Ergonomics',
  after = 90,
}: LoggedPause): string =>
  `[${at.toFixed(3)}s][info][gc] GC(1) Pause ${type} (${cause}) 95M->${after}M(100M) ${ms.toFixed(3)}ms\n`;

function scanned(log: string, options: Partial<ConstructorParameters<typeof GcLogScan>[0]> = {}) {
  const scan = new GcLogScan({ limits: {}, ...options });
  scan.push(Buffer.from(log));
  scan.end();
  return scan.report({ epochMilliseconds: Date.UTC(2026, 10, 25, 18, 0, 0) });
}

const statisticsOf = (...pauses: LoggedPause[]): GcStatistics =>
  scanned(pauses.map(pause).join('')).statistics;

describe('the verdict', () => {
  it('is calm without a full collection', () => {
    expect(statisticsOf({ at: 1, type: 'Young' }, { at: 2, type: 'Young' }).verdict).toBe('calm');
  });

  it.each([
    'System.gc()',
    'Diagnostic Command',
    'Heap Dump Initiated GC',
    'Heap Inspection Initiated GC',
  ])('tells full collections by %s from a storm, however many', (cause) => {
    const asked = Array.from({ length: 50 }, (_, index) => ({ at: 1 + index, ms: 900, cause }));

    expect(statisticsOf(...asked)).toMatchObject({
      verdict: 'asked',
      askedCount: 50,
      pressureCount: 0,
    });
  });

  it('names metadata as what it is', () => {
    const cause = 'Metadata GC Threshold';
    expect(statisticsOf({ at: 1, cause }, { at: 2, cause }).verdict).toBe('metadata');
  });

  it('is pressure while full collections are few, far between, or short and of use', () => {
    expect(statisticsOf({ at: 1 }, { at: 9 }).verdict).toBe('pressure');
    expect(statisticsOf({ at: 1 }, { at: 62 }, { at: 123 }, { at: 184 }).verdict).toBe('pressure');
    expect(
      statisticsOf({ at: 1, after: 20 }, { at: 20, after: 20 }, { at: 40, after: 20 }).verdict,
    ).toBe('pressure');
  });

  it('is a storm when a third collection within a minute finds the heap full again', () => {
    expect(statisticsOf({ at: 1 }, { at: 20 }, { at: 40 })).toMatchObject({
      verdict: 'storm',
      storm: { collectionCount: 3 },
    });
  });

  it('is a storm when full collections take the time, whatever they free', () => {
    const busy = [10, 20, 30].map((at) => ({ at, ms: 4_000, after: 20 }));

    expect(statisticsOf(...busy).verdict).toBe('storm');
    expect(statisticsOf(...busy).storm?.timeShare).toBeCloseTo(12 / 24, 3);
  });

  it('is a storm at once, whatever the heap held while it still filled', () => {
    const filling = [1, 2, 3].map((at) => ({ at, after: 30 }));
    const storm = [10, 11, 12.5].map((at) => ({ at }));

    expect(statisticsOf(...filling, ...storm)).toMatchObject({
      verdict: 'storm',
      storm: { collectionCount: 3 },
    });
  });

  it('is no storm when a heap grows at the start', () => {
    expect(statisticsOf({ at: 0.1 }, { at: 0.2 }, { at: 0.3 }).verdict).toBe('pressure');
  });

  it('is no storm over a restart', () => {
    const life = '[0.001s][info][gc] Using Parallel\n' + pause({ at: 1 }) + pause({ at: 10 });
    expect(scanned(life + life).statistics.verdict).toBe('pressure');
  });

  it('is a storm of ZGC when cycles begin because threads already wait', () => {
    const log = [1, 5, 9]
      .map(
        (at) =>
          `[${at}.000s][info][gc] GC(${at}) Garbage Collection (Allocation Stall) 98M(98%)->95M(95%)\n` +
          `[${at}.100s][info][gc] Allocation Stall (main) 900.000ms\n`,
      )
      .join('');

    expect(scanned(log).statistics).toMatchObject({ verdict: 'storm', stalls: { count: 3 } });
  });
});

describe('the time of a storm', () => {
  it('counts threads that wait side by side once', () => {
    const stall = '[9.000s][info][gc] Allocation Stall (worker) 1000.000ms\n';
    const cycle = (at: number): string =>
      `[${at}.000s][info][gc] GC(1) Garbage Collection (Allocation Stall) 98M(98%)->50M(50%)\n`;
    const log = (stallCount: number): string =>
      cycle(1) + cycle(8) + stall.repeat(stallCount) + cycle(11);

    expect(scanned(log(50)).statistics.verdict).toBe('pressure');
    expect(scanned(log(1).replace('1000.000ms', '7000.000ms')).statistics.storm?.timeShare).toBe(
      0.7,
    );
  });
});

describe('the numbers', () => {
  it('counts a full collection within a young one once in the time', () => {
    const { pauses, pausedShare } = statisticsOf(
      { at: 0.001, ms: 1, type: 'Young' },
      { at: 5, ms: 400 },
      { at: 5.1, ms: 600, type: 'Young' },
      { at: 10.001, ms: 1, type: 'Young' },
    );

    expect(pauses.count).toBe(4);
    expect(pauses.sumSeconds).toBeCloseTo(1.002, 6);
    expect(pausedShare).toBeCloseTo(0.602 / 10.001, 3);
  });

  it('gives quantiles within 1.1 % and the largest exactly', () => {
    const seconds = fc.double({ min: 1e-5, max: 1_000, noNaN: true });
    fc.assert(
      fc.property(
        fc.array(seconds, { minLength: 1 }),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (values, share) => {
          const histogram = new PauseHistogram();
          for (const value of values) histogram.add(value);
          const sorted = values.toSorted((one, other) => one - other);
          const exact = sorted[Math.ceil(share * sorted.length) - 1]!;

          expect(Math.abs(histogram.quantile(share) / exact - 1)).toBeLessThan(0.0111);
          expect(histogram.maxSeconds).toBe(sorted.at(-1));
        },
      ),
    );
  });

  it('gives the slope of the heap after whole collections', () => {
    const growing = [0, 100, 200, 300].map((at) => ({
      at: at + 1,
      after: 10 + at / 10,
      cause: 'System.gc()',
    }));
    const heap = statisticsOf(...growing).heapAfterFullGc;

    expect(heap?.slopeBytesPerHour).toBeCloseTo(360 * mebi, -1);
    expect(heap).toMatchObject({ lastBytes: 40 * mebi, capacityBytes: 100 * mebi, lastShare: 0.4 });
  });

  it('gives the fullest minute of young collections', () => {
    const young = [0, 100, 110, 120, 159, 161].map((at) => ({ at: at + 1, type: 'Young' }));
    expect(statisticsOf(...young).peakYoungPerMinute).toBe(4);
  });

  it('has no rate and no storm where lines carry no time', () => {
    const log = 'GC(1) Pause Full (Ergonomics) 95M->90M(100M) 900.000ms\n'.repeat(10);
    const report = scanned(log);

    expect(report.untimedCount).toBe(10);
    expect(report.statistics).toMatchObject({ verdict: 'pressure', pressureCount: 10 });
    expect(report.statistics.peakYoungPerMinute).toBeUndefined();
    expect(report.statistics.pausedShare).toBeUndefined();
  });

  it('takes a bounded number of causes', () => {
    const causes = Array.from({ length: 500 }, (_, index) => ({
      at: index,
      cause: `cause ${index}`,
    }));
    const { causes: listed } = statisticsOf(...causes);

    expect(listed).toHaveLength(65);
    expect(listed.find(({ cause }) => cause === 'other')?.count).toBe(436);
  });
});

describe('limits', () => {
  const statistics = statisticsOf(
    { at: 1, type: 'Young', after: 50 },
    { at: 2, ms: 2_000, after: 90 },
    { at: 30, cause: 'System.gc()', after: 89 },
    { at: 40, type: 'Young', after: 95 },
  );

  it.each([
    ['fullGc', { fullGcCount: 1 }, { fullGcCount: 2 }],
    ['youngPerMinute', { youngPerMinute: 2 }, { youngPerMinute: 3 }],
    ['pause', { pauseSeconds: 2 }, { pauseSeconds: 2.001 }],
    ['heapAfter', { heapAfterShare: 0.89 }, { heapAfterShare: 0.9 }],
  ])('%s is crossed by its own number and not below', (limit, crossed, within) => {
    expect(crossedLimits(statistics, crossed).map((it) => it.limit)).toEqual([limit]);
    expect(crossedLimits(statistics, within)).toEqual([]);
  });

  it('holds a storm against the log without being asked', () => {
    const storm = statisticsOf({ at: 1 }, { at: 20 }, { at: 40 });
    expect(crossedLimits(storm, {}).map(({ limit }) => limit)).toEqual(['storm']);
  });

  it('judges shares by the limit of the heap that a person names', () => {
    const log = pause({ at: 1, after: 90 });
    const limits = { heapAfterShare: 0.8 };

    expect(scanned(log, { limits }).crossed).toHaveLength(1);
    expect(scanned(log, { limits, maxHeapBytes: 200 * mebi }).crossed).toEqual([]);
  });
});

describe('withinSeconds', () => {
  const at = (time: string): string =>
    `[2026-11-25T${time}.000+0000][info][gc] GC(1) Pause Full (Ergonomics) 95M->90M(100M) 1.000ms\n`;

  it('judges what the date says is recent', () => {
    const log = at('17:54:59') + at('17:55:01') + at('17:59:00');
    expect(scanned(log, { withinSeconds: 300 }).statistics.pressureCount).toBe(2);
  });

  it('finds nothing recent in a log that has been silent', () => {
    expect(scanned(at('17:00:00'), { withinSeconds: 300 }).statistics.eventCount).toBe(0);
  });

  it('counts the silence of a log without dates from its last change', () => {
    const scan = new GcLogScan({ limits: {}, withinSeconds: 300 });
    scan.push(Buffer.from(pause({ at: 99 }) + pause({ at: 400 })));
    scan.end();
    const countAfter = (silentSeconds: number): number =>
      scan.report({ epochMilliseconds: silentSeconds * 1000, lastModifiedEpochMilliseconds: 0 })
        .statistics.eventCount;

    expect([0, 10, 299, 301].map(countAfter)).toEqual([1, 1, 1, 0]);
  });

  it.each(['jdk17-g1-details.log', 'jdk17-shenandoah.log', 'jdk25-serial.log', 'jdk25-zgc.log'])(
    'tells of %s the same as without it, when all is within',
    (name) => {
      const failed =
        '[9.000s][info][gc] GC(9) Pause Young (Normal) (G1 Evacuation Pause) (Evacuation Failure: Pinned) 9M->5M(20M) 1.000ms\n';
      const log = fixture(name).toString() + failed;

      expect(scanned(log, { withinSeconds: 1e12 }).statistics).toEqual(scanned(log).statistics);
    },
  );

  it('keeps a bounded number of events and says how many it dropped', () => {
    const line = pause({ at: 1, type: 'Young' });
    const report = scanned(line.repeat(maxKeptEventCount + 10), { withinSeconds: 300 });

    expect(report.droppedCount).toBe(10);
    expect(report.statistics.eventCount).toBe(maxKeptEventCount);
  });
});
