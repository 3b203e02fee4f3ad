import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildBase, buildImage, clusterKubeconfig, Kubectl, type Pod } from './cluster.ts';
import { buildImages, hostAddress, install, type ForwarderSettings } from './environment.ts';
import { eventually } from './shell.ts';
import { documentedRights, rightsInWords } from '../infra/documented-rights.ts';
import { startReceivingBus, type ReceivingBus } from './signal-bus.ts';

const idleImage = 'heapcatch-e2e-idle:1';
const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-forwarder-e2e-'));
const namespace = `watched-${randomBytes(3).toString('hex')}`;
const optedIn = `${namespace}-by-label`;
let kubectl: Kubectl;
let bus: ReceivingBus;

// Without AWS: what leaves the cluster is all that matters here.
beforeAll(async () => {
  kubectl = new Kubectl(await clusterKubeconfig());
  await deleteNamespaces();
  await buildImages(folder, []);
  const root = await buildBase(path.join(folder, 'idle'));
  await buildImage(idleImage, root, { entrypoint: ['/bin/sh', '-c', 'sleep 3600'] });
  bus = await startReceivingBus(hostAddress);
  await kubectl.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  await installForwarder({ namespaces: namespace });
}, 600_000);
afterAll(async () => {
  await deleteNamespaces();
  await kubectl.run([
    'delete',
    'clusterrole,clusterrolebinding',
    'heapcatch-namespaces',
    '--ignore-not-found',
  ]);
  await (bus as ReceivingBus | undefined)?.close();
  rmSync(folder, { recursive: true, force: true });
}, 240_000);

async function deleteNamespaces(): Promise<void> {
  const options = ['--wait', '--timeout=120s', '--ignore-not-found'];
  await kubectl.run(['delete', 'namespace', 'heapcatch', namespace, optedIn, ...options], {
    timeoutSeconds: 130,
  });
}

async function installForwarder(
  settings: Pick<ForwarderSettings, 'namespaces' | 'byLabel'>,
): Promise<void> {
  const { endpoint } = bus;
  await install(kubectl, 'default', {
    ...{ clusterName: 'test-cluster', busName: 'heapcatch-e2e', endpoint, ...settings },
  });
  const deployment = ['deployment/heapcatch-forwarder', '-n', 'heapcatch', '--timeout=120s'];
  await kubectl.run(['rollout', 'status', ...deployment], { timeoutSeconds: 130 });
}

async function forwarders(): Promise<Pod[]> {
  const { items } = await kubectl.json<{ items: Pod[] }>([
    ...['get', 'pods', '-n', 'heapcatch', '-l', 'app.kubernetes.io/name=heapcatch-forwarder'],
  ]);
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

/** Both are ready, and one of them leads. */
function leader(): Promise<Pod> {
  return eventually('two forwarders and their leader', 120, async () => {
    const pods = await forwarders();
    const holder = await holderOfLease();
    const ready = pods.filter(({ status }) => status.containerStatuses?.every((one) => one.ready));
    return ready.length === 2 ? pods.find(({ metadata }) => metadata.name === holder) : undefined;
  });
}

async function holderOfLease(): Promise<string> {
  const lease = await kubectl.json<{ spec: { holderIdentity?: string } }>([
    ...['get', 'lease', 'heapcatch-forwarder', '-n', 'heapcatch'],
  ]);
  // <pod>_<id of the process>
  return (lease.spec.holderIdentity ?? '').split('_')[0] ?? '';
}

/** SIGKILL, as a node that loses power: deleting the pod, also by force, would let it give its lease back. */
function killProcesses({ metadata: { uid } }: Pod): number {
  const names = [uid, uid.replaceAll('-', '_')];
  const pids = globSync('/proc/[0-9]*/cgroup').filter((file) => {
    try {
      const text = readFileSync(file, 'utf8');
      const program = readFileSync(path.join(path.dirname(file), 'cmdline'), 'utf8');
      return names.some((name) => text.includes(name)) && program.includes('forwarder');
    } catch {
      return false;
    }
  });
  for (const file of pids) process.kill(Number(file.split('/')[2]), 'SIGKILL');
  return pids.length;
}

async function startPod(name: string, where = namespace): Promise<void> {
  await kubectl.apply({
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: where } },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [{ name: 'app', image: idleImage, imagePullPolicy: 'Never' }],
    },
  });
  const condition = ['--for=condition=Ready', `pod/${name}`, '-n', where, '--timeout=60s'];
  await kubectl.run(['wait', ...condition], { timeoutSeconds: 70 });
}

async function deletePod(name: string, where = namespace): Promise<void> {
  await kubectl.run(['delete', 'pod', name, '-n', where, '--wait=false']);
}

const signalsOf = (podName: string) =>
  bus.received.filter(
    ({ signal }) => signal.podName === podName && signal.reason === 'PodDeleting',
  );

function arrival(podName: string) {
  return eventually(`signal of ${podName}`, 60, () => Promise.resolve(signalsOf(podName)[0]));
}

async function takeover(from: Pod): Promise<number> {
  const started = Date.now();
  await eventually('another leader', 60, async () => {
    const holder = await holderOfLease();
    return holder !== '' && holder !== from.metadata.name ? holder : undefined;
  });
  return Date.now() - started;
}

const serviceAccount = (name: string): string => `system:serviceaccount:heapcatch:${name}`;

/** What the API server lets an account do in a namespace beyond what it lets every account do. */
async function grantedRights(account: string, where: string): Promise<string[]> {
  const ask = async (name: string): Promise<string[]> => {
    const review = await kubectl.run(
      [...['create', '--validate=false', '-f', '-', '-o', 'json'], '--as', name],
      {
        input: JSON.stringify({
          ...{ apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectRulesReview' },
          spec: { namespace: where },
        }),
      },
    );
    const { status } = JSON.parse(review) as {
      status: {
        incomplete: boolean;
        resourceRules: { verbs: string[]; resources: string[]; resourceNames?: string[] }[];
      };
    };
    expect(status.incomplete).toBe(false);
    return status.resourceRules.flatMap(({ verbs, resources, resourceNames = [undefined] }) =>
      resources.flatMap((resource) =>
        resourceNames.flatMap((objectName) => rightsInWords({ verbs, resource, objectName })),
      ),
    );
  };
  const everybodys = new Set(await ask(serviceAccount('nobody')));
  const granted = new Set(
    (await ask(serviceAccount(account))).filter((one) => !everybodys.has(one)),
  );
  return [...granted].sort();
}

describe('the rights of the cluster side', () => {
  const installed = {
    'heapcatch-forwarder': ['heapcatch-forwarder'],
    'heapcatch-functions': [
      ...['heapcatch-functions', 'heapcatch-agent-exec', 'heapcatch-ephemeral-containers'],
    ],
    'heapcatch-agent': [],
  };

  it.each(Object.entries(installed))(
    'of %s are those of docs/permissions.md and no others, by the API server’s own account',
    async (account, roles: string[]) => {
      const rows = documentedRights().filter(({ role }) => roles.includes(role));
      const inCluster = rows.filter(({ where }) => where === 'cluster').flatMap(rightsInWords);
      const own = rows.flatMap(rightsInWords);

      expect(await grantedRights(account, namespace)).toEqual([...new Set(inCluster)].sort());
      expect(await grantedRights(account, 'heapcatch')).toEqual([...new Set(own)].sort());
    },
    60_000,
  );
});

describe('namespaces that opt in by a label', () => {
  const label = (value: string) =>
    kubectl.run(['label', 'namespace', optedIn, `heapcatch.dev/watch${value}`, '--overwrite']);
  const watchedCount = (count: number) =>
    eventually(`${count} watched namespaces`, 60, async () => {
      const { metadata } = await leader();
      const page = await kubectl.getFromPod('heapcatch', metadata.name, 8080, '/metrics');
      const [line = 'no such metric'] = /^heapcatch_namespaces_watched .*/m.exec(page) ?? [];
      if (line !== `heapcatch_namespaces_watched ${count}`) throw new Error(line);
      return true;
    });

  it('are watched from when they get it to when they lose it', async () => {
    await kubectl.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: optedIn } });
    await installForwarder({ namespaces: namespace, byLabel: true });
    // A changed ConfigMap alone starts nothing anew.
    const deployment = ['deployment/heapcatch-forwarder', '-n', 'heapcatch'];
    await kubectl.run(['rollout', 'restart', ...deployment]);
    await kubectl.run(['rollout', 'status', ...deployment, '--timeout=120s'], {
      timeoutSeconds: 130,
    });
    for (const name of ['early', 'with-label', 'late']) await startPod(name, optedIn);
    await watchedCount(1);

    await deletePod('early', optedIn);
    await label('=true');
    await watchedCount(2);
    await deletePod('with-label', optedIn);
    await arrival('with-label');
    await label('-');
    await watchedCount(1);
    await deletePod('late', optedIn);
    await startPod('after-all');
    await deletePod('after-all');
    await arrival('after-all');

    expect(signalsOf('late')).toEqual([]);
  }, 400_000);
});

describe('two forwarders', () => {
  it('send what happens once', async () => {
    await leader();
    await startPod('calm');

    await deletePod('calm');
    await arrival('calm');
    await startPod('later');
    await deletePod('later');
    await arrival('later');

    expect(signalsOf('calm')).toHaveLength(1);
  }, 240_000);

  it('lose nothing that happens while the leader is killed and the other one takes over', async () => {
    const before = await leader();
    await startPod('meanwhile');

    expect(killProcesses(before)).toBeGreaterThan(0);
    const killed = Date.now();
    const [milliseconds] = await Promise.all([takeover(before), deletePod('meanwhile')]);
    const { timeMilliseconds } = await arrival('meanwhile');

    const waited = timeMilliseconds - killed;
    process.stderr.write(
      `e2e: killed leader: lease taken after ${milliseconds} ms (asked every 250 ms), signal after ${waited} ms\n`,
    );
    expect((await leader()).metadata.name).not.toBe(before.metadata.name);
  }, 240_000);

  it('hand over when the leader is told to end', async () => {
    const before = await leader();
    await startPod('handed-over');

    await kubectl.run(
      ['delete', 'pod', before.metadata.name, '-n', 'heapcatch', '--wait=false'],
      {},
    );
    const [milliseconds] = await Promise.all([takeover(before), deletePod('handed-over')]);
    const { signal } = await arrival('handed-over');

    process.stderr.write(`e2e: leader told to end: lease taken after ${milliseconds} ms\n`);
    expect(signal.namespace).toBe(namespace);
  }, 240_000);
});
