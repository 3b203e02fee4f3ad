import { describe, expect, it } from '@jest/globals';
import { locatePod, type LocateDeps } from '../../lib/capture/locate-pod.ts';
import { CaptureError } from '../../lib/errors.ts';
import { createLogger } from '../../lib/log.ts';
import { podFacts } from './fake-cluster.ts';

const observedTime = '2026-03-01T12:00:00.000Z';
const sought = { podName: 'cart-1', observedTime };

/** Clusters by name, with the namespaces in which each has the pod `cart-1`, or what it answers instead. */
function world(
  clusters: Record<string, readonly string[] | Error | 'silent'>,
  remainingMillis = 60_000,
) {
  const asked: string[] = [];
  const logLines: string[] = [];
  const answerOf = async (clusterName: string, podName: string): Promise<readonly string[]> => {
    const namespaces = clusters[clusterName] ?? [];
    asked.push(clusterName);
    if (namespaces === 'silent') return new Promise(() => undefined);
    if (namespaces instanceof Error) throw namespaces;
    return Promise.resolve(podName === 'cart-1' ? namespaces : []);
  };
  const deps: LocateDeps = {
    listClusters: () => Promise.resolve(Object.keys(clusters)),
    clusterOf: (clusterName) =>
      Promise.resolve({
        findPods: (podName) => answerOf(clusterName, podName),
        readPod: async (namespace, podName) =>
          (await answerOf(clusterName, podName)).includes(namespace) ? podFacts() : undefined,
      }),
    remainingMillis: () => remainingMillis,
    logger: createLogger('test', { write: (line) => void logLines.push(line) }),
  };
  return { deps, asked, logLines };
}

describe('a pod that a person names', () => {
  it.each([
    ['by its name alone', {}],
    ['with its namespace', { namespace: 'shop' }],
    ['with its cluster', { clusterName: 'prod' }],
  ])('is found %s', async (_how, given) => {
    const { deps } = world({ test: [], prod: ['shop'] });

    expect(await locatePod(deps, { ...sought, ...given, dryRun: true })).toEqual({
      signal: {
        ...{ schemaVersion: 1, clusterName: 'prod', namespace: 'shop', podName: 'cart-1' },
        ...{ reason: 'Manual', observedTime, numbers: {}, dryRun: true },
      },
    });
  });

  it('is asked for in the named cluster only', async () => {
    const { deps, asked } = world({ test: ['shop'], prod: ['shop'] });

    const located = await locatePod(deps, { ...sought, clusterName: 'prod' });

    expect(located).toMatchObject({ signal: { clusterName: 'prod' } });
    expect(asked).toEqual(['prod']);
  });

  it('is not guessed among namesakes: each is told, ready to be sent', async () => {
    const { deps, logLines } = world({ test: ['shop'], prod: ['shop', 'bank'] });

    expect(await locatePod(deps, { ...sought, containerName: 'app' })).toEqual({
      answer: {
        ...{ decision: 'skip', reason: 'PodAmbiguous' },
        message: '3 pods are called cart-1: prod/bank, prod/shop, test/shop',
        next: 'nothing was claimed or started; say which one: {"cluster":"prod","namespace":"bank","pod":"cart-1","container":"app"} or {"cluster":"prod","namespace":"shop","pod":"cart-1","container":"app"} or {"cluster":"test","namespace":"shop","pod":"cart-1","container":"app"}',
      },
    });
    expect(logLines.join()).toContain('PodAmbiguous');
  });

  it('is not taken for the only one while a cluster does not answer', async () => {
    const down = new CaptureError('ClusterUnavailable', 'list pods in all namespaces: no route');
    const { deps } = world({ old: down, prod: ['shop'] });

    expect(await locatePod(deps, sought)).toMatchObject({
      answer: {
        reason: 'PodAmbiguous',
        message:
          'pod cart-1 is in prod/shop, and may be elsewhere too; not known of: old (list pods in all namespaces: no route)',
        next: expect.stringContaining(
          '{"cluster":"prod","namespace":"shop","pod":"cart-1"}',
        ) as unknown,
      },
    });
  });

  it.each([
    [{ test: [], prod: [] }, 'no pod cart-9: looked in test, prod'],
    [{}, 'no pod cart-9: no cluster is registered'],
    [
      { prod: new CaptureError('ClusterForbidden', 'list pods is forbidden') },
      'no pod cart-9: looked in none; not known of: prod (list pods is forbidden)',
    ],
  ])('is told as not found, with where was looked: %j', async (clusters, message) => {
    const { deps } = world(clusters);

    const located = await locatePod(deps, { ...sought, podName: 'cart-9' });

    expect(located).toMatchObject({ answer: { decision: 'skip', reason: 'PodNotFound', message } });
  });

  it('waits for no cluster longer than the function has time', async () => {
    const { deps } = world({ prod: ['shop'], slow: 'silent' }, 30_000);

    expect(await locatePod(deps, sought)).toMatchObject({
      answer: { message: expect.stringContaining('slow (no answer within 0 s)') as unknown },
    });
  });

  it('names at most ten of many', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `c${index}`);
    const { deps, asked } = world(Object.fromEntries(names.map((name) => [name, ['shop']])));

    const located = await locatePod(deps, sought);

    expect(asked).toHaveLength(100);
    expect(located).toMatchObject({
      answer: { message: expect.stringMatching(/^100 pods .* and 90 more$/) as unknown },
    });
  });
});
