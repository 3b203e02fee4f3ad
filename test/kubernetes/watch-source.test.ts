import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createWatchSource } from '../../lib/kubernetes/watch-source.ts';
import type { WatchChange } from '../../lib/signal/watch-source.ts';
import { sendJson, sendStatus, startFakeApi, type FakeApi } from './fake-api.ts';
import { owner, podObject } from './pod-objects.ts';

let fake: FakeApi;
afterEach(() => fake.close());

async function sourceOf(answer: Parameters<typeof startFakeApi>[0]) {
  fake = await startFakeApi(answer);
  return createWatchSource({ kubeconfig: fake.kubeconfig, clusterName: 'eu-1' });
}

async function watchEvents(
  answer: (response: ServerResponse) => void,
  onChange: (change: WatchChange<unknown>) => void = () => undefined,
  signal = new AbortController().signal,
) {
  const source = await sourceOf((_request, response) => answer(response));
  return source.watchEvents('shop', '7', onChange, signal);
}

const line = (type: string, object: unknown): string => `${JSON.stringify({ type, object })}\n`;
const event = (resourceVersion: string) => ({ metadata: { resourceVersion }, reason: 'Unhealthy' });

describe('a watch', () => {
  it('asks for bookmarks, an end and the version', async () => {
    await watchEvents((response) => response.end());

    const url = new URL(fake.requests[0]!.url, 'http://x');
    expect(url.pathname).toBe('/api/v1/namespaces/shop/events');
    expect(Object.fromEntries(url.searchParams)).toEqual({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: '7',
      timeoutSeconds: '240',
    });
  });

  it('passes changes on in order, and bookmarks as such', async () => {
    const seen: WatchChange<unknown>[] = [];
    const end = await watchEvents(
      (response) =>
        response.end(
          line('ADDED', event('8')) + line('MODIFIED', event('9')) + line('BOOKMARK', event('30')),
        ),
      (change) => seen.push(change),
    );

    expect(end).toBe('closed');
    expect(seen).toEqual([
      { type: 'ADDED', object: event('8'), resourceVersion: '8' },
      { type: 'MODIFIED', object: event('9'), resourceVersion: '9' },
      { type: 'BOOKMARK', resourceVersion: '30' },
    ]);
  });

  it('reads no further while it is told to wait', async () => {
    const source = await sourceOf((_request, response) =>
      response.end(line('ADDED', event('8')) + line('ADDED', event('9'))),
    );
    const seen: string[] = [];
    const room = Promise.withResolvers<undefined>();
    const asked = Promise.withResolvers<undefined>();
    const pace = (): Promise<undefined> | undefined => {
      asked.resolve(undefined);
      return seen.length === 1 ? room.promise : undefined;
    };
    const { signal } = new AbortController();

    const ended = source.watchEvents(
      ...(['shop', '7', (change) => seen.push(change.resourceVersion), signal, pace] as Parameters<
        typeof source.watchEvents
      >),
    );
    await asked.promise;
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual(['8']);
    room.resolve(undefined);

    expect(await ended).toBe('closed');
    expect(seen).toEqual(['8', '9']);
  });

  it.each<[string, (response: ServerResponse) => void]>([
    ['as an answer', (response) => sendStatus(response, 410, 'too old')],
    ['in the stream', (response) => response.end(line('ERROR', { kind: 'Status', code: 410 }))],
  ])('is expired when the version is too old, said %s', async (_case, answer) => {
    expect(await watchEvents(answer)).toBe('expired');
  });

  it.each<[string, string]>([
    ['another error', line('ERROR', { code: 500 })],
    ['a line that is not JSON', '{"type":\n'],
    ['a line that is no change', 'null\n'],
    ['a change without an object', '{"type":"ADDED"}\n'],
    ['a type that nobody knows', line('RENAMED', event('9'))],
  ])('is closed by %s, and passes nothing of it on', async (_case, text) => {
    const seen: unknown[] = [];

    expect(
      await watchEvents(
        (response) => response.end(text),
        (change) => seen.push(change),
      ),
    ).toBe('closed');
    expect(seen).toEqual([]);
  });

  it('is closed by an object that is no pod', async () => {
    const source = await sourceOf((_request, response) => response.end(line('ADDED', event('9'))));

    expect(await source.watchPods('shop', '7', () => undefined, new AbortController().signal)).toBe(
      'closed',
    );
  });

  it('is closed when the connection drops in the middle of a line', async () => {
    const seen: unknown[] = [];
    const end = await watchEvents(
      (response) => {
        response.write(`${line('ADDED', event('8'))}{"type":"ADD`, () => response.destroy());
      },
      (change) => seen.push(change),
    );

    expect(end).toBe('closed');
    expect(seen).toHaveLength(1);
  });

  it('ends at the signal, also one that came before it', async () => {
    const abort = new AbortController();
    const end = await watchEvents(
      (response) => response.write(line('ADDED', event('8'))),
      () => abort.abort(),
      abort.signal,
    );

    expect(end).toBe('closed');
    const source = createWatchSource({ kubeconfig: fake.kubeconfig, clusterName: 'eu-1' });
    expect(await source.watchPods('shop', '7', () => undefined, abort.signal)).toBe('closed');
    expect(fake.requests).toHaveLength(1);
  });

  it('passes the exception of its listener on', async () => {
    const failure = watchEvents(
      (response) => response.write(line('ADDED', event('8'))),
      () => {
        throw new RangeError('mine');
      },
    );

    await expect(failure).rejects.toThrow(new RangeError('mine'));
  });

  it.each([
    [403, 'ClusterForbidden'],
    [500, 'ClusterUnavailable'],
    [400, 'ClusterRefused'],
  ])('fails when it is answered with %i', async (status, code) => {
    await expect(
      watchEvents((response) => sendStatus(response, status, 'why')),
    ).rejects.toMatchObject({ code });
  });
});

describe('a list', () => {
  it('reads all pages and keeps the version of the first', async () => {
    const source = await sourceOf(({ url }, response) => {
      const next = new URL(url, 'http://x').searchParams.get('continue');
      const metadata = next
        ? { resourceVersion: '9' }
        : { resourceVersion: '7', continue: 'page/2?' };
      const name = next ? 'cart-2' : 'cart-1';
      const items = [
        podObject({
          metadata: {
            name,
            labels: { 'pod-template-hash': '5c' },
            ownerReferences: [owner('ReplicaSet', 'cart-5c')],
          },
        }),
      ];
      sendJson(response, 200, { metadata, items });
    });

    const { items, resourceVersion } = await source.listPods('');

    expect(resourceVersion).toBe('7');
    expect(items.map(({ podName }) => podName)).toEqual(['cart-1', 'cart-2']);
    expect(items[0]!.workload).toEqual({ kind: 'Deployment', name: 'cart' });
    expect(fake.requests.map(({ url }) => url)).toEqual([
      '/api/v1/pods?limit=500',
      '/api/v1/pods?limit=500&continue=page%2F2%3F',
    ]);
  });

  it('leaves out what is no pod', async () => {
    const source = await sourceOf((_request, response) =>
      sendJson(response, 200, { metadata: { resourceVersion: '7' }, items: [{}, podObject()] }),
    );

    expect((await source.listPods('shop')).items).toHaveLength(1);
  });

  it('ends at 200 pages', async () => {
    const source = await sourceOf((_request, response) =>
      sendJson(response, 200, { metadata: { resourceVersion: '7', continue: 'x' }, items: [{}] }),
    );

    expect((await source.listEvents('')).items).toHaveLength(200);
  });

  it('fails, retryable, when its pages have expired', async () => {
    const source = await sourceOf((_request, response) => sendStatus(response, 410, 'expired'));

    await expect(source.listPods('')).rejects.toMatchObject({
      code: 'ClusterUnavailable',
      retryable: true,
    });
  });
});
