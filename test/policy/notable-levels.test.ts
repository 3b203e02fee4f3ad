import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { beyondAny, firstLevels, levelsOf } from '../../lib/policy/notable-levels.ts';
import {
  evaluateThresholds,
  initialThresholdState,
  type MetricThreshold,
} from '../../lib/policy/thresholds.ts';

describe('levels', () => {
  it('are those of the limits that come first', () => {
    const thresholds: MetricThreshold[] = [
      { metric: 'heapAfterGcPercent', above: 90, forSeconds: 10 },
      { metric: 'heapAfterGcPercent', above: 70, forSeconds: 600 },
      { metric: 'secondsToLimit', below: 30, forSeconds: 0 },
      { metric: 'secondsToLimit', below: 60, forSeconds: 0 },
    ];
    expect(levelsOf(thresholds)).toEqual({ heapAfterGcPercent: 70, secondsToLimit: 60 });
    expect(firstLevels({ gcTimePercent: 20, secondsToLimit: 300 }, levelsOf(thresholds))).toEqual({
      ...{ gcTimePercent: 20, heapAfterGcPercent: 70, secondsToLimit: 300 },
    });
  });

  it('hide nothing at which a threshold fires', () => {
    const percent = fc.integer({ min: 0, max: 100 });
    const threshold = fc.oneof(
      fc.record({ metric: fc.constant('heapUsedPercent' as const), above: percent }),
      fc.record({ metric: fc.constant('cgroupUsedPercent' as const), above: percent }),
      fc.record({ metric: fc.constant('secondsToLimit' as const), below: percent }),
    );
    const values = fc.record(
      { heapUsedPercent: percent, cgroupUsedPercent: percent, secondsToLimit: percent },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.array(threshold, { maxLength: 6 }), values, (limits, value) => {
        const thresholds = limits.map((limit) => ({ ...limit, forSeconds: 0 }));
        const sample = { epochMilliseconds: 1, values: value };
        const { fired } = evaluateThresholds(thresholds, initialThresholdState, sample);
        expect(beyondAny(value, levelsOf(thresholds))).toBe(fired.length > 0);
      }),
    );
  });
});
