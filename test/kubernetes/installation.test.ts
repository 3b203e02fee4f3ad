import { afterEach, describe, expect, it } from '@jest/globals';
import { createInstallation } from '../../lib/kubernetes/installation.ts';
import { sendJson, sendStatus, startFakeApi, type FakeApi } from './fake-api.ts';

let fake: FakeApi | undefined;
afterEach(async () => {
  await fake?.close();
  fake = undefined;
});

/** An installation whose API answers by path; 404 elsewhere, 403 where the answer is `forbidden`. */
async function installed(answers: Readonly<Record<string, unknown>>) {
  fake = await startFakeApi(({ url }, response) => {
    const answer = answers[url.split('?')[0] ?? ''];
    if (answer === undefined) sendStatus(response, 404, 'not found');
    else if (answer === 'forbidden') sendStatus(response, 403, 'no');
    else if (typeof answer === 'string') response.end(answer);
    else sendJson(response, 200, answer);
  });
  return createInstallation(fake.kubeconfig, 'ops');
}

const template = { spec: { containers: [{ image: 'heapcatch:1' }] } };

describe('what is installed in a cluster', () => {
  it('is read of the objects of its namespace', async () => {
    const found = await installed({
      '/api/v1/namespaces/ops': { metadata: { labels: { a: 'b' } } },
      '/apis/apps/v1/namespaces/ops/deployments/heapcatch-forwarder': {
        ...{ spec: { replicas: 2, template }, status: { readyReplicas: 1 } },
      },
      '/apis/apps/v1/namespaces/ops/daemonsets/heapcatch-agent': {
        ...{ spec: { template }, status: { desiredNumberScheduled: 3, numberReady: 3 } },
      },
      '/api/v1/namespaces/ops/configmaps/heapcatch-forwarder': { data: { A: '1' } },
      '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/jvmmonitors.heapcatch.dev': {},
    });

    expect(await found.readNamespaceLabels()).toEqual({ a: 'b' });
    expect(await found.readForwarder()).toEqual({
      ...{ wantedCount: 2, readyCount: 1, image: 'heapcatch:1' },
    });
    expect(await found.readAgent()).toEqual({
      ...{ wantedCount: 3, readyCount: 3, image: 'heapcatch:1' },
    });
    expect(await found.readForwarderConfig()).toEqual({ A: '1' });
    expect(await found.hasJvmMonitors()).toBe(true);
  });

  it('is absent where there is nothing, and a fault where one may not look', async () => {
    const found = await installed({ '/api/v1/namespaces/ops': 'forbidden' });

    expect(await found.readForwarder()).toBeUndefined();
    expect(await found.readAgent()).toBeUndefined();
    expect(await found.readForwarderConfig()).toBeUndefined();
    expect(await found.hasJvmMonitors()).toBe(false);
    await expect(found.readNamespaceLabels()).rejects.toMatchObject({ code: 'ClusterForbidden' });
  });

  it('asks what somebody else may do, subresource apart', async () => {
    const found = await installed({
      '/apis/authorization.k8s.io/v1/subjectaccessreviews': { status: { allowed: true } },
    });
    const right = { verb: 'get', group: '', resource: 'pods/exec', namespace: 'shop' };

    expect(await found.mayDo({ user: 'u', groups: ['g'] }, right)).toBe(true);

    const { spec } = JSON.parse(fake!.requests[0]!.body) as { spec: unknown };
    expect(spec).toEqual({
      ...{ user: 'u', groups: ['g'] },
      resourceAttributes: {
        ...{ verb: 'get', group: '', resource: 'pods', subresource: 'exec', namespace: 'shop' },
      },
    });
  });

  it('reads the metrics of each forwarder through the API server', async () => {
    const found = await installed({
      '/api/v1/namespaces/ops/pods': { items: [{ metadata: { name: 'f-1' } }, {}] },
      '/api/v1/namespaces/ops/pods/f-1%3A8080/proxy/metrics': 'heapcatch_signals_sent_total 1\n',
    });

    expect(await found.readForwarderMetrics()).toEqual(['heapcatch_signals_sent_total 1\n']);
  });
});
