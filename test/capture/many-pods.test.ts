import { beforeEach, describe, expect, it } from '@jest/globals';
import type { CaptureAnswer } from '../../lib/capture/capture-answer.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import type { Policy } from '../../lib/policy/policy.ts';
import { podFacts } from './fake-cluster.ts';
import { signal, World } from './world.ts';

let world: World;

function addPods(pods: readonly PodFacts[]): void {
  const byName = new Map(pods.map((pod) => [pod.podName, pod]));
  world.cluster.readPod = (_namespace, podName) => Promise.resolve(byName.get(podName));
}

/** As many functions at once as there are pods, each with a signal of its own. */
function startAll(
  pods: readonly PodFacts[],
  { limits, pauseTurn }: { limits?: Partial<Policy['limits']>; pauseTurn?: () => Promise<void> },
): Promise<CaptureAnswer[]> {
  const policy = { ...defaultPolicy, limits: { ...defaultPolicy.limits, ...limits } };
  return Promise.all(
    pods.map(({ podName, podUid }) =>
      startCapture(
        { ...world.captureDeps(), ...(pauseTurn && { pauseTurn }) },
        signal({ podName, podUid, policy }),
      ),
    ),
  );
}

function tally(answers: readonly CaptureAnswer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { reason } of answers) counts[reason] = (counts[reason] ?? 0) + 1;
  return counts;
}

const running = () => world.claims.listRunning(new Date(world.nowMillis), 100);

beforeEach(() => {
  world = new World();
});

describe('pods that fail at once', () => {
  it('get, 10,000 of them, as many dumps as the cluster has slots; each of the others is told why, and left as it was', async () => {
    const pods = Array.from({ length: 10_000 }, (_, index) =>
      podFacts({
        podName: `app-${index}`,
        podUid: `uid-${index}`,
        nodeName: `node-${index % 200}`,
        workload: { kind: 'Deployment', name: `app-${index % 2_500}` },
      }),
    );
    addPods(pods);

    const answers = await startAll(pods, { limits: { nodeSlotCount: 1, clusterSlotCount: 5 } });

    const { Started, ...refused } = tally(answers);
    expect(Started).toBe(5);
    expect(world.cluster.execCommands).toHaveLength(5);
    expect(world.objects.uploads.size).toBe(5);
    const reasons = ['ClusterBusy', 'NodeBusy', 'LockHeld'];
    expect(Object.keys(refused).filter((reason) => !reasons.includes(reason))).toEqual([]);
    expect(Object.values(refused).reduce((sum, count) => sum + count)).toBe(9_995);
    // Each refusal is one Event on its pod, which names what is in the way.
    expect(world.cluster.events).toHaveLength(10_000);
    for (const { message } of world.cluster.events) expect(message).not.toBe('');
    const records = await running();
    expect(records).toHaveLength(5);
    expect(new Set(records.map(({ nodeName }) => nodeName)).size).toBe(5);
    expect(new Set(records.map(({ lockKey }) => lockKey)).size).toBe(5);
  }, 120_000);

  it('of one workload wait for its lock no longer than 25 s, and hold nothing while they wait', async () => {
    const pods = Array.from({ length: 300 }, (_, index) =>
      podFacts({ podName: `app-${index}`, podUid: `uid-${index}`, nodeName: `node-${index}` }),
    );
    addPods(pods);
    const begin = world.nowMillis;
    let lookCount = 0;
    let tick: Promise<void> | undefined;
    /** Half a second for all that wait. */
    const pauseTurn = (): Promise<void> => {
      lookCount += 1;
      tick ??= new Promise((resolve) =>
        setImmediate(() => {
          tick = undefined;
          world.advance(0.5);
          resolve();
        }),
      );
      return tick;
    };

    const answers = await startAll(pods, { limits: { cooldownSeconds: 0 }, pauseTurn });

    expect(tally(answers)).toEqual({ Started: 1, LockHeld: 299 });
    expect(world.nowMillis - begin).toBeLessThanOrEqual(25_500);
    expect(lookCount).toBeLessThanOrEqual(299 * 51);
    expect(world.objects.uploads.size).toBe(1);
    expect(await running()).toHaveLength(1);
  }, 60_000);
});
