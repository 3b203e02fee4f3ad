import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startForwarder, type Forwarder, type Known } from '../../lib/forwarder/forwarder.ts';
import { maxOptedInCount } from '../../lib/forwarder/watched-namespaces.ts';
import { FakeBus, FakeCluster, FakeResource, FakeTime } from './fakes.ts';
import {
  aPod,
  aProbeEvent,
  recordingLog,
  temporaryDirectory,
  turns,
  until,
  valueOf,
} from './fakes.ts';

let directory: ReturnType<typeof temporaryDirectory>;
let running: Forwarder | undefined;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(async () => {
  await running?.stop();
  directory.remove();
});

/** A cluster whose namespaces each have resources of their own. */
async function aForwarder(labelled: readonly string[], named: readonly string[] = []) {
  const clusters = new Map<string, FakeCluster>();
  const of = (namespace: string): FakeCluster => {
    const cluster = clusters.get(namespace) ?? new FakeCluster();
    clusters.set(namespace, cluster);
    cluster.pods.items = [aPod({ namespace, podUid: namespace })];
    return cluster;
  };
  const names = new FakeResource<string>();
  names.items = labelled;
  const bus = new FakeBus();
  let known: Known | undefined;
  running = await startForwarder({
    ...{ clusterName: 'test', namespaces: named, httpPort: 0, apiPort: 0 },
    optIn: {
      selector: 'heapcatch.dev/watch=true',
      source: {
        listNamespaces: () => names.answerList(),
        watchNamespaces: (from, onChange, signal) => names.watch(from, onChange, signal),
      },
    },
    source: {
      listPods: (namespace) => of(namespace).pods.answerList(),
      listEvents: (namespace) => of(namespace).events.answerList(),
      watchPods: (namespace, ...rest) => of(namespace).watchPods(namespace, ...rest),
      watchEvents: (namespace, ...rest) => of(namespace).watchEvents(namespace, ...rest),
    },
    routes: (_intake, facts) => {
      known = facts;
      return [];
    },
    ...{ spoolDirectory: directory.path, spoolMaxBytes: 1 << 20, bus, time: new FakeTime() },
    ...{ random: () => 0.5, log: recordingLog().log },
  });
  const { metrics } = running;
  await until('the namespaces are watched', () => names.watches.length === 1);
  await turns();
  const watched = () => ['shop', 'pay', 'other'].filter((name) => known?.watches(name));
  return { clusters, names, bus, watched, known: known!, metrics };
}

describe('namespaces that opt in by a label', () => {
  it('are watched from the list on, and no others', async () => {
    const { watched, clusters, known, names } = await aForwarder(['shop', 'pay'], ['other']);

    expect(watched()).toEqual(['shop', 'pay', 'other']);
    expect([...known.pods.all()].map(({ namespace }) => namespace).sort()).toEqual([
      ...['other', 'pay', 'shop'],
    ]);
    expect([...clusters.keys()].sort()).toEqual(['other', 'pay', 'shop']);
    expect(names.listCount).toBe(1);
  });

  it('are watched when they get the label, and forgotten when they lose it', async () => {
    const { watched, clusters, known, names, bus, metrics } = await aForwarder(['shop']);

    names.open.change({ type: 'ADDED', object: 'pay', resourceVersion: '2' });
    await until('its Events are watched', () => clusters.get('pay')?.events.watches.length === 1);
    expect(watched()).toEqual(['shop', 'pay']);
    names.open.change({ type: 'DELETED', object: 'shop', resourceVersion: '3' });
    await turns();

    expect(watched()).toEqual(['pay']);
    expect(known.pods.get('shop', 'cart-1')).toBeUndefined();
    const left = clusters.get('shop')!;
    expect([left.pods.open.aborted(), left.events.open.aborted()]).toEqual([true, true]);
    left.events.open.change({ type: 'ADDED', object: aProbeEvent(), resourceVersion: '9' });
    await turns();
    expect(bus.received).toEqual([]);
    expect(known.unreadyReasons()).toEqual([]);
    expect(await valueOf(metrics.namespacesWatched)).toBe(1);
  });

  it('are watched again, by one watch each, when the label comes back at once', async () => {
    const { clusters, names, watched } = await aForwarder(['shop']);

    names.open.change({ type: 'DELETED', object: 'shop', resourceVersion: '3' });
    names.open.change({ type: 'ADDED', object: 'shop', resourceVersion: '4' });
    names.open.change({ type: 'MODIFIED', object: 'shop', resourceVersion: '5' });
    await until('Events again', () => clusters.get('shop')?.events.watches.length === 2);
    await turns();

    const { events, pods } = clusters.get('shop')!;
    expect(watched()).toEqual(['shop']);
    expect(events.watches.filter((watch) => !watch.aborted())).toHaveLength(1);
    expect(pods.watches.filter((watch) => !watch.aborted())).toHaveLength(1);
  });

  it('are those of the new list after a gap, and one that is named stays', async () => {
    const { names, watched } = await aForwarder(['shop', 'pay'], ['pay']);

    names.items = ['other'];
    names.open.change({ type: 'BOOKMARK', resourceVersion: '5' });
    names.open.end('expired');
    await until('listed again', () => names.watches.length === 2);

    expect(watched()).toEqual(['pay', 'other']);
  });

  it('are watched up to a bound, and the next one when there is room', async () => {
    const many = Array.from({ length: maxOptedInCount }, (_, index) => `many-${index}`);
    const { names, watched, metrics } = await aForwarder([...many, 'shop']);

    expect(watched()).toEqual([]);
    expect(await valueOf(metrics.namespacesRefused)).toBe(1);
    names.open.change({ type: 'DELETED', object: 'many-0', resourceVersion: '3' });
    await turns();

    expect(watched()).toEqual(['shop']);
    expect(await valueOf(metrics.namespacesRefused)).toBe(0);
  });
});
