import type { LogFields } from './log.ts';

/** Where CloudWatch shows what the functions count. */
export const metricNamespace = 'heapcatch';

/** Units of CloudWatch that are used here. */
export type MetricUnit = 'Count' | 'Seconds' | 'Bytes';

/**
 * Fields that make a log line a measurement as well (CloudWatch embedded metric format): the line itself holds the values and
 * the dimensions, by the names that it has for them anyway. Nothing is sent, and nobody needs a right for it.
 * A value that is absent or no number measures nothing.
 * Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 * @param options dimensions are sets of field names of the line, `stage` among them; each set is a metric of its own, and is paid for.
 */
export function metricFields(options: {
  now: Date;
  dimensions: readonly (readonly string[])[];
  values: Readonly<Record<string, { value: number | undefined; unit: MetricUnit }>>;
}): LogFields {
  const given = Object.entries(options.values).filter(([, { value }]) => Number.isFinite(value));
  if (given.length === 0) return {};
  const Metrics = given.map(([Name, { unit }]) => ({ Name, Unit: unit }));
  return {
    ...Object.fromEntries(given.map(([name, { value }]) => [name, value])),
    _aws: {
      Timestamp: options.now.getTime(),
      CloudWatchMetrics: [
        {
          Namespace: metricNamespace,
          Dimensions: options.dimensions.map((set) => [...set]),
          Metrics,
        },
      ],
    },
  };
}
