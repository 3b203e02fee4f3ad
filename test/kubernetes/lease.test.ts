import { afterEach, describe, expect, it } from '@jest/globals';
import { createLeaseApi } from '../../lib/kubernetes/lease.ts';
import { sendJson, sendStatus, startFakeApi, type FakeApi } from './fake-api.ts';

let fake: FakeApi;
afterEach(() => fake.close());

async function aLease(answer: Parameters<typeof startFakeApi>[0]) {
  fake = await startFakeApi(answer);
  const { kubeconfig } = fake;
  return createLeaseApi({ kubeconfig, namespace: 'heapcatch', name: 'heapcatch-forwarder' });
}

const path = '/apis/coordination.k8s.io/v1/namespaces/heapcatch/leases';
const spec = {
  holderIdentity: 'pod-a',
  leaseDurationSeconds: 4,
  acquireTime: '2026-03-01T10:00:00.000000Z',
  renewTime: '2026-03-01T10:00:05.123000Z',
  leaseTransitions: 2,
};
const annotations = { 'heapcatch.dev/sent-through': '2026-03-01T10:00:04.000Z' };
const stored = { metadata: { resourceVersion: '7', annotations }, spec };
const record = {
  ...{ holderIdentity: 'pod-a', leaseDurationSeconds: 4, leaseTransitions: 2 },
  acquireTime: '2026-03-01T10:00:00Z',
  renewTime: '2026-03-01T10:00:05.123Z',
};
const asked = () =>
  fake.requests.map(({ method, url, body }) => ({
    method,
    url,
    body: JSON.parse(body) as unknown,
  }));

describe('a Lease', () => {
  it('is read with the time until which its holder has sent all', async () => {
    const lease = await aLease((_, response) => sendJson(response, 200, stored));

    expect(await lease.read()).toEqual({
      ...spec,
      resourceVersion: '7',
      sentThroughTime: '2026-03-01T10:00:04.000Z',
    });
    expect(fake.requests[0]?.url).toBe(`${path}/heapcatch-forwarder`);
  });

  it('is nobody’s when it was made without a spec, and absent when there is none', async () => {
    const lease = await aLease((_, response) =>
      sendJson(response, 200, { metadata: { resourceVersion: '1' } }),
    );
    expect(await lease.read()).toMatchObject({ holderIdentity: '', resourceVersion: '1' });
    await fake.close();

    const absent = await aLease((_, response) => sendStatus(response, 404, 'not found'));
    expect(await absent.read()).toBeUndefined();
  });

  it('is created where there is none', async () => {
    const lease = await aLease((_, response) => sendJson(response, 201, stored));

    expect(await lease.write(record, undefined)).toMatchObject({ resourceVersion: '7' });
    expect(asked()).toEqual([
      {
        method: 'POST',
        url: path,
        body: {
          ...{ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', spec },
          metadata: { name: 'heapcatch-forwarder', namespace: 'heapcatch' },
        },
      },
    ]);
  });

  it('is written over the version that was read, and given back without a holder', async () => {
    const lease = await aLease((_, response) => sendJson(response, 200, stored));

    const sentThroughTime = '2026-03-01T10:00:04.000Z';
    await lease.write({ ...record, holderIdentity: '', sentThroughTime }, '6');

    expect(asked()).toEqual([
      {
        method: 'PATCH',
        url: `${path}/heapcatch-forwarder`,
        body: {
          metadata: { resourceVersion: '6', annotations },
          spec: { ...spec, holderIdentity: null },
        },
      },
    ]);
  });

  it.each([404, 409])('is not written when it has changed since: %i', async (status) => {
    const lease = await aLease((_, response) => sendStatus(response, status, 'no'));

    expect(await lease.write(record, '6')).toBeUndefined();
  });

  it('says that it may not be used', async () => {
    const lease = await aLease((_, response) => sendStatus(response, 403, 'no'));

    await expect(lease.read()).rejects.toMatchObject({ code: 'ClusterForbidden' });
  });
});
