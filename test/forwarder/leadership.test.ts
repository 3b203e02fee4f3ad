import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import path from 'node:path';
import type { Route } from '../../lib/forwarder/api.ts';
import { startForwarder, type Forwarder } from '../../lib/forwarder/forwarder.ts';
import { byLeader } from '../../lib/forwarder/leadership.ts';
import {
  LookBack,
  maxHeldSignalCount,
  maxQueuedSignalCount,
} from '../../lib/forwarder/look-back.ts';
import { createForwarderMetrics } from '../../lib/forwarder/metrics.ts';
import type { SignalIntake } from '../../lib/forwarder/signal-intake.ts';
import type { Signal } from '../../lib/signal/signal.ts';
import { FakeLease } from './fake-lease.ts';
import {
  aPod,
  aProbeEvent,
  aSignal,
  FakeBus,
  FakeCluster,
  FakeTime,
  recordingLog,
  startTime,
  temporaryDirectory,
  turns,
  until,
  valueOf,
} from './fakes.ts';

let directory: ReturnType<typeof temporaryDirectory>;
const running: Forwarder[] = [];
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((forwarder) => forwarder.stop()));
  directory.remove();
});

/** Two forwarders of one cluster, each with a bus of its own behind which they are the same. */
async function aPair() {
  const lease = new FakeLease();
  const time = new FakeTime();
  const cluster = new FakeCluster();
  cluster.pods.items = [aPod()];
  const members = [];
  for (const identity of ['pod-a', 'pod-b']) {
    const bus = new FakeBus();
    let told: SignalIntake | undefined;
    const forwarder = await startForwarder({
      ...{ clusterName: 'test', namespaces: [''], httpPort: 0, apiPort: 0 },
      spoolDirectory: path.join(directory.path, identity),
      spoolMaxBytes: 1024 * 1024,
      ...{ source: cluster, bus, time, random: () => 0.5, log: recordingLog().log },
      election: { lease: lease.of(identity), identity },
      routes: (intake) => {
        told = intake;
        return [];
      },
    });
    running.push(forwarder);
    await turns();
    members.push({ bus, forwarder, intake: () => told! });
  }
  const [first, second] = members as [(typeof members)[0], (typeof members)[0]];
  await until('both watch Events', () => cluster.events.watches.length === 2);
  /** Both see it: they watch one cluster. */
  const happens = async (name: string, count: number): Promise<void> => {
    await time.advance(1_000);
    for (const watch of cluster.events.watches) {
      const object = aProbeEvent({ name, count, time: time.now() });
      watch.change({ type: 'ADDED', object, resourceVersion: '9' });
    }
    await turns();
  };
  return { lease, time, cluster, first, second, happens };
}

const leading = async ({ forwarder }: { forwarder: Forwarder }) =>
  valueOf(forwarder.metrics.leading);

describe('two forwarders', () => {
  it('see the same, and one of them sends it', async () => {
    const { first, second, happens } = await aPair();

    await happens('one', 1);

    expect([await leading(first), await leading(second)]).toEqual([1, 0]);
    expect([first.bus.received.length, second.bus.received.length]).toEqual([1, 0]);
    expect(await valueOf(second.forwarder.metrics.lookBackSignals)).toBe(1);
  });

  it('forget what the leader has sent, once the margin for clocks and slow watches is over', async () => {
    const { time, second, happens, cluster } = await aPair();
    await happens('one', 2);
    const { metrics } = second.forwarder;
    for (let second_ = 0; second_ < 50; second_ += 10) {
      await time.advance(10_000);
      for (const { open } of [cluster.events, cluster.pods])
        open.change({ type: 'BOOKMARK', resourceVersion: '10' });
      for (const { watches } of [cluster.events, cluster.pods])
        watches[0]?.change({ type: 'BOOKMARK', resourceVersion: '10' });
    }
    await time.advance(2_000);

    expect(await valueOf(metrics.lookBackSignals)).toBe(0);
    expect(await valueOf(metrics.signalsIgnored, { reason: 'SentByLeader' })).toBe(1);
    expect(second.bus.received).toEqual([]);
  });

  it('lose nothing that the leader had seen and not sent when it ends', async () => {
    const { time, lease, first, second, happens } = await aPair();
    const answered = Promise.withResolvers<[]>();
    first.bus.answer = () => answered.promise;
    await happens('unsent', 3);

    lease.cutOff.add('pod-a');
    await happens('during', 4);
    await time.advance(5_000);

    expect(await leading(second)).toBe(1);
    expect(second.bus.received.map(({ observedTime }) => observedTime)).toHaveLength(2);
    await happens('after', 5);
    expect(second.bus.received).toHaveLength(3);
    lease.cutOff.clear();
    answered.resolve([]);
  });

  it('both send what they observe while neither can know who leads', async () => {
    const { time, lease, first, second, happens } = await aPair();
    lease.cutOff.add('pod-a').add('pod-b');
    await time.advance(10_000);

    await happens('blind', 6);

    expect([first.bus.received.length, second.bus.received.length]).toEqual([1, 1]);
    expect([await leading(first), await leading(second)]).toEqual([0, 0]);
    lease.cutOff.clear();
  });

  it('hand over at once at a stop', async () => {
    const { time, first, second, happens } = await aPair();
    await first.forwarder.stop();
    running.shift();
    await time.advance(500);

    await happens('after', 7);

    expect(await leading(second)).toBe(1);
    expect(second.bus.received).toHaveLength(1);
  });

  it('each send what somebody tells them', async () => {
    const { second } = await aPair();

    const answer = second.intake().submit({
      ...{ namespace: 'shop', podName: 'cart-1', reason: 'AlertFiring' },
      observedTime: startTime.toISOString(),
    });
    await turns();

    expect(answer.outcome).toBe('sent');
    expect(second.bus.received).toHaveLength(1);
  });
});

describe('a route of the leader', () => {
  const route: Route = {
    ...{ method: 'POST', path: '/v1/sensor', maxBodyBytes: 1 },
    handle: () => Promise.resolve({ status: 200, body: {} }),
  };
  const caller = { remoteAddress: '', clientCertified: false };

  it('is refused by whoever follows, with words that say why', async () => {
    expect(await byLeader(route, { follows: true }).admit?.(caller)).toMatchObject({
      status: 503,
      body: { error: expect.stringContaining('another forwarder leads') },
    });
  });

  it('is answered, and asks its own question first, where nobody else is known to lead', async () => {
    const asking = { ...route, admit: () => Promise.resolve({ status: 401, body: {} }) };

    expect(await byLeader(route, { follows: false }).admit?.(caller)).toBeUndefined();
    expect(await byLeader(asking, { follows: false }).admit?.(caller)).toMatchObject({
      status: 401,
    });
  });
});

describe('the look-back', () => {
  function aLookBack() {
    const sent: Signal[] = [];
    const metrics = createForwarderMetrics();
    const time = new FakeTime();
    const rooms: (() => void)[] = [];
    const sender = {
      hasRoom: false,
      send: (signal: Signal) => void sent.push(signal),
      room: () => new Promise<void>((resolve) => rooms.push(resolve)),
    };
    const lookBack = new LookBack({ sender, ...{ time, metrics, log: recordingLog().log } });
    return { lookBack, sender, sent, metrics, time, rooms };
  }

  it('holds a bounded number, the newest, and counts what it gave up', async () => {
    const { lookBack, metrics } = aLookBack();
    lookBack.standing({ role: 'following' });

    const signal = aSignal();
    for (let count = 0; count < maxHeldSignalCount + 5; count += 1) lookBack.hear(signal);

    expect(lookBack.heldCount).toBe(maxHeldSignalCount);
    expect(await valueOf(metrics.signalsIgnored, { reason: 'LookBackFull' })).toBe(5);
  });

  it('keeps nothing for longer than a dump can come of it', async () => {
    const { lookBack, metrics, time } = aLookBack();
    lookBack.standing({ role: 'following' });
    lookBack.hear(aSignal());

    await time.advance(15 * 60_000 + 1);
    lookBack.standing({ role: 'following' });

    expect(lookBack.heldCount).toBe(0);
    expect(await valueOf(metrics.signalsIgnored, { reason: 'LookBackExpired' })).toBe(1);
  });

  it('gives out no more than the sender has room for, in the order in which it was heard', async () => {
    const { lookBack, sent, rooms } = aLookBack();
    lookBack.standing({ role: 'following' });
    const heard = Array.from({ length: 1_200 }, (_, index) =>
      aSignal({ podName: `cart-${index}` }),
    );
    for (const signal of heard) lookBack.hear(signal);

    lookBack.standing({ role: 'leading' });
    const late = aSignal({ podName: 'late' });
    lookBack.hear(late);
    await turns(2);
    expect(sent).toHaveLength(0);
    while (lookBack.heldCount > 0) {
      rooms.shift()?.();
      await turns(2);
    }

    expect(sent).toEqual([...heard, late]);
  });

  it('is a queue for whoever leads and has no room: the watches wait behind it, and go on', async () => {
    const { lookBack, sent, rooms, metrics } = aLookBack();
    lookBack.standing({ role: 'leading' });
    const signal = aSignal();
    for (let count = 0; count < maxQueuedSignalCount - 1; count += 1) lookBack.hear(signal);
    expect(lookBack.pace()).toBeUndefined();

    lookBack.hear(signal);
    const waits = lookBack.pace();
    let goesOn = false;
    void waits?.then(() => (goesOn = true));
    await turns(2);
    expect([waits === undefined, goesOn]).toEqual([false, false]);
    expect(await valueOf(metrics.queueSignals)).toBe(maxQueuedSignalCount);
    rooms.shift()?.();
    await turns(2);

    expect(goesOn).toBe(true);
    expect(sent.length).toBeGreaterThan(0);
    expect(await valueOf(metrics.lookBackSignals)).toBe(0);
    expect(await valueOf(metrics.watchPauses)).toBe(1);
  });

  it('counts as failed what a leader cannot keep', async () => {
    const { lookBack, metrics } = aLookBack();
    lookBack.standing({ role: 'leading' });
    const signal = aSignal();

    for (let count = 0; count < maxHeldSignalCount + 3; count += 1) lookBack.hear(signal);

    expect(await valueOf(metrics.signalsFailed, { reason: 'QueueFull' })).toBe(3);
  });

  it('lets a watch go on when another one leads, and at the end', async () => {
    const { lookBack, sent } = aLookBack();
    const signal = aSignal();
    const full = (): Promise<void> | undefined => {
      lookBack.standing({ role: 'leading' });
      while (lookBack.heldCount < maxQueuedSignalCount) lookBack.hear(signal);
      return lookBack.pace();
    };

    const first = full();
    lookBack.standing({ role: 'following' });
    await first;
    const second = full();
    lookBack.close();
    await second;

    expect([first, second]).not.toContain(undefined);
    expect(sent).toHaveLength(maxQueuedSignalCount);
  });

  it('stops giving out when another one leads', async () => {
    const { lookBack, sent, rooms } = aLookBack();
    lookBack.standing({ role: 'following' });
    lookBack.hear(aSignal());
    lookBack.standing({ role: 'leading' });

    lookBack.standing({ role: 'following' });
    rooms.shift()?.();
    await turns(2);

    expect([sent.length, lookBack.heldCount]).toEqual([0, 1]);
  });
});
