import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { policySchema } from '../../lib/policy/policy.ts';
import {
  evaluateThresholds,
  initialThresholdState,
  maxGapSeconds,
  maxWindowSeconds,
  metrics,
  metricThresholdSchema,
  type FiredThreshold,
  type GcTotals,
  type Metric,
  type MetricSample,
  type MetricThreshold,
  type ThresholdState,
} from '../../lib/policy/thresholds.ts';
import { signalSchema } from '../../lib/signal/signal.ts';

interface Moment {
  at: number;
  values?: Partial<Record<Metric, number>>;
  totals?: GcTotals;
}

const sampleOf = ({ at, values = {}, totals }: Moment): MetricSample => ({
  epochMilliseconds: at * 1000,
  values,
  ...(totals && { totals }),
});

/** What fired, with the second of its sample. */
function run(thresholds: readonly MetricThreshold[], moments: readonly Moment[]) {
  let state: ThresholdState = initialThresholdState;
  const fired: (FiredThreshold & { at: number })[] = [];
  for (const moment of moments) {
    const answer = evaluateThresholds(thresholds, state, sampleOf(moment));
    state = answer.state;
    fired.push(...answer.fired.map((one) => ({ ...one, at: moment.at })));
  }
  return { state, fired };
}

const threshold = (input: unknown): MetricThreshold => metricThresholdSchema.parse(input);
const heapAbove90 = threshold({ metric: 'heapAfterGcPercent', above: 90, forSeconds: 10 });
const heap = (at: number, heapAfterGcPercent: number): Moment => ({
  at,
  values: { heapAfterGcPercent },
});
const secondsOf = ({ fired }: ReturnType<typeof run>) => fired.map(({ at }) => at);

describe('a threshold', () => {
  it.each<[string, Moment[], number[]]>([
    ['fires once it was passed for long enough', [heap(0, 91), heap(5, 95), heap(10, 92)], [10]],
    ['does not fire at the limit itself', [heap(0, 90), heap(60, 90)], []],
    ['begins anew after a value that is not beyond', [heap(0, 91), heap(5, 90), heap(10, 99)], []],
    ['fires once only while it stays', [heap(0, 91), heap(10, 91), heap(30, 91)], [10]],
    [
      'does not fire again for a value that swings about the limit',
      [heap(0, 91), heap(10, 91), heap(20, 85), heap(30, 91), heap(40, 91)],
      [10],
    ],
    [
      'fires again after the value came back to where it re-arms',
      [heap(0, 91), heap(10, 91), heap(20, 81), heap(30, 91), heap(40, 91)],
      [10, 40],
    ],
    [
      'takes nothing for known across a gap',
      [heap(0, 91), heap(maxGapSeconds + 1, 91), heap(maxGapSeconds + 11, 91)],
      [maxGapSeconds + 11],
    ],
    [
      'is neither fired nor re-armed by a sample without its metric',
      [heap(0, 91), { at: 5 }, heap(10, 91), { at: 15 }, heap(20, 91)],
      [10],
    ],
    ['does not take NaN for a value', [heap(0, NaN), heap(10, NaN), heap(20, Infinity)], []],
    ['is not moved by a late sample', [heap(0, 91), heap(10, 91), heap(9, 10), heap(20, 91)], [10]],
  ])('%s', (_name, moments, seconds) => {
    expect(secondsOf(run([heapAbove90], moments))).toEqual(seconds);
  });

  it('of the time that is left fires below', () => {
    const soon = threshold({ metric: 'secondsToLimit', below: 30 });
    const left = (at: number, secondsToLimit: number): Moment => ({
      at,
      values: { secondsToLimit },
    });

    expect(secondsOf(run([soon], [left(0, 30), left(1, 29), left(2, 44), left(3, 29)]))).toEqual([
      1,
    ]);
    expect(secondsOf(run([soon], [left(0, 29), left(1, 45), left(2, 29)]))).toEqual([0, 2]);
  });

  it('counts full collections within its window only', () => {
    const three = threshold({ metric: 'fullGcCount', above: 2, windowSeconds: 60 });
    const full = (at: number, fullGcCount: number): Moment => ({ at, totals: { fullGcCount } });

    expect(secondsOf(run([three], [full(0, 7), full(50, 8), full(100, 9), full(150, 10)]))).toEqual(
      [],
    );
    expect(secondsOf(run([three], [full(0, 7), full(30, 9), full(59, 10)]))).toEqual([59]);
  });

  it('reckons young collections and time in GC from totals', () => {
    const storm = threshold({ metric: 'gcTimePercent', above: 50, windowSeconds: 20 });
    const many = threshold({ metric: 'youngGcPerMinuteCount', above: 100, windowSeconds: 30 });
    const moments = Array.from({ length: 31 }, (_, at) => ({
      at,
      totals: { gcSeconds: at * 0.75, youngGcCount: at * 2 },
    }));

    const { fired } = run([storm, many], moments);

    expect(fired.map(({ at, value, reason }) => [at, value, reason])).toEqual([
      [10, 75, 'GcStorm'],
      [26, 104, 'GcStorm'],
    ]);
    expect(fired[1]?.numbers).toEqual({
      gcTimePercent: 75,
      youngGcPerMinuteCount: 104,
    });
  });

  it('begins anew with another JVM, whose totals are smaller', () => {
    const moments = [
      { at: 0, values: { heapAfterGcPercent: 95 }, totals: { fullGcCount: 9 } },
      { at: 9, values: { heapAfterGcPercent: 95 }, totals: { fullGcCount: 0 } },
      { at: 18, values: { heapAfterGcPercent: 95 }, totals: { fullGcCount: 0 } },
      { at: 19, values: { heapAfterGcPercent: 95 }, totals: { fullGcCount: 0 } },
    ];

    expect(secondsOf(run([heapAbove90], moments))).toEqual([19]);
  });

  it('goes on when another one beside it changes', () => {
    const other = threshold({ metric: 'cgroupUsedPercent', above: 50 });
    const first = evaluateThresholds([heapAbove90, other], initialThresholdState, {
      epochMilliseconds: 0,
      values: { heapAfterGcPercent: 95 },
    });
    const second = evaluateThresholds([heapAbove90], first.state, {
      epochMilliseconds: 10_000,
      values: { heapAfterGcPercent: 95 },
    });

    expect(second.fired).toHaveLength(1);
    expect(Object.keys(second.state.progress)).toHaveLength(1);
  });
});

describe('metricThresholdSchema', () => {
  it.each([
    [{ metric: 'heapUsedPercent' }, 'heapUsedPercent needs above'],
    [{ metric: 'heapUsedPercent', below: 5 }, 'heapUsedPercent needs above'],
    [{ metric: 'secondsToLimit', above: 5 }, 'secondsToLimit needs below'],
    [{ metric: 'secondsToLimit', below: 5, above: 5 }, 'accepted for secondsToLimit is below'],
    [{ metric: 'heapUsedPercent', above: 80, rearm: 81 }, 'accepted is at most 80'],
    [{ metric: 'secondsToLimit', below: 30, rearm: 29 }, 'accepted is at least 30'],
    [{ metric: 'heapUsedPercent', above: 80, windowSeconds: 60 }, 'has no window'],
    [{ metric: 'fullGcCount', above: 1, windowSeconds: maxWindowSeconds + 1 }, '600'],
    [{ metric: 'metaspacePercent', above: 1 }, 'heapUsedPercent'],
    [{ metric: 'fullGcCount', above: 1, fore: 1 }, 'fore'],
  ])('refuses %j', (input, message) => {
    const { error } = metricThresholdSchema.safeParse(input);

    expect(error?.issues.map((issue) => issue.message).join()).toContain(message);
  });

  it('accepts those of the default policy', () => {
    const { heapNearLimit, gcStorm, cgroupNearLimit } = policySchema.parse({}).triggers;

    for (const one of [...heapNearLimit, ...gcStorm, ...cgroupNearLimit]) {
      expect(metricThresholdSchema.parse(one)).toEqual(one);
    }
  });
});

describe('evaluateThresholds', () => {
  const anyThreshold: fc.Arbitrary<MetricThreshold> = fc
    .record({
      metric: fc.constantFrom(...metrics),
      limit: fc.integer({ min: 0, max: 100 }),
      forSeconds: fc.integer({ min: 0, max: 30 }),
    })
    .map(({ metric, limit, forSeconds }) =>
      threshold({ metric, [metric === 'secondsToLimit' ? 'below' : 'above']: limit, forSeconds }),
    );
  const anyNumber = fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 0, max: 120 }) },
    fc.constantFrom(NaN, Infinity, -1, 2 ** 53),
  );
  const anyMoment: fc.Arbitrary<Moment> = fc.record({
    at: fc.integer({ min: 0, max: 900 }),
    values: fc.dictionary(fc.constantFrom(...metrics), anyNumber),
    totals: fc.record(
      { fullGcCount: anyNumber, youngGcCount: anyNumber, gcSeconds: anyNumber },
      { requiredKeys: [] },
    ),
  });
  const anyThresholds = fc.array(anyThreshold, { maxLength: 6 });
  const anyMoments = fc.array(anyMoment, { maxLength: 60 });
  const inOrder = (moments: readonly Moment[]) => moments.toSorted((a, b) => a.at - b.at);

  it('gives numbers that a signal accepts, beyond the limit, and keeps a bounded state', () => {
    fc.assert(
      fc.property(anyThresholds, anyMoments, (thresholds, moments) => {
        const { state, fired } = run(thresholds, moments);

        for (const { threshold: one, value, numbers } of fired) {
          expect(() => signalSchema.shape.numbers.parse(numbers)).not.toThrow();
          expect(one.above === undefined ? value < one.below! : value > one.above).toBe(true);
        }
        expect(Object.keys(state.progress).length).toBeLessThanOrEqual(thresholds.length);
        expect(state.totals.length).toBeLessThanOrEqual(maxWindowSeconds + 1);
      }),
    );
  });

  it('fires the same when samples are repeated or come late a second time', () => {
    fc.assert(
      fc.property(anyThresholds, anyMoments, fc.nat(60), (thresholds, moments, at) => {
        const once = inOrder(moments);
        const repeated = [...once.slice(0, at), ...once.slice(0, at), ...once.slice(at)];

        expect(run(thresholds, repeated)).toEqual(run(thresholds, once));
      }),
    );
  });

  it('fires a second time only after a value that re-arms', () => {
    const swing = fc.array(fc.integer({ min: 70, max: 100 }), { maxLength: 80 });
    fc.assert(
      fc.property(swing, fc.integer({ min: 0, max: 5 }), (values, forSeconds) => {
        const one = threshold({ metric: 'heapUsedPercent', above: 90, rearm: 80, forSeconds });
        const moments = values.map((heapUsedPercent, at) => ({ at, values: { heapUsedPercent } }));

        const seconds = secondsOf(run([one], moments));

        for (const [index, second] of seconds.entries()) {
          const held = values.slice(second - forSeconds, second + 1);
          expect(Math.min(...held)).toBeGreaterThan(90);
          const previous = seconds[index - 1];
          if (previous === undefined) continue;
          expect(Math.min(...values.slice(previous, second))).toBeLessThanOrEqual(80);
        }
      }),
    );
  });
});
