import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import path from 'node:path';
import { startForwarder, type Forwarder } from '../../lib/forwarder/forwarder.ts';
import type { LeaseRecord } from '../../lib/kubernetes/lease.ts';
import type { Signal } from '../../lib/signal/signal.ts';
import { FakeLease } from './fake-lease.ts';
import {
  aPod,
  aProbeEvent,
  FakeCluster,
  FakeTime,
  recordingLog,
  startTime,
  temporaryDirectory,
  turns,
  valueOf,
} from './fakes.ts';

const podCount = 500;
const perChunk = 250;
const spacingMilliseconds = 20;

let directory: ReturnType<typeof temporaryDirectory>;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => directory.remove());

/** mulberry32: the same storm each time. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Member {
  identity: string;
  cluster: FakeCluster;
  forwarder: Forwarder;
  /** Nothing that it does from now on reaches anybody; its disk is gone too. */
  kill(): void;
  /** For the end of the test. */
  end(): Promise<void>;
}

/** What all forwarders of the cluster share. */
class Scene {
  readonly time = new FakeTime();
  readonly lease = new FakeLease();
  readonly received: Signal[] = [];
  readonly members: Member[] = [];
  readonly ended: Member[] = [];
  readonly random: () => number;
  readonly events: unknown[] = [];
  readonly #pods = Array.from({ length: podCount }, (_, index) =>
    aPod({ podName: `cart-${index}`, podUid: `uid-${index}` }),
  );
  #startedCount = 0;

  constructor(seed: number) {
    this.random = randomOf(seed);
  }

  async start(): Promise<void> {
    this.#startedCount += 1;
    const identity = `pod-${this.#startedCount}`;
    const cluster = new FakeCluster();
    cluster.pods.items = this.#pods;
    // An API server keeps Events for an hour.
    cluster.events.items = [...this.events];
    const death = Promise.withResolvers<never>();
    death.promise.catch(() => undefined);
    let [dead, over] = [false, false];
    const sleep: FakeTime['sleep'] = async (milliseconds, signal) => {
      if (!over) await this.time.sleep(dead ? Infinity : milliseconds, signal);
    };
    const forwarder = await startForwarder({
      ...{ clusterName: 'test', namespaces: [''], httpPort: 0, apiPort: 0 },
      ...{ spoolDirectory: path.join(directory.path, identity), spoolMaxBytes: 1 << 26 },
      ...{ source: cluster, random: () => 0.5, log: recordingLog().log },
      time: { now: () => this.time.now(), sleep },
      election: { lease: this.lease.of(identity), identity },
      bus: {
        putSignals: async (signals) => {
          const fate = this.random();
          await Promise.race([this.time.sleep(fate * 50), death.promise]);
          if (dead) return death.promise;
          if (fate < 0.0005) throw new Error('away');
          this.received.push(...signals);
          // The bus has them, and the answer does not come.
          if (fate > 0.999) throw new Error('lost answer');
          return [];
        },
      },
    });
    await turns();
    this.members.push({
      ...{ identity, cluster, forwarder },
      kill: () => {
        dead = true;
        this.lease.cutOff.add(identity);
      },
      end: async () => {
        over = true;
        this.lease.cutOff.delete(identity);
        death.reject(new Error('over'));
        await forwarder.stop();
      },
    });
  }

  /** All that live see it, in whatever order. */
  happens(count: number): void {
    const fresh = Array.from({ length: count }, (_, index) => {
      const number = this.events.length + index;
      const pod = number % podCount;
      return aProbeEvent({
        ...{ name: `e-${number}`, podName: `cart-${pod}`, podUid: `uid-${pod}` },
        time: new Date(startTime.getTime() + number * spacingMilliseconds),
      });
    });
    this.events.push(...fresh);
    for (const { cluster } of this.members) {
      for (const object of fresh) {
        cluster.events.open.change({ type: 'ADDED', object, resourceVersion: '9' });
      }
    }
  }

  /** The leader, or whoever is there. */
  killOne(): void {
    const holder = this.lease.stored?.holderIdentity;
    const leader = this.members.findIndex(({ identity }) => identity === holder);
    const [killed] = this.members.splice(Math.max(0, leader), 1);
    killed?.kill();
    if (killed !== undefined) this.ended.push(killed);
  }

  missing(): string[] {
    const keyOf = (podName: string, time: string) => `${podName} ${Date.parse(time)}`;
    const arrived = new Set(this.received.map((one) => keyOf(one.podName, one.observedTime)));
    return this.events.flatMap((_, number) => {
      const time = startTime.getTime() + number * spacingMilliseconds;
      const key = `cart-${number % podCount} ${time}`;
      return arrived.has(key) ? [] : [key];
    });
  }

  /** Whoever leads has nothing left to send; its files are real, its clock is not. */
  async drained(): Promise<void> {
    const bound = performance.now() + 60_000;
    for (;;) {
      const waiting = await Promise.all(
        this.members.flatMap(({ forwarder: { metrics } }) =>
          [metrics.queueSignals, metrics.spoolEntries].map((metric) => valueOf(metric)),
        ),
      );
      if (waiting.every((count) => count === 0)) return;
      if (performance.now() > bound) throw new Error(`still waiting: ${waiting.join(', ')}`);
      await this.time.advance(1_000);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.members, ...this.ended].map((member) => member.end()));
  }
}

async function storm(scene: Scene, eventCount: number, killCount: number): Promise<void> {
  await scene.start();
  await scene.start();
  const moments = Array.from({ length: killCount }, () => scene.random() * eventCount);
  for (let chunk = 0; chunk < eventCount / perChunk; chunk += 1) {
    const kills = moments.filter((moment) => Math.floor(moment / perChunk) === chunk).sort();
    let done = 0;
    for (const moment of kills) {
      const before = Math.floor(moment - chunk * perChunk) - done;
      scene.happens(before);
      done += before;
      // At any moment: with calls on their way, the queue full, or everything sent.
      await turns(Math.floor(scene.random() * 3));
      if (scene.random() < 0.5) await scene.time.advance(scene.random() * 1_000);
      scene.killOne();
      await scene.start();
    }
    scene.happens(perChunk - done);
    await scene.time.advance(perChunk * spacingMilliseconds);
  }
  await scene.time.advance(10_000);
  await scene.drained();
}

describe('a storm of 10,000 events', () => {
  it('loses no signal, though the leader is killed at any moment, again and again', async () => {
    const scene = new Scene(1);
    try {
      await storm(scene, 10_000, 3);

      expect([scene.events.length, scene.ended.length]).toEqual([10_000, 3]);
      expect(scene.missing()).toEqual([]);
    } finally {
      await scene.close();
    }
  }, 120_000);

  it('loses signals when a leader says to have sent what it has not', async () => {
    const scene = new Scene(1);
    const { lease } = scene;
    const honest = lease.of.bind(lease);
    lease.of = (identity) => {
      const api = honest(identity);
      const lie = { sentThroughTime: '2030-01-01T00:00:00.000Z' };
      return {
        read: () => api.read(),
        write: (record: LeaseRecord, version) => api.write({ ...record, ...lie }, version),
      };
    };
    try {
      await storm(scene, 1_500, 4);

      expect(scene.missing().length).toBeGreaterThan(0);
    } finally {
      await scene.close();
    }
  }, 60_000);
});
