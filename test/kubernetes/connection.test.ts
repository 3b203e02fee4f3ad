import net, { type AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { ApiCall } from '../../lib/kubernetes/api-call.ts';
import { ClusterConnection } from '../../lib/kubernetes/connection.ts';
import { kubeconfigFor, sendJson, sendStatus, startFakeApi, type FakeApi } from './fake-api.ts';

const call: ApiCall = { verb: 'get', resource: 'pods', namespace: 'shop', name: 'cart-1' };
/** Long enough never to be met by a server that answers, however busy the machine. */
const longTimeouts = { connectMilliseconds: 20_000, requestMilliseconds: 20_000 };
const shortTimeouts = { connectMilliseconds: 100, requestMilliseconds: 100 };

let fake: FakeApi | undefined;
afterEach(async () => {
  await fake?.close();
  fake = undefined;
});

async function ask(
  answer: Parameters<typeof startFakeApi>[0],
  asked = call,
  timeouts = longTimeouts,
) {
  fake = await startFakeApi(answer);
  return new ClusterConnection(fake.kubeconfig, timeouts).request(asked);
}

describe('a request', () => {
  it('sends the token, the path and the body', async () => {
    const answer = await ask((_request, response) => sendJson(response, 200, { ok: true }), {
      ...call,
      verb: 'patch',
      resource: 'pods/ephemeralcontainers',
      contentType: 'application/strategic-merge-patch+json',
      body: { a: 1 },
    });

    expect(answer).toEqual({ status: 200, body: { ok: true } });
    expect(fake!.requests).toEqual([
      {
        method: 'PATCH',
        url: '/api/v1/namespaces/shop/pods/cart-1/ephemeralcontainers',
        contentType: 'application/strategic-merge-patch+json',
        authorization: 'Bearer secret-token',
        body: '{"a":1}',
      },
    ]);
  });

  it('keeps a hostile name in its place', async () => {
    await ask((_request, response) => sendJson(response, 200, {}), {
      ...call,
      name: '../../secrets/x?watch=1#',
    });

    expect(fake!.requests[0]!.url).toBe(
      '/api/v1/namespaces/shop/pods/..%2F..%2Fsecrets%2Fx%3Fwatch%3D1%23',
    );
  });

  it.each([404, 409, 410, 422])('returns HTTP %i for the caller to understand', async (status) => {
    const answer = await ask((_request, response) => sendStatus(response, status, 'why'));

    expect(answer).toMatchObject({ status, body: { message: 'why' } });
  });

  it.each([
    [401, 'ClusterForbidden', false],
    [403, 'ClusterForbidden', false],
    [408, 'ClusterUnavailable', true],
    [429, 'ClusterUnavailable', true],
    [500, 'ClusterUnavailable', true],
    [503, 'ClusterUnavailable', true],
  ])('turns HTTP %i into %s', async (status, code, retryable) => {
    const asked = ask((_request, response) => sendStatus(response, status, 'the reason'));

    await expect(asked).rejects.toMatchObject({ code, retryable });
    await expect(asked).rejects.toThrow(/get pods "cart-1" in namespace "shop".*the reason/);
  });

  it('names verb, resource and namespace of what is forbidden as data', async () => {
    await expect(
      ask((_request, response) => sendStatus(response, 403, 'no')),
    ).rejects.toMatchObject({ details: { verb: 'get', resource: 'pods', namespace: 'shop' } });
  });

  it.each([
    ['never answers', (): void => undefined],
    [
      'answers and stalls in the middle of the body',
      (_request: unknown, response: { write: (text: string) => void }): void => {
        response.write('{"a":');
      },
    ],
  ])(
    'gives up on a server that %s',
    async (_case, answer) => {
      await expect(
        ask(answer as Parameters<typeof startFakeApi>[0], call, shortTimeouts),
      ).rejects.toMatchObject({ code: 'ClusterUnavailable', retryable: true });
    },
    15_000,
  );

  it.each<[string, () => Promise<unknown>]>([
    ['breaks', () => ask((_request, response) => response.destroy())],
    ['carries no JSON', () => ask((_request, response) => response.end('<html>'))],
    [
      'is refused',
      async () => new ClusterConnection(await closedServer(), longTimeouts).request(call),
    ],
  ])('fails, retryable, when the connection %s', async (_case, failing) => {
    await expect(failing()).rejects.toMatchObject({ code: 'ClusterUnavailable', retryable: true });
  });

  it('does not tell the token in its errors', async () => {
    const failure = await ask((_request, response) => response.destroy()).catch(
      (error: unknown) => error as Error,
    );

    expect(JSON.stringify([(failure as Error).message, failure])).not.toContain('secret-token');
  });
});

async function closedServer(): Promise<string> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return kubeconfigFor(`http://127.0.0.1:${port}`);
}
