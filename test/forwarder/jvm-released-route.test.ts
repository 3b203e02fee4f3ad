import { describe, expect, it } from '@jest/globals';
import type { Caller } from '../../lib/forwarder/callers.ts';
import { jvmReleasedRoute } from '../../lib/forwarder/jvm-released-route.ts';
import { PodCache } from '../../lib/forwarder/pod-cache.ts';
import { aPod } from './fakes.ts';

const agent = {
  ...{ namespace: 'heapcatch', serviceAccountName: 'heapcatch-agent', nodeName: 'node-1' },
};
const word = {
  ...{ schemaVersion: 1, nodeName: 'node-1', podUid: 'uid-1', captureId: 'a'.repeat(32) },
};

async function post(body: unknown, caller: Caller = { outcome: 'known', caller: agent }) {
  const released: [string, string][] = [];
  const pods = new PodCache();
  pods.put(aPod());
  const route = jvmReleasedRoute({
    pods,
    captures: { jvmReleased: (...what) => released.push(what) },
    callers: { of: () => Promise.resolve(caller) },
  });
  const answer = await route.handle({
    ...{ query: new URLSearchParams(), bearerToken: 'token', remoteAddress: '' },
    ...{ clientCertified: false, signal: new AbortController().signal },
    body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  });
  return { ...answer, released };
}

describe('POST /v1/jvm-released', () => {
  it('lets the pod of a capture go', async () => {
    const { status, body, released } = await post(word);

    expect([status, body, released]).toEqual([
      ...[200, { known: true }, [['uid-1', 'a'.repeat(32)]]],
    ]);
  });

  it.each<[string, Caller, number]>([
    ['with no valid token', { outcome: 'refused' }, 401],
    ['who is the pod itself', { outcome: 'known', caller: { ...agent, namespace: 'shop' } }, 403],
    ['of another node', { outcome: 'known', caller: { ...agent, nodeName: 'node-2' } }, 403],
    ['who cannot be judged now', { outcome: 'unknown' }, 503],
  ])('believes nobody %s', async (_name, caller, status) => {
    const answer = await post(word, caller);

    expect([answer.status, answer.released]).toEqual([status, []]);
  });

  it('knows no pod of another node, and nothing that is no word', async () => {
    const elsewhere = await post(
      { ...word, nodeName: 'node-2' },
      { outcome: 'known', caller: { ...agent, nodeName: 'node-2' } },
    );
    expect([elsewhere.body, elsewhere.released]).toEqual([{ known: false }, []]);
    for (const wrong of ['{', { ...word, captureId: '../x' }, { ...word, more: 1 }]) {
      expect(await post(wrong)).toMatchObject({ status: 400, released: [] });
    }
  });
});
