import { afterEach, describe, expect, it } from '@jest/globals';
import { ClusterConnection } from '../../lib/kubernetes/connection.ts';
import { guessWorkload, walkOwners } from '../../lib/kubernetes/owner-walk.ts';
import type { OwnerReference } from '../../lib/kubernetes/pod-object.ts';
import { sendJson, sendStatus, startFakeApi, type FakeApi } from './fake-api.ts';
import { owner, podObject } from './pod-objects.ts';

let fake: FakeApi;
afterEach(() => fake.close());

/** Owners by the last part of their path; a number is a refusal with that status. */
async function walk(
  references: OwnerReference[],
  owners: Record<string, { owner?: OwnerReference; uid?: string; status?: object } | number> = {},
) {
  fake = await startFakeApi(({ url }, response) => {
    const name = url.split('/').at(-1)!;
    const found = owners[name] ?? 404;
    if (typeof found === 'number') sendStatus(response, found, 'no');
    else {
      const { uid = `uid-of-${name}`, status } = found;
      const ownerReferences = found.owner ? [found.owner] : [];
      sendJson(response, 200, { metadata: { name, uid, ownerReferences }, status });
    }
  });
  return walkOwners(
    new ClusterConnection(fake.kubeconfig),
    podObject({ metadata: { ownerReferences: references } }),
  );
}

describe('walkOwners', () => {
  it('stops at a bare pod', async () => {
    expect(await walk([])).toEqual({ workload: { kind: 'Pod', name: 'cart-1' } });
    expect(fake.requests).toEqual([]);
  });

  it('goes from the ReplicaSet to the Deployment and counts its ready replicas', async () => {
    const result = await walk([owner('ReplicaSet', 'cart-5c')], {
      'cart-5c': { owner: owner('Deployment', 'cart'), status: { readyReplicas: 9 } },
      cart: { status: { readyReplicas: 2 } },
    });

    expect(result).toEqual({
      workload: { kind: 'Deployment', name: 'cart' },
      readyReplicaCount: 2,
    });
    expect(fake.requests.map(({ url }) => url)).toEqual([
      '/apis/apps/v1/namespaces/shop/replicasets/cart-5c',
      '/apis/apps/v1/namespaces/shop/deployments/cart',
    ]);
  });

  it.each([
    ['StatefulSet', 'apps/v1', { readyReplicas: 3 }],
    ['DaemonSet', 'apps/v1', { numberReady: 3 }],
    ['Job', 'batch/v1', { ready: 3 }],
  ])('stops at a %s, whoever owns it', async (kind, apiVersion, status) => {
    const result = await walk([owner(kind, 'top', apiVersion)], {
      top: { owner: owner('CronJob', 'higher', 'batch/v1'), status },
    });

    expect(result).toEqual({ workload: { kind, name: 'top' }, readyReplicaCount: 3 });
  });

  it('counts no ready replica where the status leaves the number out', async () => {
    expect(await walk([owner('StatefulSet', 'db')], { db: { status: {} } })).toMatchObject({
      readyReplicaCount: 0,
    });
  });

  it.each([
    ['is gone', 404],
    ['may not be read', 403],
    ['has given its name to another object', { uid: 'another' }],
  ])('ends at the last owner that is known when it %s', async (_case, answer) => {
    const result = await walk([owner('ReplicaSet', 'cart-5c')], {
      'cart-5c': { owner: owner('Deployment', 'cart') },
      cart: answer,
    });

    expect(result).toEqual({ workload: { kind: 'Deployment', name: 'cart' } });
  });

  it('ends at an owner of a kind that it does not know, by name', async () => {
    const result = await walk([owner('ReplicaSet', 'cart-5c')], {
      'cart-5c': { owner: owner('Rollout', 'cart', 'argoproj.io/v1alpha1') },
    });

    expect(result).toEqual({ workload: { kind: 'Rollout', name: 'cart' } });
  });

  it('takes a known kind of another API group for unknown', async () => {
    await walk([owner('StatefulSet', 'db', 'apps.kruise.io/v1')]);

    expect(fake.requests).toEqual([]);
  });

  it('ends in a cycle', async () => {
    const result = await walk([owner('ReplicaSet', 'a')], {
      a: { owner: owner('ReplicaSet', 'b') },
      b: { owner: owner('ReplicaSet', 'a') },
    });

    expect(result.workload.kind).toBe('ReplicaSet');
    expect(fake.requests).toHaveLength(2);
  });

  it('ends after five owners', async () => {
    const chain = Object.fromEntries(
      Array.from({ length: 9 }, (_, n) => [`r${n}`, { owner: owner('ReplicaSet', `r${n + 1}`) }]),
    );

    expect((await walk([owner('ReplicaSet', 'r0')], chain)).workload.name).toBe('r4');
    expect(fake.requests).toHaveLength(5);
  });

  it('ignores an owner that does not control the pod', async () => {
    const { workload } = await walk([{ ...owner('ReplicaSet', 'x'), controller: false }]);

    expect(workload.kind).toBe('Pod');
  });

  it('fails, retryable, when the cluster does not answer', async () => {
    await expect(walk([owner('Job', 'j', 'batch/v1')], { j: 503 })).rejects.toMatchObject({
      code: 'ClusterUnavailable',
      retryable: true,
    });
  });
});

describe('guessWorkload', () => {
  const guess = (reference: OwnerReference | undefined, labels: Record<string, string> = {}) => {
    const ownerReferences = reference ? [reference] : [];
    return guessWorkload({ name: 'cart-5c-x', labels, ownerReferences });
  };

  it('cuts the template hash off a ReplicaSet', () => {
    const labels = { 'pod-template-hash': '5c' };

    expect(guess(owner('ReplicaSet', 'cart-5c'), labels)).toEqual({
      kind: 'Deployment',
      name: 'cart',
    });
  });

  it.each([
    ['without a hash', owner('ReplicaSet', 'cart-5c'), {}],
    ['with another hash', owner('ReplicaSet', 'cart-5c'), { 'pod-template-hash': 'zz' }],
    ['of another kind', owner('StatefulSet', 'cart-5c'), { 'pod-template-hash': '5c' }],
  ])('keeps an owner %s', (_case, reference, labels) => {
    expect(guess(reference, labels as Record<string, string>)).toEqual({
      kind: reference.kind,
      name: 'cart-5c',
    });
  });

  it('names the pod itself when nothing controls it', () => {
    expect(guess(undefined)).toEqual({ kind: 'Pod', name: 'cart-5c-x' });
  });
});
