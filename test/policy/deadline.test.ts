import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  estimateDumpSeconds,
  estimateStartSeconds,
  expectedDumpBytes,
  expectedKill,
} from '../../lib/policy/deadline.ts';
import type { ContainerFacts, PodFacts } from '../../lib/policy/pod-facts.ts';
import type { SignalReason } from '../../lib/signal/signal.ts';
import { container, observedTime, pod } from './facts.ts';

const probe = { periodSeconds: 10, timeoutSeconds: 1, failureThreshold: 3, initialDelaySeconds: 0 };

/** Seconds from the observation to begin, SIGTERM and SIGKILL. */
function secondsTo(
  reason: SignalReason,
  changes: {
    pod?: Partial<PodFacts>;
    container?: Partial<ContainerFacts>;
    failureCount?: number;
  } = {},
): number[] | undefined {
  const kill = expectedKill(pod(changes.pod), container(changes.container), {
    reason,
    observedTime,
    failureCount: changes.failureCount,
  });
  if (kill === undefined) return undefined;
  return [kill.beginTime, kill.sigtermTime, kill.sigkillTime].map(
    (time) => (time.getTime() - Date.parse(observedTime)) / 1000,
  );
}

describe('expectedKill', () => {
  it('counts the periods to the last failure, then the grace period', () => {
    expect(secondsTo('LivenessProbeFailing', { failureCount: 1 })).toEqual([20, 20, 50]);
    expect(secondsTo('LivenessProbeFailing', { failureCount: 2 })).toEqual([10, 10, 40]);
    expect(secondsTo('LivenessProbeFailing', { failureCount: 3 })).toEqual([0, 0, 30]);
    expect(secondsTo('LivenessProbeFailing', { failureCount: 9 })).toEqual([0, 0, 30]);
    expect(secondsTo('LivenessProbeFailing')).toEqual([20, 20, 50]);
  });

  it("prefers the probe's own grace period for a probe kill, not for a deletion", () => {
    const changes = {
      container: { livenessProbe: { ...probe, terminationGracePeriodSeconds: 5 } },
      failureCount: 3,
    };

    expect(secondsTo('LivenessProbeFailing', changes)).toEqual([0, 0, 5]);
    expect(secondsTo('ContainerKilling', changes)).toEqual([0, 0, 5]);
    expect(secondsTo('PodDeleting', changes)).toEqual([0, 0, 30]);
  });

  it('lets preStop run inside the grace period and leaves 2 s after it', () => {
    const held = (preStopSeconds: number) => ({ container: { hasPreStop: true, preStopSeconds } });

    expect(secondsTo('ContainerKilling', held(10))).toEqual([0, 10, 30]);
    expect(secondsTo('ContainerKilling', held(29))).toEqual([0, 29, 31]);
    expect(secondsTo('ContainerKilling', held(300))).toEqual([0, 30, 32]);
    expect(secondsTo('ContainerKilling', { pod: { terminationGracePeriodSeconds: 0 } })).toEqual([
      0, 0, 2,
    ]);
  });

  it('takes a preStop of unknown length for none: SIGTERM comes then at the earliest', () => {
    expect(secondsTo('ContainerKilling', { container: { hasPreStop: true } })).toEqual([0, 0, 30]);
  });

  it('puts SIGKILL of a deletion at the deletion time, as the API server stamps it', () => {
    // Seen on Kubernetes 1.34: deleted at 03:56:00 with 5 s of grace, deletionTimestamp 03:56:05.
    const changes = {
      pod: { deletionTime: '2026-03-01T12:00:05Z', deletionGracePeriodSeconds: 5 },
    };

    expect(secondsTo('PodDeleting', changes)).toEqual([0, 0, 5]);
    expect(secondsTo('ContainerKilling', changes)).toEqual([0, 0, 5]);
    expect(secondsTo('Manual', changes)).toEqual([0, 0, 5]);
  });

  it('takes the earlier of a probe kill and a deletion', () => {
    const changes = {
      pod: { deletionTime: '2026-03-01T12:00:45Z', deletionGracePeriodSeconds: 45 },
    };

    expect(secondsTo('LivenessProbeFailing', { ...changes, failureCount: 3 })).toEqual([0, 0, 30]);
    expect(secondsTo('LivenessProbeFailing', { ...changes, failureCount: 1 })).toEqual([0, 0, 45]);
  });

  it.each<SignalReason>([
    'Manual',
    'ReadinessProbeFailing',
    'StartupProbeFailing',
    'ContainerTerminated',
  ])('expects no kill from %s', (reason) => {
    expect(secondsTo(reason)).toBeUndefined();
  });

  it('expects none where there is no probe, and none outside the calendar', () => {
    const { livenessProbe, ...unprobed } = container();
    const trouble = { reason: 'LivenessProbeFailing', observedTime } as const;
    const periodSeconds = 2_147_483_647;

    expect(livenessProbe).toEqual(probe);
    expect(expectedKill(pod(), unprobed, trouble)).toBeUndefined();
    expect(
      secondsTo('LivenessProbeFailing', {
        container: { livenessProbe: { ...probe, periodSeconds, failureThreshold: periodSeconds } },
      }),
    ).toBeUndefined();
    expect(secondsTo('Manual', { pod: { deletionTime: 'soon' } })).toBeUndefined();
  });

  it('never puts SIGTERM before the begin or SIGKILL before SIGTERM', () => {
    const seconds = fc.integer({ min: 0, max: 1_000 });
    fc.assert(
      fc.property(seconds, seconds, seconds, (preStopSeconds, grace, failureCount) => {
        const [begin, sigterm, sigkill] = secondsTo('LivenessProbeFailing', {
          pod: { terminationGracePeriodSeconds: grace },
          container: { hasPreStop: true, preStopSeconds },
          failureCount,
        })!;

        expect(begin!).toBeLessThanOrEqual(sigterm!);
        expect(sigkill! - sigterm!).toBeGreaterThanOrEqual(2);
      }),
    );
  });
});

describe('the estimate of a dump', () => {
  it('is 1.4 times the memory limit, safe beyond 2^31', () => {
    expect(expectedDumpBytes(container({ memoryLimitBytes: 10 * 1024 ** 3 }))).toBe(15_032_385_536);
  });

  it('assumes 2 GiB without a limit', () => {
    const { memoryLimitBytes, ...unlimited } = container();

    expect(memoryLimitBytes).toBeDefined();
    expect(expectedDumpBytes(unlimited)).toBe(Math.ceil(1.4 * 2 * 1024 ** 3));
  });

  it('adds the start of the rung to 100 MiB a second', () => {
    const gibibyte = container({ memoryLimitBytes: 1024 ** 3 });

    expect(estimateDumpSeconds(gibibyte, 'nodeAgent')).toBeCloseTo(1 + 14.336, 5);
    expect(estimateDumpSeconds(gibibyte, 'ephemeralContainer')).toBeCloseTo(4 + 14.336, 5);
    expect(estimateStartSeconds('ephemeralContainer')).toBe(4);
  });
});
