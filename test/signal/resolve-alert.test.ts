import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';
import type { Alert } from '../../lib/signal/alert.ts';
import { resolveAlert, type PodIndex } from '../../lib/signal/resolve-alert.ts';
import { anyText } from '../any-text.ts';
import { pod } from '../policy/facts.ts';

const cart = pod({ namespace: 'shop', podName: 'cart-1', podUid: 'uid-cart', podIP: '10.0.0.1' });
const exporter = pod({
  namespace: 'monitoring',
  podName: 'ksm-0',
  podUid: 'uid-ksm',
  podIP: '10.0.0.2',
});
const db = (namespace: string): PodFacts =>
  pod({ namespace, podName: 'db-0', podUid: `uid-${namespace}`, podIP: '10.0.0.3' });

function indexOf(...pods: readonly PodFacts[]): PodIndex {
  return {
    get: (namespace, podName) =>
      pods.find((one) => one.namespace === namespace && one.podName === podName),
    all: () => pods,
  };
}

function alert(labels: Record<string, string>, startsTime?: string): Alert {
  return {
    alertName: 'Heap',
    firing: true,
    labels: new Map(Object.entries(labels)),
    identity: 'id',
    ...(startsTime === undefined ? {} : { startsTime }),
  };
}

const resolve = (
  labels: Record<string, string>,
  pods: PodIndex = indexOf(cart, exporter),
  watches: (namespace: string) => boolean = () => true,
) => resolveAlert(alert(labels), { pods, watches, clusterLabel: 'prod' });

describe('resolveAlert', () => {
  it.each<[string, Record<string, string>]>([
    ['pod and namespace', { pod: 'cart-1', namespace: 'shop' }],
    ['a pod alone, where one pod has that name', { pod: 'cart-1' }],
    ['an address of the scrape', { instance: '10.0.0.1:9404' }],
    ['an address in a namespace', { instance: '10.0.0.1', namespace: 'shop' }],
    [
      'Kubernetes’ older label names',
      { kubernetes_pod_name: 'cart-1', kubernetes_namespace: 'shop' },
    ],
    ['the cluster’s own label', { pod: 'cart-1', namespace: 'shop', cluster: 'prod' }],
    ['the right uid', { pod: 'cart-1', namespace: 'shop', uid: 'uid-cart' }],
  ])('finds the pod by %s', (_name, labels) => {
    expect(resolve(labels)).toMatchObject({ outcome: 'resolved', pod: { podUid: 'uid-cart' } });
  });

  it('takes the exported pod for the subject, and the plain label for the exporter', () => {
    const labels = {
      exported_pod: 'cart-1',
      exported_namespace: 'shop',
      exported_container: 'app',
      pod: 'ksm-0',
      namespace: 'monitoring',
      container: 'kube-state-metrics',
      instance: '10.0.0.2:8080',
    };

    expect(resolve(labels)).toMatchObject({ pod: { podUid: 'uid-cart' }, containerName: 'app' });
  });

  it('never falls back to a weaker label, which can be the exporter', () => {
    expect(
      resolve({ exported_pod: 'gone', exported_namespace: 'shop', pod: 'cart-1' }),
    ).toMatchObject({
      reason: 'PodUnknown',
    });
    expect(resolve({ pod: 'gone', namespace: 'shop', instance: '10.0.0.1:1' })).toMatchObject({
      reason: 'PodUnknown',
    });
  });

  it.each<[string, Record<string, string>]>([
    ['PodNotNamed', {}],
    ['PodNotNamed', { instance: 'cart.shop.svc:9404' }],
    ['PodNotNamed', { pod: '', instance: '' }],
    ['PodUnknown', { pod: 'cart-2', namespace: 'shop' }],
    ['PodUnknown', { instance: '10.9.9.9:9404' }],
    ['PodUnknown', { instance: '10.0.0.1:9404', namespace: 'other' }],
    ['PodReplaced', { pod: 'cart-1', namespace: 'shop', uid: 'uid-of-the-one-before' }],
    ['OtherCluster', { pod: 'cart-1', namespace: 'shop', cluster: 'staging' }],
  ])('refuses with %s what says %j', (reason, labels) => {
    expect(resolve(labels)).toMatchObject({ outcome: 'refused', reason });
  });

  it('refuses a name that several namespaces have, and lists them', () => {
    const answer = resolve({ pod: 'db-0' }, indexOf(db('shop'), db('bank')));

    expect(answer).toMatchObject({ reason: 'PodAmbiguous' });
    expect(JSON.stringify(answer)).toContain('shop/db-0, bank/db-0');
  });

  it('refuses an address that several pods have', () => {
    const answer = resolve({ instance: '10.0.0.3:1' }, indexOf(db('shop'), db('bank')));

    expect(answer).toMatchObject({ reason: 'PodAmbiguous' });
  });

  it('does not take a pod in the node’s network, or one that has ended, for the owner of an address', () => {
    const node = pod({ podIP: '10.0.0.3', hostNetwork: true, podUid: 'uid-node' });
    const ended = { ...db('shop'), phase: 'Succeeded' as const };

    expect(resolve({ instance: '10.0.0.3:9100' }, indexOf(node, ended))).toMatchObject({
      reason: 'PodUnknown',
    });
    expect(resolve({ instance: '10.0.0.3:1' }, indexOf(ended, db('bank')))).toMatchObject({
      pod: { podUid: 'uid-bank' },
    });
  });

  it('refuses a namespace that is not watched, and says so', () => {
    const answer = resolve(
      { pod: 'ksm-0', namespace: 'kube-system' },
      indexOf(cart),
      (namespace) => namespace === 'shop',
    );

    expect(answer).toMatchObject({
      reason: 'NamespaceNotWatched',
      message: expect.stringContaining('"kube-system"'),
    });
  });

  it('refuses a namespace that has not opted in, and says by which label it would', () => {
    const optIn = 'heapcatch.dev/watch=true';
    const place = { pods: indexOf(cart), watches: () => false, clusterLabel: 'prod', optIn };

    expect(resolveAlert(alert({ pod: 'x', namespace: 'other' }), place)).toMatchObject({
      reason: 'NamespaceNotWatched',
      message: expect.stringMatching(/"other" is not watched.*heapcatch\.dev\/watch=true/),
    });
  });

  it('refuses what an earlier life of the container did', () => {
    const [app] = cart.containers;
    const again = { ...cart, containers: [{ ...app!, startedTime: '2026-03-01T10:00:00Z' }] };
    const place = { pods: indexOf(again), watches: () => true, clusterLabel: 'prod' };
    const at = (startsTime: string) =>
      resolveAlert(alert({ pod: 'cart-1', namespace: 'shop' }, startsTime), place);

    expect(at('2026-03-01T09:59:59.000Z')).toMatchObject({ reason: 'ContainerRestarted' });
    expect(at('2026-03-01T10:00:00.000Z')).toMatchObject({ outcome: 'resolved' });
  });

  it('answers any labels, with bounded words, and only ever a pod that a label names', () => {
    const value = fc.oneof(
      fc.constantFrom('cart-1', 'shop', 'ksm-0', 'monitoring', '10.0.0.1:9404', '[::1]:1', '../x'),
      anyText(),
      fc.constant('9'.repeat(100_000)),
    );
    const names = ['pod', 'namespace', 'instance', 'uid', 'cluster', 'container'];
    const label = fc.constantFrom(...names, ...names.map((name) => `exported_${name}`));
    fc.assert(
      fc.property(fc.dictionary(label, value), (labels) => {
        const answer = resolve(labels);
        if (answer.outcome === 'refused') {
          expect(answer.message.length).toBeLessThan(1_000);
          return;
        }
        const said = Object.values(labels).join(' ');
        expect(said.includes(answer.pod.podName) || said.includes(answer.pod.podIP ?? '')).toBe(
          true,
        );
      }),
    );
  });
});
