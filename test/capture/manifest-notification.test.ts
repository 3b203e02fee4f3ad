import { describe, expect, it } from '@jest/globals';
import { parseNotification } from '../../lib/capture/manifest-notification.ts';
import { capturePrefix, objectKeys } from '../../lib/dump-index/object-keys.ts';

const captureId = 'c'.repeat(32);
const prefixOf = (namespace: string): string =>
  capturePrefix({
    clusterName: 'prod',
    namespace,
    workload: { kind: 'Deployment', name: 'cart' },
    acquireTime: '2026-01-01T12:00:00Z',
    captureId,
  });
const bucket = { name: 'dumps' };
const eventBridge = (key: string) => ({ source: 'aws.s3', detail: { bucket, object: { key } } });
const notification = (...keys: string[]) => ({
  Records: keys.map((key) => ({ s3: { bucket, object: { key } } })),
});

describe('parseNotification', () => {
  it.each(['shop', 'a%2Fb', 'dot..dot', 'white space', 'plus+plus'])(
    'finds the manifest of namespace %j in whichever way its key is written',
    (namespace) => {
      const prefix = prefixOf(namespace);
      const { manifest } = objectKeys(prefix);
      const encoded = encodeURIComponent(manifest).replaceAll('%2F', '/');

      for (const invocation of [eventBridge(manifest), notification(encoded)]) {
        const { arrived, foreignCount } = parseNotification(invocation, 'dumps');

        expect(foreignCount).toBe(0);
        expect(arrived).toHaveLength(1);
        expect(arrived[0]?.captureId).toBe(captureId);
        expect(arrived[0]?.prefixes).toContain(prefix);
      }
    },
  );

  it('finds every manifest of several records', () => {
    const { manifest } = objectKeys(prefixOf('shop'));

    const { arrived } = parseNotification(notification(manifest, manifest), 'dumps');

    expect(arrived).toHaveLength(2);
  });

  it.each([
    [
      'another bucket',
      { detail: { bucket: { name: 'x' }, object: eventBridge('').detail.object } },
    ],
    ['another object', eventBridge(objectKeys(prefixOf('shop')).progress)],
    ['a key that climbs', eventBridge(`dumps/../../x/0-${captureId}/manifest.json`)],
    ['a key that is no text', { detail: { bucket, object: { key: 7 } } }],
    ['ten megabytes', eventBridge('a'.repeat(10_000_000))],
    ['nothing', undefined],
    ['records that are none', { Records: [null, 1, 'x'] }],
  ])('counts %s as foreign', (_name, invocation) => {
    const { arrived, foreignCount } = parseNotification(invocation, 'dumps');

    expect(arrived).toEqual([]);
    expect(foreignCount).toBeGreaterThan(0);
  });
});
