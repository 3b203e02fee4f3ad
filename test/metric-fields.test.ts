import { describe, expect, it } from '@jest/globals';
import { metricFields } from '../lib/metric-fields.ts';

const now = new Date('2026-01-01T12:00:00Z');

describe('metricFields', () => {
  it('makes a log line a measurement, by the names that the line has', () => {
    const fields = metricFields({
      now,
      dimensions: [['stage'], ['stage', 'state']],
      values: {
        captures: { value: 1, unit: 'Count' },
        rawBytes: { value: 5_000_000_000, unit: 'Bytes' },
      },
    });

    expect(fields).toEqual({
      captures: 1,
      rawBytes: 5_000_000_000,
      _aws: {
        Timestamp: 1_767_268_800_000,
        CloudWatchMetrics: [
          {
            Namespace: 'heapcatch',
            Dimensions: [['stage'], ['stage', 'state']],
            Metrics: [
              { Name: 'captures', Unit: 'Count' },
              { Name: 'rawBytes', Unit: 'Bytes' },
            ],
          },
        ],
      },
    });
  });

  it('leaves out what is absent or no number, and measures nothing where nothing is left', () => {
    const values = {
      rawBytes: { value: undefined, unit: 'Bytes' as const },
      seconds: { value: Number.NaN, unit: 'Seconds' as const },
    };

    expect(metricFields({ now, dimensions: [['stage']], values })).toEqual({});
  });
});
