import {
  AppsV1Api,
  CoreV1Api,
  KubeConfig,
  type V1Deployment,
  type V1Pod,
} from '@kubernetes/client-node';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';
import type { WatchChange, WatchSource } from '../../lib/signal/watch-source.ts';

/** A cluster to run the contract on, with a namespace of the run's own. */
export interface ClusterUnderTest {
  kubeconfig: string;
  namespace: string;
  nodeName: string;
  /** Image that runs cluster-victim.mjs and has a shell. */
  image: string;
  runAsUser: number;
  runAsGroup: number;
  close(): Promise<void>;
}

/** How long anything may take; only a failing test waits for it. */
const deadlineMilliseconds = 60_000;

/** The pods of the contract, made and removed by the official client. */
export class ClusterObjects {
  readonly core: CoreV1Api;
  readonly #apps: AppsV1Api;
  readonly #cluster: ClusterUnderTest;

  constructor(cluster: ClusterUnderTest) {
    const config = new KubeConfig();
    config.loadFromString(cluster.kubeconfig);
    this.core = config.makeApiClient(CoreV1Api);
    this.#apps = config.makeApiClient(AppsV1Api);
    this.#cluster = cluster;
  }

  podSpec(options: PodOptions = {}): object {
    const { image, runAsUser, runAsGroup } = this.#cluster;
    return {
      terminationGracePeriodSeconds: options.graceSeconds ?? 5,
      securityContext: {
        runAsUser,
        runAsGroup,
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [
        {
          name: 'app',
          image,
          imagePullPolicy: 'Never',
          env: [
            { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
            { name: 'UNHEALTHY_AFTER', value: String(options.unhealthyAfter ?? 'Infinity') },
          ],
          ports: [{ name: 'http', containerPort: 8080 }],
          resources: { requests: { cpu: '20m' }, limits: { memory: '256Mi' } },
          securityContext: {
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
          },
          readinessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 1 },
          ...(options.unhealthyAfter !== undefined && {
            livenessProbe: {
              httpGet: { path: '/', port: 8080 },
              // The program is up by then: a refused connection would be another Event.
              initialDelaySeconds: 3,
              periodSeconds: 1,
              failureThreshold: 3,
            },
            // Only one probe may count the requests.
            readinessProbe: { exec: { command: ['true'] }, periodSeconds: 5 },
          }),
          ...(options.preStopSeconds !== undefined && {
            lifecycle: { preStop: { sleep: { seconds: options.preStopSeconds } } },
          }),
          volumeMounts: [{ name: 'dumps', mountPath: '/tmp/heapcatch-contract' }],
        },
      ],
      volumes: [{ name: 'dumps', emptyDir: { sizeLimit: '64Mi' } }],
    };
  }

  async createPod(
    name: string,
    options: PodOptions & { labels?: Record<string, string> } = {},
  ): Promise<V1Pod> {
    const { labels = {}, ...podOptions } = options;
    const pod: unknown = { metadata: { name, labels }, spec: this.podSpec(podOptions) };
    return this.core.createNamespacedPod({
      namespace: this.#cluster.namespace,
      body: pod as V1Pod,
    });
  }

  async createDeployment(name: string, replicas: number): Promise<void> {
    const labels = { app: name };
    const deployment: unknown = {
      metadata: { name },
      spec: {
        replicas,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: this.podSpec() },
      },
    };
    await this.#apps.createNamespacedDeployment({
      namespace: this.#cluster.namespace,
      body: deployment as V1Deployment,
    });
  }

  async deletePod(name: string, graceSeconds?: number): Promise<void> {
    await this.core.deleteNamespacedPod({
      name,
      namespace: this.#cluster.namespace,
      ...(graceSeconds !== undefined && { gracePeriodSeconds: graceSeconds }),
    });
  }

  async readPod(name: string): Promise<V1Pod> {
    return this.core.readNamespacedPod({ name, namespace: this.#cluster.namespace });
  }
}

export interface PodOptions {
  /** Probes answered well before the failures begin; gives the pod a liveness probe. */
  unhealthyAfter?: number;
  preStopSeconds?: number;
  graceSeconds?: number;
}

/**
 * Lists, then watches, until a state of the pods satisfies; all that was seen on the way comes with it.
 * DELETED is seen as a change whose type says so.
 */
export async function followPods(
  source: WatchSource,
  namespace: string,
  until: (change: PodChange) => boolean,
): Promise<PodChange[]> {
  const { items, resourceVersion } = await source.listPods(namespace);
  const listed = items.map((object) => ({ type: 'ADDED' as const, object }));
  return follow(listed, resourceVersion, until, (version, onChange, signal) =>
    source.watchPods(namespace, version, onChange, signal),
  );
}

export async function followEvents(
  source: WatchSource,
  namespace: string,
  until: (change: EventChange) => boolean,
): Promise<EventChange[]> {
  const { items, resourceVersion } = await source.listEvents(namespace);
  const listed = items.map((object) => ({ type: 'ADDED' as const, object: object as EventObject }));
  return follow(listed, resourceVersion, until, (version, onChange, signal) =>
    source.watchEvents(
      namespace,
      version,
      onChange as (change: WatchChange<unknown>) => void,
      signal,
    ),
  );
}

export interface Change<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: T;
}
export type PodChange = Change<PodFacts>;
export type EventChange = Change<EventObject>;

export interface EventObject {
  metadata: { name: string; uid: string };
  involvedObject: { name: string; uid: string; fieldPath?: string };
  type: string;
  reason: string;
  message: string;
  count?: number;
  source: { component?: string };
}

async function follow<T>(
  listed: Change<T>[],
  resourceVersion: string,
  until: (change: Change<T>) => boolean,
  watch: (
    version: string,
    onChange: (change: WatchChange<T>) => void,
    signal: AbortSignal,
  ) => Promise<unknown>,
): Promise<Change<T>[]> {
  const seen = [...listed];
  if (seen.some(until)) return seen;
  const done = new AbortController();
  const deadline = AbortSignal.timeout(deadlineMilliseconds);
  await watch(
    resourceVersion,
    (change) => {
      if (change.type === 'BOOKMARK') return;
      seen.push(change);
      if (until(change)) done.abort();
    },
    AbortSignal.any([done.signal, deadline]),
  );
  if (done.signal.aborted) return seen;
  throw new Error(`not seen in ${seen.length} changes: ${JSON.stringify(seen.slice(-3))}`);
}
