import type { MetricThreshold } from './thresholds.ts';

/** Whether a value lies beyond a threshold's limit, for however short a time. */
export function isCrossed(
  { above, below = 0 }: Pick<MetricThreshold, 'above' | 'below'>,
  value: number,
): boolean {
  return above === undefined ? value < below : value > above;
}
