import { chmodSync, existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { messageOf } from '../../errors.ts';
import type { PodContext } from './container-worker.ts';
import { environmentOf, expand } from './container-environment.ts';
import { ContainerProcess } from './container-process.ts';
import type { EventRecorder } from './event-recorder.ts';
import type { Guardian } from './guardian.ts';
import type { LoopbackRange } from './loopback-range.ts';
import type { ObjectTable } from './object-table.ts';
import type { Container, EphemeralContainer } from './pod-schema.ts';
import type { ProcessView } from './process-view.ts';

/** What the kubelet of this node works with. */
export interface KubeletHost {
  table: ObjectTable;
  recorder: EventRecorder;
  view: ProcessView;
  guardian: Guardian;
  addresses: LoopbackRange;
  stateFolder: string;
  /** Image name → the entrypoint on this machine. */
  images: Readonly<Record<string, readonly string[]>>;
  /** Path of a program in an image → the words that run it on this machine. */
  programs: Readonly<Record<string, readonly string[]>>;
  restartBackoffSeconds: number;
  /** Folders that were made in the places of emptyDir volumes; removed with the cluster. */
  volumeFolders: Set<string>;
}

/** Pods with this label see every process of the node, as hostPID would show them. */
export const nodeAgentLabel = { name: 'app.kubernetes.io/name', value: 'heapcatch-agent' } as const;
/** Names the folder that stands in for /proc. */
export const procRootVariable = 'HEAPCATCH_PROC_ROOT';

/** A container that cannot be created: it waits with this reason, as the kubelet shows it. */
export class StartFailure extends Error {
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.name = 'StartFailure';
    this.reason = reason;
  }
}

/**
 * Starts a container as a process of this machine and shows it in the process views.
 * @throws StartFailure
 */
export async function startContainer(
  host: KubeletHost,
  context: PodContext,
  spec: Container | EphemeralContainer,
): Promise<{ process: ContainerProcess; identity: { uid: number; gid: number } }> {
  const { pod, podIP } = context;
  const target = targetOf(context, spec);
  const identity = identityOf(context, spec);
  const view = { pod, podIP, hostIP: host.addresses.serverAddress };
  const env = environmentOf(spec, view, procRoot(host, context, target));
  const argv = withPrograms(host, argvOf(host, spec)).map((word) => expand(word, env));
  const folder = path.join(host.stateFolder, 'pods', pod.metadata.uid);
  mkdirSync(folder, { recursive: true });
  makeVolumeFolders(host, context, spec);
  const workingDir = spec.workingDir ?? '/';
  if (!existsSync(workingDir)) {
    throw new StartFailure(
      'CreateContainerError',
      `workingDir "${workingDir}" does not exist here`,
    );
  }
  try {
    const logFile = logFileOf(host.stateFolder, pod.metadata.uid, spec.name);
    const process = await ContainerProcess.start(
      { argv, env, workingDir, ...identity, logFile },
      host.guardian,
    );
    const { containerId, leaders } = process;
    const targetId = target && { targetId: target.containerId };
    host.view.add({ podUid: pod.metadata.uid, containerId, leaders, ...targetId });
    host.view.refresh();
    return { process, identity };
  } catch (error) {
    throw new StartFailure('RunContainerError', `cannot run ${argv[0] ?? ''}: ${messageOf(error)}`);
  }
}

/** Everything a container has written, over all its restarts. */
export function logFileOf(stateFolder: string, podUid: string, containerName: string): string {
  return path.join(stateFolder, 'pods', podUid, `${containerName}.log`);
}

/** The words of a command with the image's programs replaced by this machine's. */
export function withPrograms(host: KubeletHost, argv: readonly string[]): readonly string[] {
  const [program = '', ...args] = argv;
  return Object.hasOwn(host.programs, program)
    ? [...(host.programs[program] ?? []), ...args]
    : argv;
}

/** Nothing is mounted: an emptyDir is a folder at its mountPath, one for all pods that name it. */
function makeVolumeFolders(
  host: KubeletHost,
  { pod }: PodContext,
  spec: Container | EphemeralContainer,
): void {
  for (const { name, mountPath } of spec.volumeMounts) {
    const volume = pod.spec.volumes.find((one) => one.name === name);
    if (!volume?.emptyDir || existsSync(mountPath)) continue;
    const made = mkdirSync(mountPath, { recursive: true });
    chmodSync(mountPath, 0o777);
    if (made !== undefined) host.volumeFolders.add(made);
  }
}

function argvOf(host: KubeletHost, spec: Container | EphemeralContainer): readonly string[] {
  const entrypoint = Object.hasOwn(host.images, spec.image) ? host.images[spec.image] : undefined;
  if (!entrypoint) {
    const known = Object.keys(host.images).join(', ');
    throw new StartFailure(
      'ErrImageNeverPull',
      `no image ${spec.image}; this cluster has ${known}`,
    );
  }
  return [...(spec.command ?? entrypoint), ...(spec.args ?? [])];
}

function targetOf(
  context: PodContext,
  spec: Container | EphemeralContainer,
): ContainerProcess | undefined {
  if (!isEphemeral(spec) || spec.targetContainerName === undefined) return undefined;
  const target = context.targetOf(spec);
  if (!target) {
    throw new StartFailure(
      'CreateContainerError',
      `target container "${spec.targetContainerName}" is not running`,
    );
  }
  return target;
}

function isEphemeral(spec: Container | EphemeralContainer): spec is EphemeralContainer {
  return 'targetContainerName' in spec;
}

function procRoot(
  host: KubeletHost,
  { pod }: PodContext,
  target: ContainerProcess | undefined,
): Record<string, string> {
  if (target) return { [procRootVariable]: host.view.folderOf(target.containerId) };
  const isAgent = pod.metadata.labels?.[nodeAgentLabel.name] === nodeAgentLabel.value;
  return isAgent ? { [procRootVariable]: host.view.nodeFolder } : {};
}

/** Root can be anyone; anyone else can be only himself. */
function identityOf(
  { pod }: PodContext,
  spec: Container | EphemeralContainer,
): { uid: number; gid: number } {
  const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const asked = { ...pod.spec.securityContext, ...spec.securityContext };
  const uid = asked.runAsUser ?? own.uid;
  const gid = asked.runAsGroup ?? own.gid;
  if (own.uid !== 0 && (uid !== own.uid || gid !== own.gid)) {
    throw new StartFailure(
      'CreateContainerConfigError',
      `the local cluster runs as ${own.uid}:${own.gid} and cannot become ${uid}:${gid}`,
    );
  }
  return { uid, gid };
}
