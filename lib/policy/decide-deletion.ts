import type { Signal } from '../signal/signal.ts';
import type { DecisionFacts } from './decision-facts.ts';
import { thresholdsOf } from './policy.ts';
import { skip, type Skip } from './skip.ts';
import { isCrossed } from './threshold-crossing.ts';
import { metrics } from './thresholds.ts';

/** What a deletion is judged by; the numbers are the sensor's, and those of a failing probe. */
export type DeletionFacts = Pick<DecisionFacts, 'policy' | 'pod' | 'container'> & {
  readonly signal: Pick<Signal, 'numbers'>;
};

/**
 * Whether the deletion of a pod is worth a dump by its policy, and why. `unhealthy` is a pod or container that is not ready,
 * a probe that was failing, and pressure; `pressure` is memory near its limit or a GC storm, as the policy's
 * thresholds have them. A number that is not known crosses no threshold, and the answer says that it is not known.
 */
export function judgeDeletion(
  facts: DeletionFacts,
): { readonly why: string; readonly pressure?: true } | Skip {
  const { signal, policy, pod, container } = facts;
  const mode = policy.triggers.podDeletion;
  switch (mode) {
    case 'always':
      return { why: 'the policy wants a dump at every deletion' };
    case 'never':
      return skip('DeletionNotWanted', `the policy of ${pod.podName} wants no dump at a deletion`);
    case 'unhealthy':
      if ((signal.numbers.failureCount ?? 0) > 0) return { why: 'its liveness probe was failing' };
      if (!pod.ready || !container.ready) return { why: 'it was not ready' };
      break;
    case 'pressure':
      break;
    default:
      return mode satisfies never;
  }
  const pressure = pressureOf(facts);
  if (pressure !== undefined) return { why: pressure, pressure: true };
  const state = mode === 'unhealthy' ? 'while it is ready' : 'without pressure';
  const message = `pod ${pod.podName} is deleted ${state}: a rollout or a scaling, not trouble; ${sensorWords(signal)}`;
  return skip('DeletedHealthy', message);
}

function pressureOf({ signal, policy }: DeletionFacts): string | undefined {
  for (const threshold of thresholdsOf(policy)) {
    const { metric, above, below } = threshold;
    const value = signal.numbers[metric];
    if (value === undefined || !isCrossed(threshold, value)) continue;
    const limit = above === undefined ? `below ${below ?? 0}` : `above ${above}`;
    return `${metric} was ${value}, ${limit}`;
  }
  return undefined;
}

function sensorWords({ numbers }: DeletionFacts['signal']): string {
  const known = metrics.flatMap((metric) => {
    const value = numbers[metric];
    return value === undefined ? [] : [`${metric} ${value}`];
  });
  return known.length === 0
    ? 'the sensor told nothing of its memory'
    : `the sensor told ${known.join(', ')}`;
}
