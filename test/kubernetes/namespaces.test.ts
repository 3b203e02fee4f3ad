import { afterEach, expect, it } from '@jest/globals';
import { createNamespaceSource } from '../../lib/kubernetes/namespaces.ts';
import { sendJson, startFakeApi, type FakeApi } from './fake-api.ts';

let fake: FakeApi;
afterEach(() => fake.close());

it('asks for the namespaces of a label, and keeps their names', async () => {
  const object = { metadata: { name: 'shop', resourceVersion: '8' } };
  fake = await startFakeApi(({ url }, response) => {
    if (url.includes('watch=true'))
      response.end(`${JSON.stringify({ type: 'DELETED', object })}\n`);
    else sendJson(response, 200, { metadata: { resourceVersion: '7' }, items: [object] });
  });
  const labelSelector = 'heapcatch.dev/watch=true';
  const source = createNamespaceSource({ kubeconfig: fake.kubeconfig, labelSelector });
  const changes: unknown[] = [];

  const listed = await source.listNamespaces();
  const { signal } = new AbortController();
  const end = await source.watchNamespaces('7', (change) => changes.push(change), signal);

  expect(listed).toEqual({ items: ['shop'], resourceVersion: '7' });
  expect(changes).toEqual([{ type: 'DELETED', object: 'shop', resourceVersion: '8' }]);
  expect(end).toBe('closed');
  for (const { url } of fake.requests) {
    expect(url).toMatch(/^\/api\/v1\/namespaces\?/);
    expect(new URLSearchParams(url.split('?')[1]).get('labelSelector')).toBe(labelSelector);
  }
});
