import type { WorkloadHistory } from '../../lib/claim/claim-store.ts';
import type { ContainerFacts, PodFacts } from '../../lib/policy/pod-facts.ts';
import type { Signal } from '../../lib/signal/signal.ts';

/** The moment at which the tests' troubles are observed. */
export const observedTime = '2026-03-01T12:00:00Z';
/** One second later. */
export const now = new Date('2026-03-01T12:00:01Z');

/** A running container with the API's default probe and 512 MiB. */
export function container(changes: Partial<ContainerFacts> = {}): ContainerFacts {
  return {
    containerName: 'app',
    containerID: 'containerd://aaaa',
    running: true,
    ready: true,
    started: true,
    restartCount: 0,
    startedTime: '2026-03-01T11:00:00Z',
    memoryLimitBytes: 512 * 1024 ** 2,
    livenessProbe: {
      periodSeconds: 10,
      timeoutSeconds: 1,
      failureThreshold: 3,
      initialDelaySeconds: 0,
    },
    hasPreStop: false,
    readOnlyRootFilesystem: false,
    volumeMounts: [],
    ...changes,
  };
}

export function pod(changes: Partial<PodFacts> = {}): PodFacts {
  return {
    clusterName: 'prod',
    namespace: 'shop',
    podName: 'cart-7f-x',
    podUid: 'uid-1',
    nodeName: 'node-a',
    workload: { kind: 'Deployment', name: 'cart' },
    readyReplicaCount: 3,
    phase: 'Running',
    ready: true,
    terminationGracePeriodSeconds: 30,
    annotations: {},
    containers: [container()],
    ...changes,
  };
}

export function signal(changes: Partial<Signal> = {}): Signal {
  return {
    schemaVersion: 1,
    clusterName: 'prod',
    namespace: 'shop',
    podName: 'cart-7f-x',
    podUid: 'uid-1',
    containerName: 'app',
    containerID: 'containerd://aaaa',
    reason: 'LivenessProbeFailing',
    observedTime,
    numbers: { failureCount: 2, failureThreshold: 3 },
    ...changes,
  };
}

export const noHistory: WorkloadHistory = { acquireTimes: [] };
