import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { connect } from 'node:net';
import { startApi, type ApiRequest, type Route } from '../../lib/forwarder/api.ts';
import { recordingLog } from './fakes.ts';

let api: Awaited<ReturnType<typeof startApi>> | undefined;
afterEach(async () => {
  await api?.close();
  api = undefined;
});

async function serve(handle: Route['handle'], maxBodyBytes = 16) {
  const { log, lines } = recordingLog();
  const route: Route = { method: 'POST', path: '/v1/words', maxBodyBytes, handle };
  api = await startApi({ port: 0, routes: [route], log });
  const base = `http://127.0.0.1:${String(api.port)}`;
  return { base, lines, ask: (path: string, init?: RequestInit) => fetch(`${base}${path}`, init) };
}

const accepts: Route['handle'] = () => Promise.resolve({ status: 202, body: { outcome: 'sent' } });

describe('startApi', () => {
  it('hands a route the body, the token and the query, and answers with its JSON', async () => {
    const seen: ApiRequest[] = [];
    const { ask } = await serve((request) => {
      seen.push(request);
      return accepts(request);
    });

    const answer = await ask('/v1/words?pod=cart', {
      method: 'POST',
      body: 'hello',
      headers: { authorization: 'Bearer abc.def' },
    });

    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({ outcome: 'sent' });
    expect(seen[0]?.bearerToken).toBe('abc.def');
    expect(seen[0]?.body.toString()).toBe('hello');
    expect(seen[0]?.query.get('pod')).toBe('cart');
    expect(seen[0]?.remoteAddress).toContain('127.0.0.1');
  });

  it('names the accepted methods of a path, and knows no other path', async () => {
    const { ask } = await serve(accepts);

    const wrongMethod = await ask('/v1/words');
    expect(wrongMethod.status).toBe(405);
    expect(wrongMethod.headers.get('allow')).toBe('POST');
    expect((await ask('/v1/words/', { method: 'POST' })).status).toBe(404);
  });

  it('refuses a body that is larger than accepted, announced or not', async () => {
    const { ask } = await serve(accepts);
    const post = (body: RequestInit['body']) =>
      ask('/v1/words', { method: 'POST', body, duplex: 'half' } as RequestInit);

    expect((await post('x'.repeat(17))).status).toBe(413);
    expect((await post(new Blob(['x'.repeat(17)]).stream())).status).toBe(413);
    expect((await post('x'.repeat(16))).status).toBe(202);
  });

  it('answers 500 when a route throws, and tells the log alone why', async () => {
    const { ask, lines } = await serve(() => Promise.reject(new Error('the inside')));

    const answer = await ask('/v1/words', { method: 'POST' });

    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain('inside');
    expect(lines).toContainEqual(expect.objectContaining({ level: 'error', error: 'the inside' }));
  });

  it('survives a request line that is no URL', async () => {
    const { ask } = await serve(accepts);
    const socket = connect(api?.port ?? 0, '127.0.0.1');
    socket.write('POST //[ HTTP/1.1\r\nhost: x\r\n\r\n');
    await once(socket, 'data');
    socket.destroy();

    expect((await ask('/v1/words', { method: 'POST' })).status).toBe(202);
  });

  it('tells a route that its caller has gone', async () => {
    const begun = Promise.withResolvers<undefined>();
    const gone = Promise.withResolvers<undefined>();
    const { ask } = await serve(async ({ signal }) => {
      signal.addEventListener('abort', () => gone.resolve(undefined));
      begun.resolve(undefined);
      await gone.promise;
      return { status: 200, body: {} };
    });
    const caller = new AbortController();
    const answer = ask('/v1/words', { method: 'POST', signal: caller.signal });
    await begun.promise;
    caller.abort();

    await expect(answer).rejects.toThrow();
    await gone.promise;
  });
});
