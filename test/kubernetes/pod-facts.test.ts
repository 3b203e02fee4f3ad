import { describe, expect, it } from '@jest/globals';
import { podFactsOf } from '../../lib/kubernetes/pod-facts.ts';
import { isPodObject, type PodObject } from '../../lib/kubernetes/pod-object.ts';
import { podObject } from './pod-objects.ts';

const workload = { kind: 'Deployment', name: 'cart' };
const factsOf = (pod: PodObject) => podFactsOf(pod, 'eu-1', { workload });
const containerOf = (pod: PodObject) => factsOf(pod).containers[0]!;

describe('podFactsOf', () => {
  it('needs no more than the API always sends', () => {
    expect(factsOf(podObject())).toEqual({
      clusterName: 'eu-1',
      namespace: 'shop',
      podName: 'cart-1',
      podUid: 'uid-1',
      workload,
      phase: 'Unknown',
      ready: false,
      terminationGracePeriodSeconds: 30,
      annotations: {},
      containers: [
        {
          containerName: 'app',
          running: false,
          ready: false,
          started: false,
          restartCount: 0,
          hasPreStop: false,
          readOnlyRootFilesystem: false,
          volumeMounts: [],
        },
      ],
    });
  });

  it('says of a pod in the network of its node that its address is not its own', () => {
    const { spec, ...rest } = podObject();

    expect(factsOf({ ...rest, spec: { ...spec, hostNetwork: true } }).hostNetwork).toBe(true);
    expect(factsOf({ ...rest, spec: { ...spec, hostNetwork: false } })).not.toHaveProperty(
      'hostNetwork',
    );
  });

  it('fills in the defaults of a probe', () => {
    expect(containerOf(podObject({ container: { livenessProbe: {} } })).livenessProbe).toEqual({
      periodSeconds: 10,
      timeoutSeconds: 1,
      failureThreshold: 3,
      initialDelaySeconds: 0,
    });
  });

  it('keeps the grace period of a probe beside its other numbers', () => {
    const livenessProbe = {
      periodSeconds: 3,
      failureThreshold: 5,
      terminationGracePeriodSeconds: 7,
    };

    expect(containerOf(podObject({ container: { livenessProbe } })).livenessProbe).toEqual({
      periodSeconds: 3,
      timeoutSeconds: 1,
      failureThreshold: 5,
      initialDelaySeconds: 0,
      terminationGracePeriodSeconds: 7,
    });
  });

  it.each([
    ['sleep', { sleep: { seconds: 20 } }, 20],
    ['exec', { exec: { command: ['drain'] } }, undefined],
    ['httpGet', { httpGet: { port: 1 } }, undefined],
  ])('knows a %s hook and how long it takes where that is certain', (_kind, preStop, seconds) => {
    const facts = containerOf(podObject({ container: { lifecycle: { preStop } } }));

    expect([facts.hasPreStop, facts.preStopSeconds]).toEqual([true, seconds]);
  });

  it('believes the status about the user, then the container, then the pod', () => {
    const pod = podObject({
      spec: { securityContext: { runAsUser: 1, runAsGroup: 2 } },
      status: { containerStatuses: [{ name: 'app' }] },
    });
    expect(containerOf(pod)).toMatchObject({ runAsUser: 1, runAsGroup: 2 });

    pod.spec.containers[0]!.securityContext = { runAsUser: 0 };
    expect(containerOf(pod)).toMatchObject({ runAsUser: 0, runAsGroup: 2 });

    pod.status!.containerStatuses![0]!.user = { linux: { uid: 65_532, gid: 65_533 } };
    expect(containerOf(pod)).toMatchObject({ runAsUser: 65_532, runAsGroup: 65_533 });
  });

  it('tells what kind of volume is behind a mount', () => {
    const names = ['disk', 'ram', 'host', 'claim', 'own', 'secret', 'missing'];
    const facts = containerOf(
      podObject({
        container: {
          volumeMounts: names.map((name) => ({ name, mountPath: `/${name}` })),
        },
        spec: {
          containers: [
            {
              name: 'app',
              volumeMounts: [
                ...names.map((name) => ({ name, mountPath: `/${name}` })),
                { name: 'disk', mountPath: '/part', readOnly: true, subPath: 'a/b' },
              ],
            },
          ],
          volumes: [
            { name: 'disk', emptyDir: { sizeLimit: '5Gi' } },
            { name: 'ram', emptyDir: { medium: 'Memory' } },
            { name: 'host', hostPath: { path: '/' } },
            { name: 'claim', persistentVolumeClaim: {} },
            { name: 'own', ephemeral: {} },
            { name: 'secret' },
          ],
        },
      }),
    );

    expect(facts.volumeMounts.map(({ volumeType }) => volumeType)).toEqual([
      'emptyDir',
      'memory',
      'hostPath',
      'persistentVolumeClaim',
      'persistentVolumeClaim',
      'other',
      'other',
      'emptyDir',
    ]);
    expect(facts.volumeMounts[0]).toMatchObject({ sizeLimitBytes: 5_368_709_120, readOnly: false });
    expect(facts.volumeMounts.at(-1)).toMatchObject({ readOnly: true, subPath: 'a/b' });
  });

  it('counts native sidecars as containers, and no other init container', () => {
    const pod = podObject({
      spec: {
        initContainers: [{ name: 'migrate' }, { name: 'proxy', restartPolicy: 'Always' }],
      },
      status: {
        initContainerStatuses: [{ name: 'proxy', ready: true, state: { running: {} } }],
      },
    });

    expect(factsOf(pod).containers.map(({ containerName }) => containerName)).toEqual([
      'app',
      'proxy',
    ]);
    expect(factsOf(pod).containers[1]).toMatchObject({ ready: true, running: true });
  });

  it('shows limits beyond 2^31 as they are', () => {
    const limits = { memory: '12Gi', 'ephemeral-storage': '100G' };

    expect(containerOf(podObject({ container: { resources: { limits } } }))).toMatchObject({
      memoryLimitBytes: 12_884_901_888,
      ephemeralStorageLimitBytes: 100_000_000_000,
    });
  });

  it('shows the end of the last run, or of this one when nothing runs any more', () => {
    const oom = { reason: 'OOMKilled', exitCode: 137, finishedAt: '2026-01-01T00:00:00Z' };
    const lastTermination = {
      reason: 'OOMKilled',
      exitCode: 137,
      finishedTime: '2026-01-01T00:00:00Z',
    };
    const statusWith = (status: object) =>
      podObject({ status: { containerStatuses: [{ name: 'app', ...status }] } });

    expect(containerOf(statusWith({ lastState: { terminated: oom } }))).toMatchObject({
      lastTermination,
    });
    expect(containerOf(statusWith({ state: { terminated: oom } }))).toMatchObject({
      running: false,
      lastTermination,
    });
    const earlier = { reason: 'Error', exitCode: 1, finishedAt: '2025-12-31T00:00:00Z' };
    const restartedAndDown = { lastState: { terminated: earlier }, state: { terminated: oom } };
    expect(containerOf(statusWith(restartedAndDown))).toMatchObject({ lastTermination });
  });
});

describe('isPodObject', () => {
  it.each([
    undefined,
    null,
    1,
    {},
    { metadata: {} },
    { metadata: { name: 'a', namespace: 'b', uid: 'c' } },
  ])('refuses %p', (value) => {
    expect(isPodObject(value)).toBe(false);
  });

  it('accepts a pod', () => {
    expect(isPodObject(podObject())).toBe(true);
  });
});
