import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startLocalCluster } from '../../lib/local/cluster/local-cluster.ts';
import { isRunning, namespace, startTestCluster, type TestCluster } from './cluster-harness.ts';

let test: TestCluster;
beforeAll(async () => {
  test = await startTestCluster();
  for (const name of ['a', 'b', 'c']) test.createPod(name, {}, {}, { app: name });
  for (const name of ['a', 'b', 'c']) await test.until(name, isRunning);
});
afterAll(() => test.cluster.close());

interface Kubeconfig {
  clusters: [{ cluster: { server: string } }];
  users: [{ user: { token: string } }];
}

async function ask(path: string, init: RequestInit = {}) {
  const config = JSON.parse(test.cluster.kubeconfig) as Kubeconfig;
  const response = await fetch(config.clusters[0].cluster.server + path, {
    headers: { authorization: `Bearer ${config.users[0].user.token}` },
    ...init,
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

const namesOf = ({ body }: { body: Record<string, unknown> }): string[] =>
  (body['items'] as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name);

describe('the API', () => {
  it('asks for its token', async () => {
    expect(await ask('/api/v1/pods', { headers: {} })).toMatchObject({
      status: 401,
      body: { kind: 'Status', reason: 'Unauthorized', code: 401 },
    });
  });

  it.each([
    ['/api/v1/secrets', 404],
    ['/apis/apps/v1/pods', 404],
    ['/api/v1/namespaces/test/pods/a/attach', 404],
    ['/api/v1/namespaces/test/pods/%zz', 400],
    ['/api/v1/pods?fieldSelector=spec.containers=x', 400],
    ['/api/v1/pods?labelSelector=a in (b)', 400],
  ])('answers %s with %i and a Status', async (path, status) => {
    expect(await ask(path)).toMatchObject({ status, body: { kind: 'Status', code: status } });
  });

  it.each([
    ['labelSelector=app=b', ['b']],
    ['labelSelector=app!=b', ['a', 'c']],
    ['labelSelector=app', ['a', 'b', 'c']],
    ['labelSelector=other', []],
    ['labelSelector=app=a,app=b', []],
    ['fieldSelector=metadata.name=c,status.phase=Running', ['c']],
    ['fieldSelector=spec.nodeName=elsewhere', []],
  ])('selects by %s', async (query, names) => {
    expect(namesOf(await ask(`/api/v1/namespaces/test/pods?${query}`))).toEqual(names);
  });

  it('gives a list in pages of one version', async () => {
    const first = await ask('/api/v1/pods?limit=2');
    const { resourceVersion, continue: next } = first.body['metadata'] as Record<string, string>;
    test.createPod('later', { image: 'nobody' });

    const second = await ask(`/api/v1/pods?limit=2&continue=${encodeURIComponent(next!)}`);

    expect([...namesOf(first), ...namesOf(second)]).toEqual(['a', 'b', 'c', 'later']);
    expect(second.body['metadata']).toEqual({ resourceVersion });
  });

  it('refuses a body that is too large or no JSON', async () => {
    const config = JSON.parse(test.cluster.kubeconfig) as Kubeconfig;
    const headers = { authorization: `Bearer ${config.users[0].user.token}` };
    const post = (body: string) =>
      ask('/api/v1/namespaces/test/pods', { method: 'POST', headers, body });

    expect((await post('{')).status).toBe(400);
    expect((await post(`"${'x'.repeat(4_000_000)}"`)).status).toBe(413);
    expect((await post('{"metadata":{"name":"../x"}}')).status).toBe(422);
  });

  it('deletes the pod that has this uid, and no other', async () => {
    const preconditions = { uid: 'another' };
    const config = JSON.parse(test.cluster.kubeconfig) as Kubeconfig;
    const answer = await ask('/api/v1/namespaces/test/pods/a', {
      method: 'DELETE',
      headers: { authorization: `Bearer ${config.users[0].user.token}` },
      body: JSON.stringify({ preconditions }),
    });

    expect(answer.status).toBe(409);
  });

  it('forgets its history when it is told to', async () => {
    const { resourceVersion } = await test.source.listPods(namespace);
    test.createPod('unseen', { image: 'nobody' });
    test.cluster.forgetHistory();

    const end = await test.source.watchPods(
      namespace,
      resourceVersion,
      () => undefined,
      AbortSignal.timeout(10_000),
    );

    expect(end).toBe('expired');
  });

  it('lives beside another one on addresses of its own', async () => {
    const other = await startLocalCluster({ images: { idle: ['sleep', '1000'] } });
    try {
      const servers = [test.cluster, other].map(
        ({ kubeconfig }) => (JSON.parse(kubeconfig) as Kubeconfig).clusters[0].cluster.server,
      );

      expect(new Set(servers).size).toBe(2);
    } finally {
      await other.close();
    }
  });
});
