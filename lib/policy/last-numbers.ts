import type { Signal } from '../signal/signal.ts';
import {
  evaluateThresholds,
  initialThresholdState,
  type MetricSample,
  type MetricThreshold,
} from './thresholds.ts';

/**
 * What samples say of the moment at which their container is killed: the numbers of when one of these thresholds last fired,
 * for a JVM can look well again that was in trouble minutes ago; else the newest. Empty where nothing was measured.
 * @param samples oldest first; what counts as recent is for whoever picks them.
 */
export function lastNumbers(
  samples: readonly MetricSample[],
  thresholds: readonly MetricThreshold[],
): Signal['numbers'] {
  let state = initialThresholdState;
  let newest: Signal['numbers'] = {};
  let ofTrouble: Signal['numbers'] | undefined;
  for (const sample of samples) {
    const judged = evaluateThresholds(thresholds, state, sample);
    state = judged.state;
    newest = judged.numbers;
    ofTrouble = judged.fired[0]?.numbers ?? ofTrouble;
  }
  return ofTrouble ?? newest;
}
