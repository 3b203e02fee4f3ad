import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { historySeconds, SensorHistory } from '../../lib/forwarder/sensor-history.ts';
import { metrics, type MetricSample } from '../../lib/policy/thresholds.ts';

const at = (second: number, cgroupUsedPercent = second): MetricSample => ({
  ...{ epochMilliseconds: second * 1000, values: { cgroupUsedPercent }, totals: {} },
});
const secondsOf = (samples: readonly MetricSample[]) =>
  samples.map(({ epochMilliseconds }) => epochMilliseconds / 1000);

function historyOf(...seconds: readonly number[]) {
  const history = new SensorHistory();
  for (const second of seconds) history.add('uid-1', 'abc', at(second));
  return history;
}

describe('SensorHistory', () => {
  it('gives back what was measured, without what was not known, by either form of the id', () => {
    const history = new SensorHistory();
    const sample = {
      epochMilliseconds: 1_000,
      values: { heapAfterGcPercent: 93.25, secondsToLimit: 3_600 },
      totals: { fullGcCount: 5_000_000_000, gcSeconds: 1.5 },
    };

    history.add('uid-1', 'abc', sample);

    expect(history.of('uid-1', 'containerd://abc')).toEqual([sample]);
    expect(history.of('uid-1', 'abc')).toEqual([sample]);
    expect(history.of('uid-2', 'abc')).toEqual([]);
  });

  it('keeps one sample each ten seconds, and the newest', () => {
    const seconds = Array.from({ length: 36 }, (_, second) => second);

    expect(secondsOf(historyOf(...seconds).of('uid-1', 'abc'))).toEqual([0, 10, 20, 30, 35]);
  });

  it('leaves out a sample that is late or repeated', () => {
    expect(secondsOf(historyOf(0, 15, 15, 10, 30).of('uid-1', 'abc'))).toEqual([0, 15, 30]);
  });

  it('forgets the container that was not heard of for longest, beyond its bound', () => {
    const history = new SensorHistory(2);
    for (const id of ['a', 'b']) history.add('uid-1', id, at(1));
    history.add('uid-1', 'a', at(20));
    history.add('uid-1', 'c', at(21));

    expect(['a', 'b', 'c'].map((id) => history.of('uid-1', id).length)).toEqual([2, 0, 1]);
  });

  it('holds ten minutes at most, in order, and always the newest', () => {
    const values = fc.dictionary(
      fc.constantFrom(...metrics),
      fc.double({ noNaN: true }),
    ) as fc.Arbitrary<MetricSample['values']>;
    const samples = fc.array(
      fc.record({ epochMilliseconds: fc.nat(2_000_000), values, totals: fc.constant({}) }),
      { minLength: 1, maxLength: 300 },
    );
    fc.assert(
      fc.property(samples, (added) => {
        const history = new SensorHistory();
        for (const sample of added) history.add('uid-1', 'abc', sample);
        const times = history.of('uid-1', 'abc').map(({ epochMilliseconds }) => epochMilliseconds);

        const newest = Math.max(...added.map(({ epochMilliseconds }) => epochMilliseconds));
        expect(times.at(-1)).toBe(newest);
        expect(times).toEqual(times.toSorted((a, b) => a - b));
        expect(newest - (times[0] ?? 0)).toBeLessThanOrEqual(historySeconds * 1000);
        expect(times.length).toBeLessThanOrEqual(historySeconds / 10 + 1);
      }),
      { numRuns: 200 },
    );
  });
});
