import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { connect } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  startForwarder,
  type Forwarder,
  type ForwarderOptions,
} from '../../lib/forwarder/forwarder.ts';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';
import {
  aPod,
  aProbeEvent,
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
let running: { forwarder: Forwarder; stop: () => Promise<void> } | undefined;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(async () => {
  await running?.stop();
  running = undefined;
  directory.remove();
});

async function aForwarder(
  options: Pick<Partial<ForwarderOptions>, 'routes' | 'apiTls'> & {
    cluster?: FakeCluster;
    namespaces?: string[];
    time?: FakeTime;
    bus?: FakeBus;
  } = {},
) {
  const cluster = options.cluster ?? new FakeCluster();
  const { bus = new FakeBus(), time = new FakeTime() } = options;
  const forwarder = await startForwarder({
    clusterName: 'test',
    namespaces: options.namespaces ?? [''],
    spoolDirectory: directory.path,
    spoolMaxBytes: 1024 * 1024,
    httpPort: 0,
    apiPort: 0,
    ...(options.routes === undefined ? {} : { routes: options.routes }),
    ...(options.apiTls === undefined ? {} : { apiTls: options.apiTls }),
    source: cluster,
    bus,
    time,
    random: () => 0.5,
    log: recordingLog().log,
  });
  let stopped = false;
  const stop = async (): Promise<void> => {
    if (!stopped) await forwarder.stop();
    stopped = true;
  };
  running = { forwarder, stop };
  const ready = async () => {
    const answer = await fetch(`http://127.0.0.1:${String(forwarder.httpPort)}/readyz`);
    return { status: answer.status, text: await answer.text() };
  };
  return { cluster, bus, time, forwarder, stop, ready };
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
function usedHeapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

const spooled = () => readdirSync(directory.path).filter((name) => name.endsWith('.json'));

describe('startForwarder', () => {
  it('serves its routes on a plain port and one with TLS, and tells them when the pods are known', async () => {
    const tls = (name: string): string => path.join(import.meta.dirname, 'fixtures/tls', name);
    let unready: readonly string[] = [];
    const { forwarder, stop } = await aForwarder({
      apiTls: { port: 0, files: { cert: tls('server.crt'), key: tls('server.key') } },
      routes: (_intake, known) => {
        unready = known.unreadyReasons();
        const handle = () => Promise.resolve({ status: 200, body: [...known.pods.all()].length });
        return [{ method: 'GET', path: '/v1/pods', maxBodyBytes: 0, handle }];
      },
    });

    const plain = await fetch(`http://127.0.0.1:${String(forwarder.apiPort)}/v1/pods`);
    const socket = connect({
      ...{ host: '127.0.0.1', port: forwarder.apiTlsPort, ca: readFileSync(tls('server.crt')) },
    });
    await once(socket, 'secureConnect');
    socket.resume();
    const ended = once(socket, 'close');
    await stop();
    await ended;

    expect(await plain.text()).toBe('0\n');
    expect(unready).toEqual([]);
  });

  it('binds nothing when the certificate cannot be read', async () => {
    const files = { cert: '/no/such/tls.crt', key: '/no/such/tls.key' };

    await expect(aForwarder({ apiTls: { port: 0, files } })).rejects.toThrow(/ENOENT/);
  });

  it('leaves nothing at work on the spool when it cannot start', async () => {
    const bus = new FakeBus();
    bus.answer = () => Promise.reject(new Error('away'));
    const first = await aForwarder({ bus });
    await until('Events are watched', () => first.cluster.events.watches.length === 1);
    first.cluster.pods.open.change({ type: 'ADDED', object: aPod(), resourceVersion: '2' });
    first.cluster.events.open.change({
      type: 'ADDED',
      object: aProbeEvent(),
      resourceVersion: '3',
    });
    await first.stop();
    expect(spooled()).toHaveLength(1);
    const [time, cert] = [new FakeTime(), path.join(directory.path, 'none.crt')];

    const start = aForwarder({ bus, time, apiTls: { port: 0, files: { cert, key: cert } } });
    await expect(start).rejects.toThrow('none.crt');

    const callCount = bus.calls.length;
    await time.advance(3_600_000);
    expect([time.sleeperCount, bus.calls.length]).toEqual([0, callCount]);
    expect(spooled()).toHaveLength(1);
  });

  it('brings a failing probe from the watch to the bus', async () => {
    const { cluster, bus } = await aForwarder();
    cluster.pods.items = [aPod()];
    await until('Events are watched', () => cluster.events.watches.length === 1);

    cluster.pods.open.change({ type: 'ADDED', object: aPod(), resourceVersion: '2' });
    cluster.events.open.change({ type: 'ADDED', object: aProbeEvent(), resourceVersion: '3' });
    await turns();

    expect(bus.received).toEqual([
      expect.objectContaining({ podName: 'cart-1', reason: 'LivenessProbeFailing' }),
    ]);
  });

  it('asks for Events only when the pods are known, and sends the trouble of right now', async () => {
    const cluster = new FakeCluster();
    const listed = Promise.withResolvers<undefined>();
    cluster.pods.list = async () => {
      await listed.promise;
      return { items: [aPod()], resourceVersion: '1' };
    };
    cluster.events.items = [
      aProbeEvent({ name: 'now' }),
      aProbeEvent({ name: 'old', time: new Date(startTime.getTime() - 3_000_000) }),
    ];
    const { bus } = await aForwarder({ cluster });
    await turns();
    expect(cluster.events.listCount).toBe(0);

    listed.resolve(undefined);
    await until('the Event is sent', () => bus.received.length > 0);
    await turns();

    expect(bus.received).toHaveLength(1);
  });

  it('sees after an expired watch what happened in the gap', async () => {
    const cluster = new FakeCluster();
    cluster.pods.items = [
      aPod({ podName: 'a', podUid: 'a' }),
      aPod({ podName: 'b', podUid: 'b' }),
      aPod({ podName: 'c', podUid: 'c-old' }),
    ];
    const { bus, forwarder } = await aForwarder({ cluster });
    await until('pods are watched', () => cluster.pods.watches.length === 1);

    cluster.pods.items = [
      aPod({ podName: 'a', podUid: 'a', deletionTime: '2026-03-01T10:00:30Z' }),
      aPod({ podName: 'c', podUid: 'c-new' }),
    ];
    cluster.pods.open.change({ type: 'BOOKMARK', resourceVersion: '2' });
    cluster.pods.open.end('expired');
    await until('pods are watched again', () => cluster.pods.watches.length === 2);
    await turns();

    expect(bus.received.map((signal) => [signal.podName, signal.reason])).toEqual([
      ['a', 'PodDeleting'],
    ]);
    expect(await valueOf(forwarder.metrics.podsCached)).toBe(2);
    expect(await valueOf(forwarder.metrics.watchExpired, { resource: 'pods' })).toBe(1);
  });

  it('is ready when every list is done, and not when a watch is silent and cannot be renewed', async () => {
    const cluster = new FakeCluster();
    const listed = Promise.withResolvers<undefined>();
    cluster.events.list = async () => {
      await listed.promise;
      return { items: [], resourceVersion: '1' };
    };
    const { ready, time } = await aForwarder({ cluster, namespaces: ['shop', 'pay'] });
    await turns();
    const before = await ready();
    expect(before.status).toBe(503);
    expect(before.text).toContain('events shop: not listed yet');

    listed.resolve(undefined);
    await until('all is watched', () => cluster.events.watches.length === 2);
    expect(await ready()).toEqual({ status: 200, text: 'ok\n' });

    cluster.pods.list = () => Promise.reject(new Error('down'));
    await time.advance(600_000);
    const after = await ready();
    expect(after.status).toBe(503);
    expect(after.text).toMatch(/pods shop: silent for \d+ s/);
    expect(after.text).not.toMatch(/events/);
  });

  it('ends the watches at the stop and leaves on disk what the bus did not take', async () => {
    const { cluster, bus, stop } = await aForwarder();
    await until('Events are watched', () => cluster.events.watches.length === 1);
    cluster.pods.open.change({ type: 'ADDED', object: aPod(), resourceVersion: '2' });
    bus.answer = () => Promise.reject(new Error('no route'));
    cluster.events.open.change({ type: 'ADDED', object: aProbeEvent(), resourceVersion: '3' });

    await stop();

    expect([cluster.pods.open.aborted(), cluster.events.open.aborted()]).toEqual([true, true]);
    expect(spooled()).toHaveLength(1);
  });

  it('stops while the first list still hangs', async () => {
    const cluster = new FakeCluster();
    cluster.pods.list = () => new Promise(() => undefined);
    const { stop, time } = await aForwarder({ cluster });

    await stop();

    expect(time.sleeperCount).toBe(0);
  });

  it('keeps less than 2 KiB of each of 5,000 pods', async () => {
    const cluster = new FakeCluster();
    // Strings of their own, as from a parser: shared ones would make every pod look cheap.
    const text = JSON.stringify(
      Array.from({ length: 5_000 }, (_, index) =>
        aPod({
          podName: `cart-${String(index)}`,
          podUid: `uid-${String(index)}`,
          annotations: { 'big.example/config': `${String(index)}${'x'.repeat(5_000)}` },
        }),
      ),
    );
    cluster.pods.list = () =>
      Promise.resolve({ items: JSON.parse(text) as PodFacts[], resourceVersion: '1' });
    const before = usedHeapBytes();

    const { forwarder, bus } = await aForwarder({ cluster });
    await until('Events are watched', () => cluster.events.watches.length === 1);
    await turns();

    expect(await valueOf(forwarder.metrics.podsCached)).toBe(5_000);
    expect(bus.received).toEqual([]);
    expect((usedHeapBytes() - before) / 5_000).toBeLessThan(2_048);
  });
});
