import { describe, expect, it } from '@jest/globals';
import { nextFailureStreak, type FailureStreak } from '../../lib/signal/failure-streak.ts';
import { parseKubernetesEvent, type KubernetesEvent } from '../../lib/signal/kubernetes-event.ts';
import { container } from '../policy/facts.ts';
import { kubernetesEvents, livenessFailures } from './kubernetes-events.ts';

const probe = { periodSeconds: 3, timeoutSeconds: 1, failureThreshold: 3, initialDelaySeconds: 0 };
const app = container({ livenessProbe: probe, startedTime: '2026-03-01T11:00:00Z' });
const base = parseKubernetesEvent(kubernetesEvents.livenessFailing);

function failure(second: number, count: number, eventUid = 'e1'): KubernetesEvent {
  const lastTime = new Date(Date.UTC(2026, 2, 1, 12, 0, second)).toISOString();
  return { ...base, eventUid, count, lastTime };
}

/** failureCount after each event, the streak handed from one to the next. */
function counts(events: readonly KubernetesEvent[], facts = app): number[] {
  let streak: FailureStreak | undefined;
  return events.map((event) => {
    streak = nextFailureStreak(event, facts, streak);
    return streak.failureCount;
  });
}

describe('the failures in a row', () => {
  it('are counted within each life of the container, as a real kubelet reported them', () => {
    let streak: FailureStreak | undefined;
    const seen = livenessFailures.map(({ count, lastTimestamp, startedAt }) => {
      const event = { ...base, count, lastTime: lastTimestamp };
      const facts = container({
        livenessProbe: probe,
        containerID: `containerd://${startedAt}`,
        startedTime: startedAt,
      });
      streak = nextFailureStreak(event, facts, streak);
      return streak.failureCount;
    });

    // Without the one before, a life of 3 s has room for two probes: an upper bound.
    expect(seen).toEqual([1, 2, 3, 2, 3, 3, 1]);
  });

  it('begin again after a success, though the count goes on', () => {
    expect(counts([failure(0, 1), failure(3, 2), failure(9, 3), failure(12, 4)])).toEqual([
      1, 2, 1, 2,
    ]);
  });

  it('go on over Events with different messages', () => {
    expect(counts([failure(0, 1, 'refused'), failure(3, 1, 'timeout')])).toEqual([1, 2]);
  });

  it('include repeats that were not seen one by one', () => {
    expect(counts([failure(0, 1), failure(6, 3)])).toEqual([1, 3]);
  });

  it('do not grow when the same Event comes again', () => {
    expect(counts([failure(0, 1), failure(0, 1), failure(3, 2), failure(0, 1)])).toEqual([
      1, 1, 2, 2,
    ]);
  });

  it('are at most the failureThreshold, at which the kill comes', () => {
    expect(counts([failure(0, 40)])).toEqual([3]);
  });

  it('are at most the probes that fit into the life, when the one before is not known', () => {
    const young = { ...app, startedTime: '2026-03-01T12:00:00Z' };

    expect(counts([failure(2, 40)], young)).toEqual([1]);
    expect(counts([failure(3, 40)], young)).toEqual([2]);
  });

  it('are the count where there is no probe to bound it', () => {
    const { livenessProbe, ...unknown } = app;

    expect(livenessProbe).toBeDefined();
    expect(counts([failure(0, 5)], unknown)).toEqual([5]);
  });
});
