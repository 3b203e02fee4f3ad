import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { createClusterApi } from '../../lib/kubernetes/cluster-api.ts';
import { createWatchSource } from '../../lib/kubernetes/watch-source.ts';
import {
  startLocalCluster,
  type LocalCluster,
  type LocalClusterOptions,
} from '../../lib/local/cluster/local-cluster.ts';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';

export const namespace = 'test';

/** A local cluster whose image `idle` waits for its end, and what tests ask of it. */
export async function startTestCluster(options: Partial<LocalClusterOptions> = {}) {
  const cluster = await startLocalCluster({
    images: { idle: ['sleep', '1000'], ...options.images },
    ...(options.programs && { programs: options.programs }),
  });
  const { kubeconfig } = cluster;
  const source = createWatchSource({ kubeconfig, clusterName: 'local' });
  const api = createClusterApi({ kubeconfig, clusterName: 'local' });
  return {
    cluster,
    api,
    source,
    createPod: (name: string, container: object = {}, spec: object = {}, labels: object = {}) =>
      cluster.createPod(namespace, {
        metadata: { name, labels },
        spec: { containers: [{ name: 'app', image: 'idle', ...container }], ...spec },
      }),
    /** The pod as soon as this holds for it. */
    async until(podName: string, holds: (pod: PodFacts) => boolean): Promise<PodFacts> {
      const { items, resourceVersion } = await source.listPods(namespace);
      let found = items.find((pod) => pod.podName === podName && holds(pod));
      const done = new AbortController();
      if (!found) {
        await source.watchPods(
          namespace,
          resourceVersion,
          (change) => {
            if (change.type === 'BOOKMARK' || change.object.podName !== podName) return;
            if (!holds(change.object)) return;
            found = change.object;
            done.abort();
          },
          AbortSignal.any([done.signal, AbortSignal.timeout(20_000)]),
        );
      }
      if (found) return found;
      throw new Error(`${podName} does not come to that`);
    },
    async gone(podName: string): Promise<void> {
      const { items, resourceVersion } = await source.listPods(namespace);
      if (!items.some((pod) => pod.podName === podName)) return;
      const done = new AbortController();
      await source.watchPods(
        namespace,
        resourceVersion,
        (change) => {
          if (change.type === 'DELETED' && change.object.podName === podName) done.abort();
        },
        AbortSignal.any([done.signal, AbortSignal.timeout(20_000)]),
      );
      if (!done.signal.aborted) throw new Error(`${podName} does not go`);
    },
    exec: (podName: string, script: string, containerName = 'app') =>
      api.exec({ namespace, podName, containerName }, ['sh', '-c', script], {
        deadlineSeconds: 20,
      }),
    async eventsOf(podName: string): Promise<{ reason: string; message: string }[]> {
      const { items } = await source.listEvents(namespace);
      return (
        items as { reason: string; message: string; involvedObject: { name: string } }[]
      ).filter((event) => event.involvedObject.name === podName);
    },
  };
}

export type TestCluster = Awaited<ReturnType<typeof startTestCluster>>;

export const isRunning = (pod: PodFacts): boolean => pod.containers[0]!.running;

/** Process ids in a folder that stands in for /proc, with their command lines. */
export function viewOf(cluster: LocalCluster, containerID: string): Map<number, string> {
  const id = containerID.replace('containerd://', '');
  const folder = path.join(cluster.stateFolder, 'proc', id);
  const view = new Map<number, string>();
  for (const pid of readdirSync(folder).filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(path.join(folder, pid, 'cmdline'), 'utf8');
      view.set(Number(pid), words.replaceAll('\0', ' ').trim());
    } catch {
      // It has ended since, as in any /proc.
    }
  }
  return view;
}
