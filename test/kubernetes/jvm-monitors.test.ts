import { afterEach, describe, expect, it } from '@jest/globals';
import { createJvmMonitorApi } from '../../lib/kubernetes/jvm-monitors.ts';
import { nextStatus } from '../../lib/policy/monitor-status.ts';
import { sendJson, sendStatus, startFakeApi, type FakeApi } from './fake-api.ts';

let fake: FakeApi;
afterEach(() => fake.close());

async function apiOf(answer: Parameters<typeof startFakeApi>[0]) {
  fake = await startFakeApi(answer);
  return createJvmMonitorApi({ kubeconfig: fake.kubeconfig });
}

const cart = { namespace: 'shop', name: 'cart', uid: 'uid-1' };
const facts = {
  ...{ generation: 3, enabled: true, matchedPodCount: 2, overriddenPodCount: 0 },
  lastCaptures: [],
};
const status = nextStatus(undefined, facts, new Date('2026-03-01T10:00:00Z'));

describe('the JvmMonitors of a cluster', () => {
  it('are listed in their own API group', async () => {
    const api = await apiOf((_request, response) =>
      sendJson(response, 200, { metadata: { resourceVersion: '7' }, items: [{ kind: 'any' }] }),
    );

    expect(await api.listMonitors('')).toEqual({ items: [{ kind: 'any' }], resourceVersion: '7' });
    expect(fake.requests[0]!.url).toBe('/apis/heapcatch.dev/v1alpha1/jvmmonitors?limit=500');
  });

  it('are none where the resource is not defined, and are not asked for in a watch', async () => {
    const api = await apiOf((_request, response) => sendStatus(response, 404, 'not found'));
    const stop = new AbortController();

    const { items, resourceVersion } = await api.listMonitors('shop');
    const watch = api.watchMonitors('shop', resourceVersion, () => undefined, stop.signal);
    stop.abort();

    expect(items).toEqual([]);
    expect(await watch).toBe('expired');
    expect(fake.requests).toHaveLength(1);
  });

  it('fail to be listed, and say what to grant, where the right is missing', async () => {
    const api = await apiOf((_request, response) => sendStatus(response, 403, 'no'));

    await expect(api.listMonitors('shop')).rejects.toMatchObject({ code: 'ClusterForbidden' });
  });

  it('have their status replaced, of the same object only', async () => {
    const api = await apiOf((_request, response) => sendJson(response, 200, {}));

    await api.patchStatus(cart, status);

    const [request] = fake.requests;
    expect(request).toMatchObject({
      method: 'PATCH',
      url: '/apis/heapcatch.dev/v1alpha1/namespaces/shop/jvmmonitors/cart/status',
    });
    expect(JSON.parse(request!.body)).toEqual({ metadata: { uid: 'uid-1' }, status });
  });

  it.each([404, 409])('that are gone or replaced (%i) are no fault of a status', async (code) => {
    const api = await apiOf((_request, response) => sendStatus(response, code, 'gone'));

    await expect(api.patchStatus(cart, status)).resolves.toBeUndefined();
  });

  it('have Events of their own', async () => {
    const api = await apiOf((_request, response) => sendJson(response, 201, {}));

    await api.postMonitorEvent(cart, {
      ...{ type: 'Warning', reason: 'ScrapeFailing', message: 'why', identity: '1' },
    });

    expect(fake.requests[0]!.url).toBe('/api/v1/namespaces/shop/events');
    expect(JSON.parse(fake.requests[0]!.body)).toMatchObject({
      involvedObject: { apiVersion: 'heapcatch.dev/v1alpha1', kind: 'JvmMonitor', ...cart },
      ...{ type: 'Warning', reason: 'ScrapeFailing', message: 'why' },
    });
  });
});
