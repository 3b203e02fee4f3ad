import { afterEach, describe, expect, it } from '@jest/globals';
import type { EphemeralAgent } from '../../lib/capture/ports.ts';
import { createClusterApi } from '../../lib/kubernetes/cluster-api.ts';
import { sendJson, sendStatus, startFakeApi, type FakeApi } from './fake-api.ts';
import { podObject } from './pod-objects.ts';

const pod = { namespace: 'shop', podName: 'cart-1', podUid: 'uid-1' };
const agent: EphemeralAgent = {
  containerName: 'heapcatch-1',
  targetContainerName: 'app',
  image: 'heapcatch:1',
  runAsUser: 1_000,
  runAsGroup: 2_000,
  env: { TICKET: 'https://x/?a=$(b)$c' },
  volumeMounts: [{ volumeName: 'dumps', mountPath: '/dumps' }],
};

let fake: FakeApi;
afterEach(() => fake.close());

interface Answers {
  /** Ephemeral containers at each GET, the last one from then on. */
  names?: string[][];
  uid?: string;
  patch?: { status: number; body: unknown };
}

async function add({ names = [[]], uid = 'uid-1', patch }: Answers) {
  let reads = 0;
  fake = await startFakeApi(({ method }, response) => {
    if (method === 'PATCH') {
      sendJson(response, patch?.status ?? 200, patch?.body ?? podObject());
      return;
    }
    const present = names[Math.min(reads++, names.length - 1)]!;
    const ephemeralContainers = present.map((name) => ({ name }));
    sendJson(response, 200, podObject({ metadata: { uid }, spec: { ephemeralContainers } }));
  });
  const api = createClusterApi({ kubeconfig: fake.kubeconfig, clusterName: 'eu-1' });
  return api.addEphemeralAgents(pod, [agent]);
}

const otherUid = {
  status: 422,
  body: { message: 'metadata.uid: immutable', details: { causes: [{ field: 'metadata.uid' }] } },
};

describe('addEphemeralAgents', () => {
  it('asks for a container that the restricted standard admits, and for exactly this pod', async () => {
    expect(await add({})).toBe('added');

    const { method, url, contentType, body } = fake.requests[1]!;
    expect({ method, url, contentType }).toEqual({
      method: 'PATCH',
      url: '/api/v1/namespaces/shop/pods/cart-1/ephemeralcontainers',
      contentType: 'application/strategic-merge-patch+json',
    });
    expect(JSON.parse(body)).toEqual({
      metadata: { uid: 'uid-1' },
      spec: {
        ephemeralContainers: [
          {
            name: 'heapcatch-1',
            image: 'heapcatch:1',
            imagePullPolicy: 'IfNotPresent',
            targetContainerName: 'app',
            env: [{ name: 'TICKET', value: 'https://x/?a=$$(b)$$c' }],
            volumeMounts: [{ name: 'dumps', mountPath: '/dumps' }],
            terminationMessagePolicy: 'FallbackToLogsOnError',
            securityContext: {
              runAsNonRoot: true,
              runAsUser: 1_000,
              runAsGroup: 2_000,
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ['ALL'] },
              seccompProfile: { type: 'RuntimeDefault' },
            },
          },
        ],
      },
    });
  });

  it('does not patch a pod that has the container already', async () => {
    expect(await add({ names: [['heapcatch-1']] })).toBe('exists');
    expect(fake.requests.map(({ method }) => method)).toEqual(['GET']);
  });

  it('does not patch a pod that took the name of the one that is meant', async () => {
    expect(await add({ uid: 'uid-2' })).toBe('gone');
    expect(fake.requests.map(({ method }) => method)).toEqual(['GET']);
  });

  it.each([
    ['a 422 on its uid', otherUid],
    ['a 409 on its UID', { status: 409, body: { message: 'UID in precondition differs' } }],
    ['a 404', { status: 404, body: {} }],
  ])('answers gone when the pod is replaced before the patch: %s', async (_case, patch) => {
    expect(await add({ patch })).toBe('gone');
  });

  it('answers exists when another caller is faster', async () => {
    const patch = {
      status: 422,
      body: { message: 'existing ephemeral containers may not change' },
    };

    expect(await add({ names: [[], ['heapcatch-1']], patch })).toBe('exists');
  });

  it.each([
    [422, false],
    [400, false],
    [409, true],
  ])('fails when the API answers %i for another reason', async (status, retryable) => {
    const failure = add({ patch: { status, body: { message: 'the reason' } } });

    await expect(failure).rejects.toMatchObject({ code: 'AgentStartFailed', retryable });
    await expect(failure).rejects.toThrow(/"shop\/cart-1".*"heapcatch-1".*the reason/);
  });

  it('says what a policy of the cluster has against it', async () => {
    fake = await startFakeApi(({ method }, response) => {
      if (method === 'GET') sendJson(response, 200, podObject());
      else sendStatus(response, 403, 'violates PodSecurity "restricted:latest"');
    });
    const api = createClusterApi({ kubeconfig: fake.kubeconfig, clusterName: 'eu-1' });

    await expect(api.addEphemeralAgents(pod, [agent])).rejects.toMatchObject({
      code: 'ClusterForbidden',
      message: expect.stringMatching(/patch pods\/ephemeralcontainers.*PodSecurity/) as unknown,
    });
  });
});
