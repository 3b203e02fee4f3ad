import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { isRunning, namespace, startTestCluster, type TestCluster } from './cluster-harness.ts';

let test: TestCluster;
beforeAll(async () => {
  test = await startTestCluster();
});
afterAll(() => test.cluster.close());

describe('a pod', () => {
  it.each([
    ['an init container', {}, { initContainers: [{ name: 'x', image: 'idle' }] }, 'initContainers'],
    ['a probe over tcp', { livenessProbe: { tcpSocket: { port: 1 } } }, {}, 'livenessProbe'],
    ['a probe that does nothing', { livenessProbe: {} }, {}, 'livenessProbe'],
    [
      'a variable from a secret',
      { env: [{ name: 'A', valueFrom: { secretKeyRef: {} } }] },
      {},
      'env',
    ],
    [
      'a field that is not known',
      { env: [{ name: 'A', valueFrom: { fieldRef: { fieldPath: 'status.x' } } }] },
      {},
      'status.podIP',
    ],
    ['variables from a map', { envFrom: [{}] }, {}, 'envFrom'],
    [
      'a volume of another kind',
      { volumeMounts: [{ name: 'v', mountPath: '/v' }] },
      { volumes: [{ name: 'v', configMap: {} }] },
      'emptyDir and hostPath',
    ],
    [
      'an emptyDir where it cannot be',
      { volumeMounts: [{ name: 'v', mountPath: '/proc/v' }] },
      { volumes: [{ name: 'v', emptyDir: {} }] },
      'nothing is mounted',
    ],
    ['a mount of no volume', { volumeMounts: [{ name: 'v', mountPath: '/v' }] }, {}, 'Not found'],
  ])('is refused with %s, by name', (_case, container, spec, words) => {
    expect(() => test.createPod('refused', container, spec)).toThrow(
      expect.objectContaining({ status: 422, message: expect.stringContaining(words) as unknown }),
    );
  });

  it('waits for an image that the cluster does not have, and says so', async () => {
    test.createPod('imageless', { image: 'nobody/has:it' });
    await test.until('imageless', () => true);

    const pod = await test.until('imageless', ({ phase }) => phase === 'Pending');

    expect(pod.containers[0]!.running).toBe(false);
    test.cluster.deletePod(namespace, 'imageless');
    await test.gone('imageless');
    const messages = (await test.eventsOf('imageless')).map(({ message }) => message);
    expect(messages.join()).toContain('no image nobody/has:it; this cluster has idle');
  });

  it('fails a container whose user it cannot become, unless it is root', async () => {
    const uid = process.getuid!() + 1;
    test.createPod('someone', { securityContext: { runAsUser: uid, runAsGroup: uid } });

    const pod = await test.until(
      'someone',
      (one) => one.containers[0]!.running === (process.getuid!() === 0) && one.podIP !== undefined,
    );

    expect(pod.containers[0]!.runAsUser).toBe(uid);
  });

  it.each([
    ['Never', 'exit 3', 'Failed', 0],
    ['Never', 'exit 0', 'Succeeded', 0],
    ['OnFailure', 'exit 0', 'Succeeded', 0],
  ])('with restartPolicy %s that ends by %s is %s', async (restartPolicy, script, phase, count) => {
    const name = `ends-${phase.toLowerCase()}-${restartPolicy.toLowerCase()}`;
    test.createPod(name, { command: ['sh', '-c', script] }, { restartPolicy });

    const pod = await test.until(name, (one) => one.phase === phase);

    expect(pod.containers[0]!.restartCount).toBe(count);
  });

  it('is restarted after its ends with a pause in between, which has its Event', async () => {
    test.createPod('crashing', { command: ['sh', '-c', 'exit 1'] });

    await test.until('crashing', ({ containers }) => containers[0]!.restartCount >= 2);

    const reasons = (await test.eventsOf('crashing')).map(({ reason }) => reason);
    expect(reasons).toContain('BackOff');
  });

  it('becomes ready by its readiness probe, and unready by it', async () => {
    const file = `${test.cluster.stateFolder}/ready`;
    const readinessProbe = {
      exec: { command: ['test', '-e', file] },
      periodSeconds: 1,
      failureThreshold: 1,
    };
    test.createPod('moody', { readinessProbe });
    expect((await test.until('moody', isRunning)).ready).toBe(false);

    await test.exec('moody', `touch ${file}`);
    await test.until('moody', ({ ready }) => ready);
    await test.exec('moody', `rm ${file}`);

    const pod = await test.until('moody', ({ ready }) => !ready);
    expect(pod.containers[0]).toMatchObject({ running: true, ready: false, restartCount: 0 });
  });

  it('is killed by its startup probe before its liveness probe begins', async () => {
    const failing = { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 1 };
    test.createPod(
      'slow',
      { startupProbe: failing, livenessProbe: failing },
      { terminationGracePeriodSeconds: 1 },
    );

    await test.until('slow', ({ containers }) => containers[0]!.restartCount === 1);

    const messages = (await test.eventsOf('slow')).map(({ message }) => message);
    expect(messages).toContain('Container app failed startup probe, will be restarted');
    expect(messages.filter((message) => message.startsWith('Liveness'))).toEqual([]);
  });

  it('reports a probe that takes too long in the words of the kubelet', async () => {
    test.createPod('hanging', {
      livenessProbe: {
        exec: { command: ['sleep', '1007'] },
        periodSeconds: 1,
        failureThreshold: 1,
      },
      lifecycle: { preStop: { sleep: { seconds: 600 } } },
    });
    await test.until('hanging', isRunning);
    for (;;) {
      const events = await test.eventsOf('hanging');
      const unhealthy = events.find(({ reason }) => reason === 'Unhealthy');
      if (!unhealthy) {
        await test.exec('hanging', 'sleep 0.2');
        continue;
      }
      expect(unhealthy.message).toBe(
        'Liveness probe failed: command timed out: "sleep 1007" timed out after 1s',
      );
      break;
    }
  });
});

describe('a Deployment', () => {
  it('replaces a pod as soon as it is being deleted, and takes its pods along', async () => {
    const template = {
      metadata: { labels: { app: 'cart' } },
      spec: {
        terminationGracePeriodSeconds: 2,
        containers: [
          {
            name: 'app',
            image: 'idle',
            lifecycle: { preStop: { sleep: { seconds: 1 } } },
          },
        ],
      },
    };
    const selector = { matchLabels: { app: 'cart' } };
    test.cluster.createDeployment(namespace, {
      metadata: { name: 'cart' },
      spec: { replicas: 2, selector, template },
    });
    const podsOf = async () =>
      (await test.source.listPods(namespace)).items.filter(({ podName }) => /^cart-/.test(podName));
    const [first] = await podsOf();
    await test.until(first!.podName, isRunning);

    test.cluster.deletePod(namespace, first!.podName);
    await test.until(first!.podName, ({ deletionTime }) => deletionTime !== undefined);

    // The third comes when the controller has seen the deletion; the first stays for its preStop second.
    let names: string[] = [];
    while (names.length < 3) names = (await podsOf()).map(({ podName }) => podName);
    expect(names).toHaveLength(3);
    expect(names.every((name) => /^cart-[a-z0-9]{10}-[a-z0-9]{5}$/.test(name))).toBe(true);
  });
});
