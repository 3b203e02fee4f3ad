import { describe, expect, it } from '@jest/globals';
import { Endings, type EndHistorySource } from '../../lib/forwarder/endings.ts';
import { PodCache } from '../../lib/forwarder/pod-cache.ts';
import { policySchema } from '../../lib/policy/policy.ts';
import type { ContainerFacts } from '../../lib/policy/pod-facts.ts';
import { signalSchema, type Signal } from '../../lib/signal/signal.ts';
import { aPod, aSignal, startTime } from './fakes.ts';

const after = (seconds: number): string =>
  new Date(startTime.getTime() + seconds * 1_000).toISOString();

function endings(
  lastTermination?: ContainerFacts['lastTermination'],
  history?: EndHistorySource,
): { complete: (changes: Partial<Signal>) => Signal } {
  const pods = new PodCache();
  const pod = aPod();
  const containers = pod.containers.map((container) => ({
    ...container,
    ...(lastTermination && { lastTermination }),
  }));
  pods.put({ ...pod, containers });
  const known = new Endings({ pods, history });
  return {
    complete: (changes) =>
      // What is sent is held to the schema by whoever receives it.
      signalSchema.parse(known.complete(aSignal(changes))),
  };
}

const end = (seconds: number): Partial<Signal> => ({
  reason: 'ContainerTerminated',
  observedTime: after(seconds),
  numbers: { exitCode: 137 },
});
const killed = { reason: 'Error', exitCode: 137, finishedTime: after(10) };
const outgrown = { reason: 'OOMKilled', exitCode: 137, finishedTime: after(10) };

describe('Endings', () => {
  it('says that a probe had it killed, by the kubelet’s Event or by failures up to the threshold', () => {
    const ways: Partial<Signal>[] = [
      { reason: 'ContainerKilling', numbers: { failureCount: 3, failureThreshold: 3 } },
      { reason: 'LivenessProbeFailing', numbers: { failureCount: 3, failureThreshold: 3 } },
    ];
    for (const way of ways) {
      const { complete } = endings(killed);
      complete(way);

      expect(complete(end(10)).ending).toMatchObject({ cause: 'probe', killedBy: 'livenessProbe' });
    }
  });

  it('says that it was stopped when the pod was deleted, and nothing of an end that came unannounced', () => {
    const deleted = endings(killed);
    deleted.complete({ reason: 'PodDeleting' });

    expect(deleted.complete(end(10)).ending?.cause).toBe('stopped');
    expect(endings(killed).complete(end(10)).ending?.cause).toBe('unknown');
  });

  it('does not lay the killing of one life to the next one', () => {
    const { complete } = endings(killed);
    complete({ reason: 'ContainerKilling', containerID: 'containerd://before' });

    expect(complete(end(10)).ending).not.toHaveProperty('killedBy');
  });

  it('adds to a kill what the sensor saw of the trouble before it, by the thresholds of the policy', () => {
    const samples = [-700, -300, -290, -20, 0].map((seconds, index) => ({
      epochMilliseconds: startTime.getTime() + seconds * 1_000,
      values: { heapAfterGcPercent: [99, 97, 96, 50, 40][index]! },
    }));
    const { complete } = endings(undefined, { of: () => samples });
    const policy = policySchema.parse({});

    for (const reason of ['PodDeleting', 'ContainerKilling', 'PreStop'] as const) {
      const { numbers } = complete({ reason, policy, numbers: { restartCount: 2 } });
      expect(numbers).toEqual({ heapAfterGcPercent: 96, restartCount: 2 });
    }
    const others = complete({ reason: 'LivenessProbeFailing', policy, numbers: {} });
    expect(others.numbers).toEqual({});
    expect(endings().complete({ reason: 'PreStop', policy, numbers: {} }).numbers).toEqual({});
  });

  it('adds the worst of the last ten minutes before the end to the numbers', () => {
    const at = (seconds: number, values: Record<string, number>, gcSeconds: number) => ({
      epochMilliseconds: startTime.getTime() + seconds * 1_000,
      values,
      totals: { fullGcCount: seconds, gcSeconds },
    });
    const history = {
      of: () => [
        at(-3_600, { heapAfterGcPercent: 100 }, 0),
        at(0, { heapAfterGcPercent: 93.27, cgroupUsedPercent: 80 }, 1),
        at(10, { heapAfterGcPercent: 91, cgroupUsedPercent: 99 }, 7),
        at(60, { heapAfterGcPercent: 100 }, 8),
      ],
    };
    const { ending, numbers } = endings(outgrown, history).complete(end(10));

    expect(numbers).toEqual({
      ...{ exitCode: 137, heapAfterGcPercent: 93.3, cgroupUsedPercent: 99 },
      ...{ gcTimePercent: 60, fullGcCount: 10 },
    });
    expect(ending).toMatchObject({ cause: 'heap' });
    expect(ending?.explanation).toContain('heap after GC 93.3 %');
  });

  it('tells of a running container how its last life ended, if by memory or the JVM', () => {
    const { complete } = endings(outgrown);
    complete(end(10));
    const lastEnd = { cause: 'containerMemory', endTime: after(10) };

    expect(complete({ observedTime: after(20) }).lastEnd).toEqual(lastEnd);
    // A forwarder that has just started reads it from the pod.
    expect(endings(outgrown).complete({ observedTime: after(20) }).lastEnd).toEqual(lastEnd);
    expect(endings(killed).complete({ observedTime: after(20) })).not.toHaveProperty('lastEnd');
    expect(endings().complete({ observedTime: after(20) })).not.toHaveProperty('lastEnd');
  });

  it('tells of no end that lies ahead of a trouble, nor of one that is a day old', () => {
    for (const seconds of [0, 100_000]) {
      const told = endings(outgrown).complete({ observedTime: after(seconds) });
      expect(told).not.toHaveProperty('lastEnd');
    }
  });
});
