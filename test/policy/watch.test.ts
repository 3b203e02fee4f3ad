import { describe, expect, it } from '@jest/globals';
import { decide } from '../../lib/policy/decide.ts';
import { endCauses, isMemoryOrJvm } from '../../lib/policy/end-of-life.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import { metricThresholdSchema } from '../../lib/policy/thresholds.ts';
import { underWatch, watchOf } from '../../lib/policy/watch.ts';
import { container, noHistory, now, pod, signal } from './facts.ts';

const after = (seconds: number): string => new Date(now.getTime() + seconds * 1_000).toISOString();
const lastEnd = (secondsAgo: number) => ({
  cause: 'containerMemory' as const,
  endTime: after(-secondsAgo),
});
const policy = (watchSeconds: number) => ({
  ...defaultPolicy,
  triggers: { ...defaultPolicy.triggers, watchSeconds },
});
const decided = (changes: Parameters<typeof signal>[0], watchSeconds = 1_800) =>
  decide({
    signal: signal({ numbers: { failureCount: 1, failureThreshold: 30 }, ...changes }),
    // So many failures are left that nothing is urgent.
    pod: pod({ containers: [container({ livenessProbe: slowProbe })] }),
    history: noHistory,
    policy: policy(watchSeconds),
    now,
  });
const slowProbe = {
  periodSeconds: 10,
  timeoutSeconds: 1,
  failureThreshold: 30,
  initialDelaySeconds: 0,
};

describe('the watch on the life after an end by memory or the JVM', () => {
  it('takes the first liveness failure for enough, and says until when', () => {
    expect(decided({})).toMatchObject({ reason: 'BelowFailureThreshold' });
    expect(decided({ lastEnd: lastEnd(60) })).toMatchObject({
      decision: 'dump',
      note: `watched until ${after(1_740)}, since its last life ended by containerMemory`,
    });
  });

  it('is over after the time of the policy, to the second, and 0 is no watch', () => {
    const watchSeconds = 100;
    const watched = (secondsAgo: number) =>
      watchOf({ lastEnd: lastEnd(secondsAgo) }, policy(watchSeconds), now) !== undefined;

    expect([99, 100, 101].map(watched)).toEqual([true, false, false]);
    expect(decided({ lastEnd: lastEnd(0) }, 0)).toMatchObject({ reason: 'BelowFailureThreshold' });
  });

  it('is set by no other cause, nor by an end that lies ahead', () => {
    for (const cause of endCauses) {
      const watch = watchOf({ lastEnd: { cause, endTime: after(-1) } }, defaultPolicy, now);
      expect(watch !== undefined).toBe(isMemoryOrJvm(cause));
    }
    expect(watchOf({ lastEnd: lastEnd(-3_600) }, defaultPolicy, now)).toBeUndefined();
  });

  it('lowers every threshold to one that is valid and fires sooner', () => {
    const thresholds = [
      { metric: 'heapAfterGcPercent', above: 90, rearm: 85 },
      { metric: 'fullGcCount', above: 3 },
      { metric: 'secondsToLimit', below: 30, rearm: 40 },
      { metric: 'secondsToLimit', below: 86_400 },
    ].map((threshold) => metricThresholdSchema.parse(threshold));

    const lowered = thresholds.map(underWatch);

    expect(lowered.map((one) => metricThresholdSchema.parse(one))).toEqual(lowered);
    expect(lowered.map(({ above, below, rearm }) => above ?? [below, rearm])).toEqual([
      ...[81, 2.7],
      ...[
        [45, 45],
        [86_400, undefined],
      ],
    ]);
  });
});
