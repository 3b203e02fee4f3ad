import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { javaImage, type Environment } from '../../test/e2e/environment.ts';
import type { Pod } from '../../test/e2e/cluster.ts';
import { eventually } from '../../test/e2e/shell.ts';
import { victim, type VictimOptions } from '../../test/e2e/victim.ts';
import { judgeCapture, judgeFolder, type Dead, type Verdict } from './judge.ts';
import type { Way } from './ways.ts';

/** Who is to save the dump: heapcatch, the usual preStop script, or the JVM's own option. */
export type Saver = 'heapcatch' | 'prestop' | 'oome-flag';

const deathSeconds = 180;

/**
 * The script that people put into their images: a lock folder, so that one replica dumps at a time; jcmd, gzip -1, a
 * host volume; time-boxed.
 */
const preStopScript = `mkdir /dumps/lock || exit 0
timeout 25 /opt/java/bin/jcmd 1 GC.heap_dump /dumps/$HOSTNAME.part &&
  gzip -1 -c /dumps/$HOSTNAME.part > /dumps/$HOSTNAME.gz.part && mv /dumps/$HOSTNAME.gz.part /dumps/$HOSTNAME.hprof.gz
rm -f /dumps/$HOSTNAME.part; rmdir /dumps/lock; exit 0`;

export interface Stage {
  readonly environment: Environment;
  /** For the baselines: without a Pod Security Standard, since a host volume is not allowed under the restricted one. */
  readonly baselineNamespace?: string;
  /** A folder of the node, which is this machine. */
  readonly nodeFolder: string;
  readonly distrolessImage: string;
}

/** Lets one workload die in one way, and judges each of its pods. */
export async function runWorkload(
  stage: Stage,
  way: Way,
  saver: Saver,
  number: number,
): Promise<Verdict[]> {
  const workload = `${way.name}-${saver}-${number}`.slice(0, 50);
  const { environment } = stage;
  const namespace = saver === 'heapcatch' ? environment.namespace : stage.baselineNamespace;
  if (namespace === undefined) throw new Error(`there is no namespace for ${saver}`);
  const folder = join(stage.nodeFolder, workload);
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  const marker = `marker of ${workload}`;
  await environment.kubectl.apply(
    victim(victimOf(stage, way, saver, { workload, namespace, folder, marker })),
  );
  try {
    const pods = await readyPods(stage, namespace, workload, way.victim?.replicas ?? 1);
    const podNames = pods.map((pod) => pod.metadata.name);
    await way.begin({ environment, namespace, workload, podNames });
    return await Promise.all(
      pods.map(async (pod): Promise<Verdict> => {
        const killMillis = await death(stage, namespace, pod).catch(() => undefined);
        if (killMillis === undefined) return { lost: `it did not die within ${deathSeconds} s` };
        const { name: podName, uid: podUid } = pod.metadata;
        const dead: Dead = { podName, podUid, workload, marker, killMillis };
        return saver === 'heapcatch' ? judgeCapture(environment, dead) : judgeFolder(folder, dead);
      }),
    );
  } finally {
    environment.gate.release();
    await remove(environment, namespace, workload);
  }
}

function victimOf(
  stage: Stage,
  way: Way,
  saver: Saver,
  of: { workload: string; namespace: string; folder: string; marker: string },
): VictimOptions {
  const own = way.victim ?? {};
  const common: VictimOptions = {
    // As Kubernetes has it where nobody says otherwise.
    probe: { periodSeconds: 10, failureThreshold: 3 },
    ...own,
    ...{ name: of.workload, namespace: of.namespace },
    image:
      way.name === 'distroless' && saver === 'heapcatch' ? stage.distrolessImage : javaImage(17),
    env: { MARKER: of.marker, FILL_MIB: '60', ...own.env },
  };
  if (saver === 'heapcatch') {
    const annotations = {
      // Elsewhere the removal of the workload would begin a capture, beside that of the next one.
      ...(way.warning === 'deletion' && { 'heapcatch.dev/on-delete': 'always' }),
      'heapcatch.dev/cooldown': '0s',
      'heapcatch.dev/node-slots': '10',
      'heapcatch.dev/cluster-slots': '50',
    };
    return { ...common, annotations };
  }
  if (saver === 'prestop') return { ...common, preStopScript, nodeFolder: of.folder };
  const flags = ['-XX:+HeapDumpOnOutOfMemoryError', '-XX:HeapDumpPath=/dumps'];
  const jvmOptions = [...(own.jvmOptions ?? []), ...flags];
  return { ...common, jvmOptions, nodeFolder: of.folder };
}

async function podsOf(stage: Stage, namespace: string, workload: string): Promise<Pod[]> {
  const { kubectl } = stage.environment;
  const args = ['get', 'pods', '-n', namespace, '-l', `app=${workload}`];
  return (await kubectl.json<{ items: Pod[] }>(args)).items;
}

function readyPods(
  stage: Stage,
  namespace: string,
  workload: string,
  count: number,
): Promise<Pod[]> {
  return eventually(`${count} ready pods of ${workload}`, 120, async () => {
    const pods = (await podsOf(stage, namespace, workload)).filter((pod) =>
      pod.status.containerStatuses?.every((container) => container.ready),
    );
    return pods.length >= count ? pods : undefined;
  });
}

/** When the application's container ended, or its pod was seen to be gone; milliseconds since 1970. */
function death(stage: Stage, namespace: string, pod: Pod): Promise<number> {
  const { name, uid } = pod.metadata;
  return eventually(`death of ${name}`, deathSeconds, async () => {
    const args = ['get', 'pods', '-n', namespace, '--field-selector', `metadata.name=${name}`];
    const { items } = await stage.environment.kubectl.json<{ items: Pod[] }>(args);
    const now = items.find((item) => item.metadata.uid === uid);
    if (now === undefined || now.status.phase === 'Failed') return Date.now();
    const status = now.status.containerStatuses?.find((container) => container.name === 'app');
    return (status?.restartCount ?? 0) > 0 ? Date.now() : undefined;
  });
}

async function remove(
  environment: Environment,
  namespace: string,
  workload: string,
): Promise<void> {
  const { kubectl } = environment;
  await kubectl.run(['delete', 'deployment', workload, '-n', namespace, '--wait=false']);
  await kubectl.run(
    [
      ...['delete', 'pods', '-n', namespace, '-l', `app=${workload}`],
      ...['--force', '--grace-period=0'],
    ],
    { timeoutSeconds: 60 },
  );
}
