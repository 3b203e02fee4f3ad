import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Caller } from '../../lib/forwarder/callers.ts';
import { createForwarderMetrics } from '../../lib/forwarder/metrics.ts';
import { preStopRoute } from '../../lib/forwarder/pre-stop-route.ts';
import type { PreStopHolds } from '../../lib/forwarder/pre-stop.ts';

type Asked = Parameters<PreStopHolds['answer']>;
const account = { namespace: 'shop', serviceAccountName: 'default' };
const bound: Caller = {
  outcome: 'known',
  caller: { ...account, podName: 'cart-1', podUid: 'uid-1', nodeName: 'node-1' },
};

async function post(query = '', caller: Caller = bound, unready: string[] = []) {
  const asked: Asked[] = [];
  const tokens: (string | undefined)[] = [];
  const metrics = createForwarderMetrics();
  const route = preStopRoute({
    metrics,
    callers: {
      of: (token) => {
        tokens.push(token);
        return Promise.resolve(caller);
      },
    },
    unreadyReasons: () => unready,
    holds: {
      answer: (...args) => {
        asked.push(args);
        return Promise.resolve({ hold: true, reason: 'Asked', message: '' });
      },
    },
  });
  const answer = await route.handle({
    ...{ query: new URLSearchParams(query), bearerToken: 'token', remoteAddress: '' },
    ...{ clientCertified: false, body: Buffer.alloc(0), signal: new AbortController().signal },
  });
  const counted = await metrics.registry.getSingleMetric('heapcatch_pre_stop_answers_total')?.get();
  return { ...answer, asked, tokens, counted: counted?.values ?? [] };
}

describe('POST /v1/pre-stop', () => {
  it('asks for the pod that the token is bound to', async () => {
    const { status, body, asked, tokens, counted } = await post('container=app&wait=0');

    expect([status, body]).toEqual([200, { hold: true, reason: 'Asked', message: '' }]);
    expect(asked).toMatchObject([
      [
        { namespace: 'shop', podName: 'cart-1', podUid: 'uid-1' },
        { containerName: 'app', waitSeconds: 0 },
        expect.any(AbortSignal),
      ],
    ]);
    expect(tokens).toEqual(['token']);
    expect(counted).toEqual([{ value: 1, labels: { hold: 'true', reason: 'Asked' } }]);
    expect((await post()).asked).toMatchObject([[{}, { waitSeconds: 20 }, {}]]);
  });

  const lets = { hold: false };
  it.each<[string, Caller, number, object]>([
    ['whom the API server does not know', { outcome: 'refused' }, 401, lets],
    ['whose token is of no pod', { outcome: 'known', caller: account }, 403, lets],
    [
      'whose token names a pod without its uid',
      { outcome: 'known', caller: { ...account, podName: 'cart-1' } },
      403,
      lets,
    ],
    ['whom the API server cannot be asked about now', { outcome: 'unknown' }, 503, {}],
  ])('refuses a caller %s', async (_name, caller, status, told) => {
    const answer = await post('', caller);

    expect(answer.status).toBe(status);
    expect(answer.body).toMatchObject(told);
    expect(JSON.stringify(answer.body)).not.toContain('"hold":true');
    expect(answer.asked).toEqual([]);
  });

  it.each([
    'pod=cart-2',
    'namespace=bank',
    'podUid=uid-2',
    'container=a&container=b',
    'container=../x',
    'wait=21',
    'wait=-1',
    'wait=x',
  ])('refuses what could name another pod or bind it for longer: %s', async (query) => {
    const answer = await post(query);

    expect([answer.status, answer.asked]).toEqual([400, []]);
    expect(answer.body).toMatchObject({ hold: false });
  });

  it('asks to come again while the pods are not known', async () => {
    const answer = await post('', bound, ['pods shop: not listed yet']);

    expect([answer.status, answer.asked]).toEqual([503, []]);
  });

  it('never speaks for another pod than that of the token, whatever is asked', async () => {
    await fc.assert(
      fc.asyncProperty(fc.webQueryParameters(), async (query) => {
        const { status, asked } = await post(query);
        expect([200, 400]).toContain(status);
        for (const [who] of asked) expect(who.podUid).toBe('uid-1');
      }),
      { numRuns: 100 },
    );
  });
});
