import { randomBytes } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildImageFolder } from '../../infra/images/build.ts';
import type { ObjectStore } from '../../lib/capture/ports.ts';
import { createClusterRegistry } from '../../lib/aws/cluster-registry.ts';
import { invokeFunction } from '../../lib/aws/function-invoker.ts';
import { createS3ObjectStore } from '../../lib/aws/s3-object-store.ts';
import { readStackOutputs } from '../../lib/aws/stack-outputs.ts';
import { parseIndexEntry, type IndexEntry } from '../../lib/dump-index/index-entry.ts';
import { deployStack } from '../../lib/local/aws/deploy.ts';
import { startLocalAws } from '../../lib/local/aws/local-aws.ts';
import { findJdks } from '../../lib/local/jdks.ts';
import {
  buildBase,
  buildImage,
  buildJavaRoot,
  clusterKubeconfig,
  Kubectl,
  type Pod,
  type PodEvent,
} from './cluster.ts';
import { Gate } from './gate.ts';
import { eventually, run } from './shell.ts';

const project = path.resolve(import.meta.dirname, '../..');
export const image = 'heapcatch:e2e';
/** This machine as pods see it. */
export const hostAddress = process.env['HEAPCATCH_E2E_HOST'] ?? '10.250.0.2';

/** The deployed stack, the installed cluster side, and the ways to look at both. */
export class Environment {
  readonly kubectl: Kubectl;
  readonly clusterName: string;
  readonly namespace: string;
  readonly objects: ObjectStore;
  readonly gate: Gate;
  readonly outputs: Readonly<Record<string, string>>;
  readonly endpoint: string;
  readonly #closers: (() => Promise<unknown>)[];

  constructor(parts: {
    kubectl: Kubectl;
    clusterName: string;
    namespace: string;
    objects: ObjectStore;
    gate: Gate;
    outputs: Readonly<Record<string, string>>;
    endpoint: string;
    closers: (() => Promise<unknown>)[];
  }) {
    this.kubectl = parts.kubectl;
    this.clusterName = parts.clusterName;
    this.namespace = parts.namespace;
    this.objects = parts.objects;
    this.gate = parts.gate;
    this.outputs = parts.outputs;
    this.endpoint = parts.endpoint;
    this.#closers = parts.closers;
  }

  close(): Promise<void> {
    return closeAll(this.#closers);
  }

  invoke(functionName: 'capture' | 'seal' | 'sweep', payload: unknown): Promise<unknown> {
    const output = {
      capture: 'CaptureFunctionName',
      seal: 'SealFunctionName',
      sweep: 'SweepFunctionName',
    };
    return invokeFunction(this.outputs[output[functionName]]!, payload, {
      region: 'us-east-1',
      endpoint: this.endpoint,
    });
  }

  /** Index entries of the pods of one workload, newest first. */
  async entriesOf(workload: string): Promise<IndexEntry[]> {
    const listed = await this.objects.listObjects('index/', { limit: 1000 });
    const entries: IndexEntry[] = [];
    for (const { objectKey } of listed) {
      const body = await this.objects.getObject(objectKey, { maxBytes: 1 << 20 });
      if (body === undefined) continue;
      const entry = parseIndexEntry(JSON.parse(Buffer.from(body).toString('utf8')));
      if (entry.where.workload.name === workload && entry.where.namespace === this.namespace) {
        entries.push(entry);
      }
    }
    return entries;
  }

  async entryOf(workload: string, seconds: number): Promise<IndexEntry> {
    return eventually(
      `index entry of ${workload}`,
      seconds,
      async () => (await this.entriesOf(workload))[0],
    );
  }

  async pods(name: string): Promise<Pod[]> {
    const list = await this.kubectl.json<{ items: Pod[] }>([
      ...['get', 'pods', '-n', this.namespace, '-l', `app=${name}`],
    ]);
    return list.items;
  }

  /** All replicas, ready. */
  async readyPods(name: string, count: number, seconds = 90): Promise<Pod[]> {
    return eventually(`${count} ready pods of ${name}`, seconds, async () => {
      const pods = (await this.pods(name)).filter(
        (pod) =>
          pod.metadata.deletionTimestamp === undefined &&
          pod.status.containerStatuses?.every((container) => container.ready),
      );
      return pods.length >= count ? pods : undefined;
    });
  }

  /** Memory that the container counts, by its own view of cgroup v1 or v2; whole MiB, rounded up. */
  async usedMebibytes(podName: string): Promise<number> {
    const files = '/sys/fs/cgroup/memory/memory.usage_in_bytes /sys/fs/cgroup/memory.current';
    const bytes = await this.kubectl.run([
      ...['exec', podName, '-n', this.namespace, '-c', 'app', '--'],
      ...['sh', '-c', `cat ${files} 2>/dev/null || true`],
    ]);
    return Math.ceil(Number(bytes.trim()) / 1024 / 1024);
  }

  async events(podName: string): Promise<PodEvent[]> {
    const list = await this.kubectl.json<{ items: PodEvent[] }>([
      ...['get', 'events', '-n', this.namespace],
      ...['--field-selector', `involvedObject.name=${podName}`],
    ]);
    return list.items;
  }

  async restarted(name: string, seconds: number): Promise<Pod> {
    return eventually(`restart of ${name}`, seconds, async () =>
      (await this.pods(name)).find(
        (pod) => (pod.status.containerStatuses?.[0]?.restartCount ?? 0) > 0,
      ),
    );
  }

  /** @param sensor off unless asked for: it would send signals before those that other tests wait for. */
  async installNodeAgent({ sensor = false } = {}): Promise<void> {
    await install(this.kubectl, 'default', { ...this.settings(), sensor });
    await this.kubectl.run(
      ['rollout', 'status', 'daemonset/heapcatch-agent', '-n', 'heapcatch', '--timeout=90s'],
      { timeoutSeconds: 100 },
    );
  }

  async removeNodeAgent(): Promise<void> {
    await this.kubectl.run(
      [
        'delete',
        'daemonset/heapcatch-agent',
        '-n',
        'heapcatch',
        '--ignore-not-found',
        '--wait',
        '--timeout=90s',
      ],
      { timeoutSeconds: 100 },
    );
  }

  /** What a sender of signals is told: the cluster, the bus, the local AWS. */
  settings(): ForwarderSettings {
    return {
      clusterName: this.clusterName,
      busName: this.outputs['SignalBusName']!,
      endpoint: this.endpoint,
      namespaces: this.namespace,
    };
  }

  async startForwarder(): Promise<void> {
    await install(this.kubectl, 'ephemeral-only', this.settings());
    await this.kubectl.run(
      ['rollout', 'status', 'deployment/heapcatch-forwarder', '-n', 'heapcatch', '--timeout=90s'],
      { timeoutSeconds: 100 },
    );
  }
}

export interface ForwarderSettings {
  clusterName: string;
  busName: string;
  endpoint: string;
  namespaces: string;
  sensor?: boolean;
  /** With the component that watches namespaces by a label, beside those that are named. */
  byLabel?: boolean;
}

interface Manifest {
  kind: string;
  metadata: { name: string };
  data?: Record<string, string>;
  spec?: {
    /** A Service has none. */
    template?: {
      spec: {
        containers: {
          image: string;
          imagePullPolicy?: string;
          env?: { name: string; value: string }[];
        }[];
      };
    };
  };
}

/** An overlay, or one of a user's own that adds the component. */
async function rendering(overlay: string, byLabel: boolean): Promise<string> {
  const kubernetes = path.join(project, 'infra/kubernetes');
  const standing = path.join(kubernetes, 'overlays', overlay);
  if (!byLabel) return run('kubectl', ['kustomize', standing]);
  const own = mkdtempSync(path.join(tmpdir(), 'heapcatch-overlay-'));
  const component = path.join(kubernetes, 'components/namespaces-by-label');
  const kustomization = {
    ...{ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization' },
    resources: [path.relative(own, standing)],
    components: [path.relative(own, component)],
  };
  try {
    writeFileSync(path.join(own, 'kustomization.yaml'), JSON.stringify(kustomization));
    return await run('kubectl', ['kustomize', own]);
  } finally {
    rmSync(own, { recursive: true });
  }
}

/** Applies an overlay of infra/kubernetes as it stands, with the image and the addresses of this run. */
export async function install(
  kubectl: Kubectl,
  overlay: string,
  settings: ForwarderSettings,
): Promise<void> {
  const rendered = await rendering(overlay, settings.byLabel ?? false);
  const asJson = await kubectl.run(['create', '--dry-run=client', '-o', 'json', '-f', '-'], {
    input: rendered,
  });
  // kubectl prints one object after another, not a list.
  const manifests = JSON.parse(
    `[${asJson.replace(/\}\s*\{\s*"apiVersion"/g, '},{"apiVersion"')}]`,
  ) as Manifest[];
  for (const manifest of manifests) {
    if (manifest.kind === 'ConfigMap') {
      manifest.data = {
        ...manifest.data,
        HEAPCATCH_CLUSTER_NAME: settings.clusterName,
        HEAPCATCH_EVENT_BUS_NAME: settings.busName,
        HEAPCATCH_NAMESPACES: settings.namespaces,
        AWS_ENDPOINT_URL: settings.endpoint,
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
      };
    }
    for (const container of manifest.spec?.template?.spec.containers ?? []) {
      container.image = image;
      container.imagePullPolicy = 'Never';
      const off = settings.sensor === true ? undefined : 'HEAPCATCH_FORWARDER_URL';
      container.env = (container.env ?? []).filter(({ name }) => name !== off);
    }
  }
  const namespaces = manifests.filter((manifest) => manifest.kind === 'Namespace');
  await kubectl.apply({ apiVersion: 'v1', kind: 'List', items: namespaces });
  await kubectl.apply({ apiVersion: 'v1', kind: 'List', items: manifests });
}

/** The functions' way into the cluster: the service account of infra/kubernetes, nothing more. */
async function functionsKubeconfig(kubectl: Kubectl): Promise<string> {
  const token = (
    await kubectl.run([
      'create',
      'token',
      'heapcatch-functions',
      '-n',
      'heapcatch',
      '--duration=6h',
    ])
  ).trim();
  const admin = await kubectl.json<{ clusters: { name: string; cluster: unknown }[] }>([
    ...['config', 'view', '--raw', '--minify'],
  ]);
  const cluster = admin.clusters[0]!;
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [cluster],
    users: [{ name: 'heapcatch-functions', user: { token } }],
    contexts: [{ name: 'e2e', context: { cluster: cluster.name, user: 'heapcatch-functions' } }],
    'current-context': 'e2e',
  });
}

/** Builds the image of heapcatch and one of the leaking application for each JDK asked for. */
export async function buildImages(folder: string, jdks: readonly number[]): Promise<void> {
  const base = await buildBase(path.join(folder, 'base'));
  const root = path.join(folder, 'heapcatch');
  await run('cp', ['-a', base, root]);
  cpSync(await buildImageFolder(path.join(folder, 'dist')), root, { recursive: true });
  await buildImage(image, root, {
    entrypoint: ['/heapcatch/agent'],
    cmd: ['capture'],
    env: ['MALLOC_MMAP_THRESHOLD_=131072', 'MALLOC_ARENA_MAX=1'],
  });
  rmSync(root, { recursive: true });
  for (const major of jdks) {
    const jdk = findJdks().find((candidate) => candidate.major === major);
    if (jdk === undefined)
      throw new Error(
        `the e2e suite needs JDK ${major} on this machine (JAVA_HOME or /usr/lib/jvm)`,
      );
    const classes = path.join(folder, `classes-${major}`);
    mkdirSync(classes);
    await run(path.join(jdk.home, 'bin/javac'), [
      ...['-d', classes, path.join(project, 'lib/local/application/LeakingApplication.java')],
    ]);
    const java = path.join(folder, `java-${major}`);
    await buildJavaRoot({ base, folder: java, jdkHome: jdk.home, classes });
    await buildImage(javaImage(major), java);
    rmSync(java, { recursive: true });
  }
}

export const javaImage = (major: number): string => `heapcatch-e2e-java:${major}`;

async function closeAll(closers: readonly (() => Promise<unknown>)[]): Promise<void> {
  for (const closer of closers.toReversed()) {
    await closer().catch((error: unknown) => process.stderr.write(`e2e: ${String(error)}\n`));
  }
}

/** Starts everything: cluster, images, local AWS where pods reach it, the deployed stack, the cluster's access. */
export async function startEnvironment(options: { jdks: readonly number[] }): Promise<Environment> {
  const closers: (() => Promise<unknown>)[] = [];
  try {
    return await start(options, closers);
  } catch (error) {
    await closeAll(closers);
    throw error;
  }
}

async function start(
  options: { jdks: readonly number[] },
  closers: (() => Promise<unknown>)[],
): Promise<Environment> {
  const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-e2e-'));
  closers.push(() => rm(folder, { recursive: true, force: true }));
  const kubectl = new Kubectl(await clusterKubeconfig());
  // A run that was killed leaves its agent on the nodes, and every plan would then pick it.
  await kubectl.run(
    ['delete', 'namespace', 'heapcatch', '--wait', '--timeout=120s', '--ignore-not-found'],
    { timeoutSeconds: 130 },
  );
  await buildImages(folder, options.jdks);
  const aws = await startLocalAws({
    stateFolder: path.join(folder, 'aws'),
    bindAddress: hostAddress,
  });
  closers.push(() => aws.close());
  Object.assign(process.env, aws.env);
  const url = new URL(aws.endpoint);
  const gate = await Gate.open(hostAddress, { host: url.hostname, port: Number(url.port) });
  closers.push(() => gate.close());
  const stage = `e2e-${randomBytes(3).toString('hex')}`;
  const clusterName = 'test-cluster';
  const { stackName } = await deployStack({
    stage,
    env: aws.env,
    params: {
      agentImage: image,
      publicS3Endpoint: `http://${hostAddress}:${gate.port}`,
      defaultClusterName: clusterName,
      allowPlainHttp: 'true',
    },
  });
  const outputs = await readStackOutputs(stackName, {
    region: 'us-east-1',
    endpoint: aws.endpoint,
  });
  const namespace = `victims-${randomBytes(3).toString('hex')}`;
  await kubectl.apply({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: namespace, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
  });
  closers.push(() =>
    kubectl.run(
      [
        'delete',
        'namespace',
        namespace,
        'heapcatch',
        '--wait',
        '--timeout=120s',
        '--ignore-not-found',
      ],
      {
        timeoutSeconds: 130,
      },
    ),
  );
  const environment = new Environment({
    kubectl,
    clusterName,
    namespace,
    gate,
    outputs,
    closers,
    endpoint: aws.endpoint,
    objects: createS3ObjectStore({
      bucketName: outputs['DumpBucketName']!,
      region: 'us-east-1',
      endpoint: aws.endpoint,
    }),
  });
  await environment.startForwarder();
  await createClusterRegistry({
    parameterPrefix: `/heapcatch/${stage}/clusters`,
    region: 'us-east-1',
    endpoint: aws.endpoint,
  }).writeKubeconfig(clusterName, await functionsKubeconfig(kubectl));
  return environment;
}
