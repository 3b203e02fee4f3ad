import { afterEach, describe, expect, it } from '@jest/globals';
import { createTokenReview } from '../../lib/kubernetes/token-review.ts';
import { sendJson, sendStatus, startFakeApi, type FakeApi } from './fake-api.ts';

let fake: FakeApi;
afterEach(() => fake.close());

async function reviewOf(answer: Parameters<typeof startFakeApi>[0]) {
  fake = await startFakeApi(answer);
  return createTokenReview({ kubeconfig: fake.kubeconfig, audience: 'heapcatch' })('the token');
}
const extra = (name: string, value: string) => ({
  [`authentication.kubernetes.io/${name}`]: [value],
});
const authenticated = {
  authenticated: true,
  audiences: ['heapcatch'],
  user: {
    username: 'system:serviceaccount:shop:cart',
    extra: { ...extra('pod-name', 'cart-1'), ...extra('pod-uid', 'uid-1') },
  },
};
const answering = (status: object) => (_: unknown, response: Parameters<typeof sendJson>[0]) =>
  sendJson(response, 201, { kind: 'TokenReview', status });

describe('a token review', () => {
  it('asks for the audience, and says whose token it is and of which pod', async () => {
    const reviewed = await reviewOf(answering(authenticated));

    expect(reviewed).toEqual({
      ...{ namespace: 'shop', serviceAccountName: 'cart', podName: 'cart-1', podUid: 'uid-1' },
    });
    const [request] = fake.requests;
    expect([request?.method, request?.url]).toEqual([
      'POST',
      '/apis/authentication.k8s.io/v1/tokenreviews',
    ]);
    expect(JSON.parse(request?.body ?? '')).toMatchObject({
      spec: { token: 'the token', audiences: ['heapcatch'] },
    });
  });

  it.each([
    ['is not authenticated', { authenticated: false, error: 'expired' }],
    ['is of another audience', { ...authenticated, audiences: ['https://kubernetes.default'] }],
    ['names no audience', { ...authenticated, audiences: undefined }],
    ['is a person', { ...authenticated, user: { username: 'alice' } }],
    ['has no answer', {}],
  ])('knows nobody by a token that %s', async (_name, status) => {
    expect(await reviewOf(answering(status))).toBeUndefined();
  });

  it('says that the forwarder may not ask', async () => {
    await expect(
      reviewOf((_request, response) => sendStatus(response, 403, 'no')),
    ).rejects.toMatchObject({ code: 'ClusterForbidden' });
  });
});
