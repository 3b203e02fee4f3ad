import type { LastEnd } from '../signal/ending.ts';
import type { Signal } from '../signal/signal.ts';
import { isMemoryOrJvm } from './end-of-life.ts';
import type { Policy } from './policy.ts';
import type { MetricThreshold } from './thresholds.ts';

/** The watch on a life whose predecessor ended for memory or the JVM: what killed once kills again. */
export interface Watch extends LastEnd {
  /** RFC 3339. */
  untilTime: string;
}

/**
 * The watch under which a signal was sent, by its policy; `undefined` when there is none, when it is over, or when the
 * policy wants none.
 */
export function watchOf(
  { lastEnd }: Pick<Signal, 'lastEnd'>,
  { triggers }: Policy,
  now: Date,
): Watch | undefined {
  if (lastEnd === undefined || !isMemoryOrJvm(lastEnd.cause)) return undefined;
  const end = Date.parse(lastEnd.endTime);
  const until = end + triggers.watchSeconds * 1_000;
  // Also false for NaN. An end that lies ahead by more than clocks differ is none.
  if (!(now.getTime() < until && end <= now.getTime() + maxAheadMilliseconds)) return undefined;
  return { ...lastEnd, untilTime: new Date(until).toISOString() };
}

const maxAheadMilliseconds = 300_000;

/** Liveness failures in a row that are worth a dump: under a watch the first one is. */
export function wantedFailureCount(signal: Signal, policy: Policy, now: Date): number {
  return watchOf(signal, policy, now) === undefined ? policy.triggers.livenessFailureCount : 1;
}

const [loweredShare, raisedShare] = [0.9, 1.5];
const maxBelow = 86_400;

/** A threshold as it counts under a watch: it fires at nine tenths of its limit; of a time to the limit, at half as much again. */
export function underWatch(threshold: MetricThreshold): MetricThreshold {
  const { above, below, rearm } = threshold;
  if (above !== undefined) {
    const lower = above * loweredShare;
    return {
      ...threshold,
      above: lower,
      ...(rearm === undefined ? {} : { rearm: Math.min(rearm, lower) }),
    };
  }
  const higher = Math.min(maxBelow, (below ?? 0) * raisedShare);
  return {
    ...threshold,
    below: higher,
    ...(rearm === undefined ? {} : { rearm: Math.max(rearm, higher) }),
  };
}
