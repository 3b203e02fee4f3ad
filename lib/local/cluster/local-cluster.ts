import { randomBytes } from 'node:crypto';
import { chmodSync, createReadStream, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { createApiServer, type ApiWrites } from './api-server.ts';
import type { Deployment, Pod } from './api-objects.ts';
import { logFileOf, type KubeletHost } from './container-start.ts';
import { DeploymentController } from './deployment-controller.ts';
import { EventRecorder } from './event-recorder.ts';
import { serveExec } from './exec-session.ts';
import { Guardian } from './guardian.ts';
import { Kubelet } from './kubelet.ts';
import { listenInFreeRange } from './loopback-range.ts';
import { ObjectTable } from './object-table.ts';
import { createObject, patchEphemeralContainers, removeObject } from './pod-writes.ts';
import { ProcessView } from './process-view.ts';

export interface LocalClusterOptions {
  /** Image name → what runs on this machine in its place. */
  images: Readonly<Record<string, readonly string[]>>;
  /** First word of a command → what runs on this machine in its place, e.g. for `/heapcatch/agent`. */
  programs?: Readonly<Record<string, readonly string[]>>;
  nodeName?: string;
  /** Changes a watch can resume over; older versions are expired. */
  historyLimit?: number;
  bookmarkSeconds?: number;
  restartBackoffSeconds?: number;
}

export interface LocalCluster {
  /** The kubeconfig's text: the address and a token. */
  kubeconfig: string;
  nodeName: string;
  /** Logs and process views; removed on close. */
  stateFolder: string;
  /** @throws ApiError */
  createPod(namespace: string, pod: unknown): Pod;
  createDeployment(namespace: string, deployment: unknown): Deployment;
  deletePod(namespace: string, podName: string, graceSeconds?: number): void;
  /** Makes every earlier resourceVersion expired, as compaction does. */
  forgetHistory(): void;
  readLog(namespace: string, podName: string, containerName: string): Promise<string>;
  /** Kills every process, closes every connection, removes every file. */
  close(): Promise<void>;
}

const port = 26_443;
const maxLogBytes = 1024 * 1024;

/**
 * Starts a stand-in for a cluster of one node: the part of the Kubernetes API that heapcatch uses, over HTTP, with
 * pods that are real processes of this machine. Linux only, no root needed; several run side by side.
 * What it does not do: isolation (root file systems, memory limits, mounts, networks), RBAC, rollouts, init
 * containers. A process that dies with SIGKILL leaves nothing behind either: a guardian cleans up.
 */
export async function startLocalCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  const stateFolder = mkdtempSync(path.join(tmpdir(), 'heapcatch-cluster-'));
  // Pods may run as another user when this runs as root.
  chmodSync(stateFolder, 0o755);
  mkdirSync(path.join(stateFolder, 'pods'));
  const guardian = new Guardian(stateFolder);
  const nodeName = options.nodeName ?? 'local-node';
  const table = new ObjectTable(options.historyLimit ?? 5_000);
  const token = randomBytes(24).toString('base64url');
  const node: { kubelet?: Kubelet } = {};
  const writes = apiWrites(table, nodeName, stateFolder, () => {
    if (!node.kubelet) throw new Error('the cluster is starting');
    return node.kubelet;
  });
  const { bookmarkSeconds = 30 } = options;
  const server = createApiServer({ table, token, writes, bookmarkSeconds });
  const sockets = trackSockets(server);
  const addresses = await listenInFreeRange(server, port);
  const host: KubeletHost = {
    table,
    recorder: new EventRecorder(table, nodeName),
    view: new ProcessView(path.join(stateFolder, 'proc')),
    guardian,
    addresses,
    stateFolder,
    images: options.images,
    programs: options.programs ?? {},
    restartBackoffSeconds: options.restartBackoffSeconds ?? 1,
    volumeFolders: new Set(),
  };
  const kubelet = new Kubelet(host);
  node.kubelet = kubelet;
  const controller = new DeploymentController(table, nodeName);
  return {
    kubeconfig: kubeconfigOf(`http://${addresses.serverAddress}:${port}`, token),
    nodeName,
    stateFolder,
    createPod: (namespace, pod) => writes.create('pods', namespace, pod) as Pod,
    createDeployment: (namespace, deployment) =>
      writes.create('deployments', namespace, deployment) as Deployment,
    deletePod: (namespace, podName, graceSeconds) => {
      writes.remove('pods', namespace, podName, { gracePeriodSeconds: graceSeconds });
    },
    forgetHistory: () => table.history.forget(),
    readLog: (namespace, podName, containerName) =>
      writes.readLog(namespace, podName, containerName),
    async close() {
      controller.close();
      await closeServer(server, sockets);
      await kubelet.close();
      await closeHost(host);
    },
  };
}

/** Collects the sockets of a server: those that were upgraded are not closed with it otherwise. */
function trackSockets(server: Server): Set<Socket> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return sockets;
}

async function closeServer(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const socket of sockets) socket.destroy();
  await closed;
}

async function closeHost({
  view,
  guardian,
  volumeFolders,
  stateFolder,
}: KubeletHost): Promise<void> {
  view.close();
  await guardian.close();
  for (const folder of [...volumeFolders, stateFolder]) {
    rmSync(folder, { recursive: true, force: true });
  }
}

function apiWrites(
  table: ObjectTable,
  nodeName: string,
  stateFolder: string,
  kubelet: () => Kubelet,
): ApiWrites {
  return {
    create: (resource, namespace, body) => createObject(table, resource, namespace, body, nodeName),
    remove: (resource, namespace, name, options) =>
      removeObject(table, resource, namespace, name, options),
    patchEphemeralContainers: (namespace, name, body) =>
      patchEphemeralContainers(table, namespace, name, body),
    async readLog(namespace, name, containerName) {
      const { metadata, spec } = table.require('pods', namespace, name);
      const container = containerName ?? spec.containers[0]?.name ?? '';
      const file = logFileOf(stateFolder, metadata.uid, container);
      const size = statSync(file, { throwIfNoEntry: false })?.size;
      if (size === undefined) return '';
      return text(createReadStream(file, { start: Math.max(0, size - maxLogBytes) }));
    },
    exec({ namespace, name = '', query }, request, socket, head) {
      const pod = table.require('pods', namespace, name);
      const containerName = query.get('container') ?? pod.spec.containers[0]?.name ?? '';
      kubelet().requireRunning(namespace, name, containerName);
      serveExec(request, socket, head, {
        stdin: query.get('stdin') === 'true',
        start: () => kubelet().exec(namespace, name, containerName, query.getAll('command')),
      });
    },
  };
}

function kubeconfigOf(server: string, token: string): string {
  const name = 'local';
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    // Plain http on a loopback address: the client asks for this word before it sends a token over it.
    clusters: [{ name, cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  });
}
