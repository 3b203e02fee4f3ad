/**
 * A process of the benchmark watch: `forwarder` or `informer`, with `KUBECONFIG NAMESPACE CHANGES`. Connects, says on stdout
 * what it has listed, watches until it has seen that many changes, and says what that took. Needs --expose-gc.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { createForwarderMetrics } from '../../lib/forwarder/metrics.ts';
import { PodCache } from '../../lib/forwarder/pod-cache.ts';
import { systemTime } from '../../lib/forwarder/time.ts';
import { watchForever } from '../../lib/forwarder/watcher.ts';
import { createLogger } from '../../lib/log.ts';
import { createWatchSource } from '../../lib/kubernetes/watch-source.ts';

/** A namespace in which no pod ever is: what is asked of it only connects. */
const emptyNamespace = 'kube-node-lease';

export interface Taken {
  listed: number;
  cpuSeconds: number;
  listCpuSeconds: number;
  /** Growth of what is alive in the heap and outside of it. */
  liveBytes: number;
  residentBytes: number;
  peakBytes: number;
}

interface Watch {
  connect(): Promise<unknown>;
  /** Lists and watches until the abort. */
  run(listed: (count: number) => void, changed: () => void): Promise<unknown>;
  /** How many pods are known; also what keeps them alive. */
  size(): number;
}

function forwarder(kubeconfig: string, namespace: string): Watch {
  const source = createWatchSource({ kubeconfig, clusterName: 'bench' });
  const pods = new PodCache();
  const metrics = createForwarderMetrics();
  const log = createLogger('bench', { write: () => undefined });
  return {
    connect: () => source.listPods(emptyNamespace),
    run: (listed, changed) =>
      watchForever({
        resource: 'pods',
        namespace,
        list: () => source.listPods(namespace),
        watch: (...from) => source.watchPods(namespace, ...from),
        onList(items) {
          pods.retain(namespace, items);
          for (const pod of items) pods.put(pod);
          listed(pods.size);
        },
        onChange(change) {
          if (change.type === 'DELETED') pods.delete(change.object);
          else pods.put(change.object);
          changed();
        },
        onContact: () => undefined,
        time: systemTime,
        random: Math.random,
        metrics,
        log,
        signal: new AbortController().signal,
      }),
    size: () => pods.size,
  };
}

async function informer(kubeconfig: string, namespace: string): Promise<Watch> {
  const { CoreV1Api, KubeConfig, makeInformer } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromString(kubeconfig);
  const api = config.makeApiClient(CoreV1Api);
  const watched = makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, () =>
    api.listNamespacedPod({ namespace }),
  );
  return {
    connect: () => api.listNamespacedPod({ namespace: emptyNamespace }),
    async run(listed, changed) {
      watched.on('update', changed);
      watched.on('error', (error: unknown) => {
        throw new Error('the informer failed', { cause: error });
      });
      await watched.start();
      listed(watched.list().length);
    },
    size: () => watched.list().length,
  };
}

async function memory(): Promise<{ live: number; resident: number }> {
  for (let round = 0; round < 3; round += 1) {
    globalThis.gc?.();
    await wait(200);
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { live: heapUsed + external, resident: rss };
}

const cpuSeconds = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

const [side = '', file = '', namespace = '', changes = ''] = process.argv.slice(2);
const kubeconfig = readFileSync(file, 'utf8');
const watch =
  side === 'forwarder' ? forwarder(kubeconfig, namespace) : await informer(kubeconfig, namespace);
await watch.connect();
const bare = await memory();
const started = cpuSeconds();
let listed = 0;
let listCpuSeconds = 0;
await new Promise<void>((resolve, reject) => {
  let left = Number(changes);
  watch
    .run(
      (count) => {
        listed = count;
        listCpuSeconds = cpuSeconds() - started;
        process.stdout.write(`${count}\n`);
      },
      () => {
        left -= 1;
        if (left === 0) resolve();
      },
    )
    .catch(reject);
});
const taken = cpuSeconds() - started;
const peakBytes = process.resourceUsage().maxRSS * 1024 - bare.resident;
const full = await memory();
if (watch.size() !== listed) throw new Error(`${watch.size()} of ${listed} pods are known`);
const result: Taken = {
  listed,
  cpuSeconds: taken,
  listCpuSeconds,
  liveBytes: full.live - bare.live,
  residentBytes: full.resident - bare.resident,
  peakBytes,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit();
