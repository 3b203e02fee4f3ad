import { cpSync, existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { run } from './shell.ts';

/** Folder of the test cluster's programs `up` and `image`; another cluster is named by KUBECONFIG alone. */
export const clusterFolder = path.resolve(process.env['HEAPCATCH_CLUSTER'] ?? '../shared/cluster');

/** The kubeconfig of the cluster under test: the caller's, or that of the test cluster, started if need be. */
export async function clusterKubeconfig(): Promise<string> {
  const given = process.env['KUBECONFIG'];
  if (given !== undefined && given !== '') return given;
  const said = await run(path.join(clusterFolder, 'up'), [], { timeoutSeconds: 300 });
  const file = /KUBECONFIG=(\S+)/.exec(said)?.[1];
  if (file === undefined) throw new Error(`${clusterFolder}/up did not name a KUBECONFIG`);
  return file;
}

export class Kubectl {
  readonly kubeconfig: string;

  constructor(kubeconfig: string) {
    this.kubeconfig = kubeconfig;
  }

  run(
    args: readonly string[],
    options: { input?: string; timeoutSeconds?: number } = {},
  ): Promise<string> {
    return run('kubectl', ['--kubeconfig', this.kubeconfig, ...args], options);
  }

  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.run([...args, '-o', 'json'])) as T;
  }

  apply(manifest: unknown): Promise<string> {
    return this.run(['apply', '-f', '-'], { input: JSON.stringify(manifest) });
  }

  /** A GET to the pod through the API server. */
  getFromPod(
    namespace: string,
    podName: string,
    port: number,
    pathAndQuery: string,
  ): Promise<string> {
    return this.run([
      'get',
      '--raw',
      `/api/v1/namespaces/${namespace}/pods/${podName}:${port}/proxy${pathAndQuery}`,
    ]);
  }
}

export interface Pod {
  metadata: { name: string; uid: string; deletionTimestamp?: string };
  spec: { ephemeralContainers?: { name: string }[] };
  status: {
    phase: string;
    podIP?: string;
    conditions?: { type: string; status: string }[];
    containerStatuses?: {
      name: string;
      ready: boolean;
      restartCount: number;
      lastState?: { terminated?: { reason: string; exitCode: number } };
    }[];
    ephemeralContainerStatuses?: { name: string; state: Record<string, unknown> }[];
  };
}

export interface PodEvent {
  reason: string;
  message: string;
  type: string;
  involvedObject: { name: string; uid: string };
}

/** Builds a container image inside the test cluster from a folder. */
export async function buildImage(
  name: string,
  folder: string,
  options: {
    entrypoint?: readonly string[];
    cmd?: readonly string[];
    env?: readonly string[];
  } = {},
): Promise<string> {
  const args = [name, folder];
  if (options.entrypoint !== undefined)
    args.push('--entrypoint', JSON.stringify(options.entrypoint));
  if (options.cmd !== undefined) args.push('--cmd', JSON.stringify(options.cmd));
  for (const entry of options.env ?? []) args.push('--env', entry);
  await run(path.join(clusterFolder, 'image'), args, { timeoutSeconds: 180 });
  return name;
}

/** A small Debian root: libc, libstdc++, busybox. */
export async function buildBase(folder: string): Promise<string> {
  await run(path.join(clusterFolder, 'image'), ['--base', folder], { timeoutSeconds: 180 });
  return folder;
}

/** Parts of a JDK that no running application needs. */
const left = new Set([
  'jmods',
  'lib/src.zip',
  'lib/ct.sym',
  'man',
  'demo',
  'include',
  'legal',
  'docs',
]);

/** A copy of the base with a JDK under /opt/java and the test application's classes under /app. */
export async function buildJavaRoot(options: {
  base: string;
  folder: string;
  jdkHome: string;
  classes: string;
}): Promise<string> {
  mkdirSync(path.join(options.folder, 'opt'), { recursive: true });
  await run('cp', ['-a', `${options.base}/.`, options.folder]);
  // Debian's JDK is full of links out of its folder, some of them dangling; the image must hold the files.
  cpSync(options.jdkHome, path.join(options.folder, 'opt/java'), {
    recursive: true,
    dereference: true,
    filter: (source) =>
      existsSync(source) &&
      !left.has(path.relative(options.jdkHome, source).replaceAll(path.sep, '/')),
  });
  await run('cp', ['-r', options.classes, path.join(options.folder, 'app')]);
  return options.folder;
}
