import { metrics, type Metric, type MetricThreshold } from './thresholds.ts';

/** By metric, the value beyond which a measurement is worth telling at once. Of all but `secondsToLimit` it is an upper one. */
export type NotableLevels = Readonly<Partial<Record<Metric, number>>>;

/** The limits that come first of several thresholds: beyond none of them can any fire. */
export function levelsOf(thresholds: readonly MetricThreshold[]): NotableLevels {
  return thresholds.reduce<NotableLevels>((levels, { metric, above, below }) => {
    const limit = above ?? below;
    return limit === undefined ? levels : firstLevels(levels, { [metric]: limit });
  }, {});
}

/** Of each metric the level that is reached first. */
export function firstLevels(one: NotableLevels, other: NotableLevels): NotableLevels {
  const entries = metrics.flatMap((metric) => {
    const known = [one[metric], other[metric]].filter((level) => level !== undefined);
    if (known.length === 0) return [];
    return [[metric, metric === 'secondsToLimit' ? Math.max(...known) : Math.min(...known)]];
  });
  return Object.fromEntries(entries) as NotableLevels;
}

/** Whether a value of any metric is beyond its level; of what is not known, none is. */
export function beyondAny(values: NotableLevels, levels: NotableLevels): boolean {
  return metrics.some((metric) => {
    const value = values[metric];
    const level = levels[metric];
    if (value === undefined || level === undefined) return false;
    return metric === 'secondsToLimit' ? value < level : value > level;
  });
}
