import { describe, expect, it } from '@jest/globals';
import { decide } from '../../lib/policy/decide.ts';
import { judgeDeletion } from '../../lib/policy/decide-deletion.ts';
import { lastNumbers } from '../../lib/policy/last-numbers.ts';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';
import { policySchema, thresholdsOf, type Policy } from '../../lib/policy/policy.ts';
import type { Signal } from '../../lib/signal/signal.ts';
import { container, noHistory, now, pod, signal } from './facts.ts';

const policyOf = (triggers: object): Policy => policySchema.parse({ triggers });
const judged = (
  podDeletion: Policy['triggers']['podDeletion'],
  numbers: Signal['numbers'],
  facts: Partial<PodFacts> = {},
  others: object = {},
) => {
  const asked = pod(facts);
  const policy = policyOf({ podDeletion, ...others });
  return judgeDeletion({
    policy,
    pod: asked,
    container: asked.containers[0]!,
    signal: { numbers },
  });
};
const wanted = (why: string) => ({ why: expect.stringContaining(why) as unknown });
const healthy = { heapAfterGcPercent: 40, gcTimePercent: 2, cgroupUsedPercent: 60 };
const skipped = (reason: string) => expect.objectContaining({ decision: 'skip', reason }) as object;

describe('the deletion of a pod', () => {
  it('is worth a dump where it is unhealthy, and where its memory is near a limit or it collects all the time', () => {
    expect(judged('unhealthy', healthy)).toEqual(skipped('DeletedHealthy'));
    expect(judged('unhealthy', healthy, { ready: false })).toEqual(wanted('not ready'));
    const unready = { containers: [container({ ready: false })] };
    expect(judged('unhealthy', healthy, unready)).toEqual(wanted('not ready'));
    expect(judged('unhealthy', { failureCount: 1 })).toEqual(wanted('probe was failing'));
    for (const [metric, value] of [
      ['heapAfterGcPercent', 90.1],
      ['gcTimePercent', 51],
      ['cgroupUsedPercent', 98],
      ['secondsToLimit', 29],
    ] as const) {
      expect(judged('unhealthy', { ...healthy, [metric]: value })).toEqual({
        ...wanted(`${metric} was ${value}`),
        pressure: true,
      });
    }
    expect(judged('unhealthy', { ...healthy, heapAfterGcPercent: 90, secondsToLimit: 30 })).toEqual(
      skipped('DeletedHealthy'),
    );
  });

  it('counts pressure alone, or all, or nothing, as the policy says', () => {
    const trouble = { ...healthy, heapAfterGcPercent: 99 };
    expect(judged('pressure', trouble)).toMatchObject(wanted('heapAfterGcPercent was 99'));
    expect(judged('pressure', healthy, { ready: false })).toEqual(skipped('DeletedHealthy'));
    expect(judged('always', healthy)).toEqual(wanted('every deletion'));
    expect(judged('never', trouble, { ready: false })).toEqual(skipped('DeletionNotWanted'));
  });

  it('holds the numbers against the thresholds of the policy', () => {
    const trouble = { ...healthy, heapAfterGcPercent: 99 };
    expect(judged('unhealthy', trouble, {}, { heapNearLimit: [] })).toEqual(
      skipped('DeletedHealthy'),
    );
    const low = { heapNearLimit: [{ metric: 'heapUsedPercent', above: 10 }] };
    expect(judged('unhealthy', { heapUsedPercent: 11 }, {}, low)).toMatchObject(
      wanted('heapUsedPercent was 11, above 10'),
    );
  });

  it('says what the sensor told, or that it told nothing', () => {
    expect(judged('unhealthy', healthy)).toMatchObject({
      message: expect.stringContaining(
        'heapAfterGcPercent 40, cgroupUsedPercent 60, gcTimePercent 2',
      ),
    });
    expect(judged('unhealthy', { restartCount: 3 })).toMatchObject({
      message: expect.stringContaining('the sensor told nothing of its memory'),
    });
  });

  const deletion = { deletionTime: new Date(now.getTime() + 29_000).toISOString() };
  const decided = (asked: Partial<Signal>, facts: Partial<PodFacts> = {}) =>
    decide({
      ...{ signal: signal(asked), pod: pod(facts), policy: policyOf({}) },
      ...{ history: noHistory, now },
    });

  it('leads to a decision that names its reason', () => {
    const numbers = { ...healthy, gcTimePercent: 80 };
    for (const reason of ['PreStop', 'PodDeleting', 'ContainerKilling'] as const) {
      expect(decided({ reason, numbers }, deletion)).toMatchObject({
        decision: 'dump',
        note: expect.stringContaining('deleted, and gcTimePercent was 80, above 50'),
      });
      expect(decided({ reason, numbers: healthy }, deletion)).toEqual(skipped('DeletedHealthy'));
    }
  });

  it('is what a hook is judged by that runs without one, unless a probe has failed', () => {
    expect(decided({ reason: 'PreStop', numbers: {} })).toEqual(skipped('DeletedHealthy'));
    expect(decided({ reason: 'PreStop', numbers: { failureCount: 3 } }).decision).toBe('dump');
  });
});

describe('lastNumbers', () => {
  const thresholds = thresholdsOf(policyOf({}));
  const sample = (seconds: number, heapAfterGcPercent: number) => ({
    epochMilliseconds: seconds * 1_000,
    values: { heapAfterGcPercent },
  });

  it('are those of the last trouble, even when it is over', () => {
    const samples = [sample(0, 95), sample(10, 95), sample(20, 60), sample(30, 50)];

    expect(lastNumbers(samples, thresholds)).toEqual({ heapAfterGcPercent: 95 });
  });

  it('are the newest where no threshold fired: a limit that is crossed for a moment is no trouble', () => {
    expect(lastNumbers([sample(0, 95), sample(5, 50)], thresholds)).toEqual({
      heapAfterGcPercent: 50,
    });
    expect(lastNumbers([], thresholds)).toEqual({});
  });

  it('tell the share of time in GC from totals', () => {
    const samples = [0, 10, 20, 30].map((seconds) => ({
      epochMilliseconds: seconds * 1_000,
      values: {},
      totals: { gcSeconds: seconds * 0.8 },
    }));

    expect(lastNumbers(samples, thresholds)).toEqual({ gcTimePercent: 80 });
  });
});
