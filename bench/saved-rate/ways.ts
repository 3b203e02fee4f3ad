import { spawn } from 'node:child_process';
import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import type { Environment } from '../../test/e2e/environment.ts';
import { type VictimOptions, victimPort } from '../../test/e2e/victim.ts';

/** Pods of one workload that are to die, and what can be done to them. */
export interface Victims {
  readonly environment: Environment;
  readonly namespace: string;
  readonly workload: string;
  readonly podNames: readonly string[];
}

/** One way in which a pod dies. */
export interface Way {
  readonly name: string;
  /** What heapcatch can do before the heap is gone. `nothing`: the kernel asks nobody. */
  readonly warning: 'probe' | 'deletion' | 'nothing';
  readonly victim?: Omit<Partial<VictimOptions>, 'name' | 'namespace' | 'image'>;
  /** It touches what all pods share: one workload at a time. */
  readonly alone?: true;
  /** Resolves once it has begun. */
  readonly begin: (victims: Victims) => Promise<void>;
}

const outageMilliseconds = 30_000;

/** Each asks for a dump of live data of 60 MiB unless its own shape says otherwise. */
export const ways: readonly Way[] = [
  {
    name: 'probe-kill-gc-storm',
    warning: 'probe',
    begin: (victims) => askEach(victims, '/storm'),
  },
  {
    name: 'rolling-restart',
    warning: 'deletion',
    victim: { preStopSleepSeconds: 20 },
    begin: async ({ environment, namespace, workload }) => {
      await environment.kubectl.run([
        'rollout',
        'restart',
        `deployment/${workload}`,
        '-n',
        namespace,
      ]);
    },
  },
  {
    name: 'out-of-memory-error',
    warning: 'nothing',
    victim: { jvmOptions: ['-XX:+ExitOnOutOfMemoryError'] },
    begin: (victims) => askEach(victims, '/exhaust'),
  },
  {
    name: 'oomkill-heap',
    warning: 'nothing',
    victim: { heapMebibytes: 512, limitMebibytes: 256 },
    begin: (victims) => askEach(victims, '/exhaust'),
  },
  {
    name: 'oomkill-direct-buffers',
    warning: 'nothing',
    victim: { limitMebibytes: 256, jvmOptions: ['-XX:MaxDirectMemorySize=1g'] },
    begin: (victims) => askEach(victims, '/direct'),
  },
  {
    name: 'eviction-ephemeral-storage',
    // The kubelet runs preStop of what it evicts, and says Killing before.
    warning: 'deletion',
    victim: { preStopSleepSeconds: 20, ephemeralStorageLimitMebibytes: 300 },
    begin: (victims) => askEach(victims, '/fill?400'),
  },
  {
    name: 'delete-grace-5s',
    warning: 'deletion',
    victim: { preStopSleepSeconds: 4 },
    begin: (victims) => deletePods(victims, ['--grace-period=5']),
  },
  {
    name: 'three-replicas',
    warning: 'probe',
    // Each waits for its turn; without a hook the third has been restarted by then.
    victim: { replicas: 3, preStopSleepSeconds: 20 },
    begin: (victims) => askEach(victims, '/fail'),
  },
  {
    name: 'distroless',
    warning: 'probe',
    begin: (victims) => askEach(victims, '/fail'),
  },
  {
    name: 'larger-than-free-disk',
    warning: 'probe',
    alone: true,
    // The dump is some 1,010 MiB; space is given back behind what is stored.
    victim: { heapMebibytes: 1_200, tmpLimitMebibytes: 950, env: { FILL_MIB: '1000' } },
    begin: (victims) => askEach(victims, '/fail'),
  },
  {
    name: 's3-away-30s',
    warning: 'deletion',
    alone: true,
    victim: { preStopSleepSeconds: 20, gracePeriodSeconds: 60 },
    begin: async (victims) => {
      const { gate } = victims.environment;
      // The first bytes pass, so that the outage comes in the middle.
      const held = gate.holdAfter(1024 * 1024);
      await deletePods(victims, []);
      void held.then(() => setTimeout(() => gate.release(), outageMilliseconds));
    },
  },
  {
    name: 'api-server-restart',
    warning: 'deletion',
    alone: true,
    victim: { preStopSleepSeconds: 20 },
    begin: async (victims) => {
      await deletePods(victims, []);
      restartApiServer();
    },
  },
];

/** @throws Error that names the accepted ones. */
export function waysNamed(text: string): readonly Way[] {
  if (text === '') return ways;
  return text.split(',').map((name) => {
    const way = ways.find((candidate) => candidate.name === name);
    if (way !== undefined) return way;
    const accepted = ways.map((each) => each.name).join(', ');
    throw new Error(`HEAPCATCH_BENCH_WAYS has ${JSON.stringify(name)}; accepted are ${accepted}`);
  });
}

async function askEach(victims: Victims, path: string): Promise<void> {
  const { environment, namespace, podNames } = victims;
  await Promise.all(
    podNames.map((podName) =>
      // A pod that dies at once does not get to answer.
      environment.kubectl.getFromPod(namespace, podName, victimPort, path).catch(() => ''),
    ),
  );
}

async function deletePods(victims: Victims, options: readonly string[]): Promise<void> {
  const { environment, namespace, podNames } = victims;
  const pods = podNames.map((podName) => `pod/${podName}`);
  await environment.kubectl.run(['delete', ...pods, '-n', namespace, '--wait=false', ...options]);
}

/** SIGKILL, as of a crash, and a start with the same arguments where it ran. */
function restartApiServer(): void {
  const folder = `${process.env['CLUSTER_DIR'] ?? '/var/lib/testcluster'}/run`;
  const pidOf = (name: string): string => readFileSync(`${folder}/${name}.pid`, 'utf8').trim();
  const pid = pidOf('kube-apiserver');
  const [command = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    .split('\0')
    .slice(0, -1);
  const cwd = readlinkSync(`/proc/${pid}/cwd`);
  process.kill(Number(pid), 'SIGKILL');
  // etcd runs in the same network namespace.
  const started = spawn('nsenter', ['--target', pidOf('etcd'), '--net', command, ...args], {
    cwd,
    detached: true,
    stdio: 'ignore',
  });
  started.unref();
  if (started.pid === undefined) throw new Error('the API server was not started again');
  writeFileSync(`${folder}/kube-apiserver.pid`, `${started.pid}\n`);
}
