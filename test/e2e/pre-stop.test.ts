import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import path from 'node:path';
import { type Environment, javaImage, startEnvironment } from './environment.ts';
import { eventually } from './shell.ts';
import { victim, victimPort, type VictimOptions } from './victim.ts';
import { expectWholeDump } from './whole-dump.ts';

const script = path.resolve(import.meta.dirname, '../../infra/kubernetes/prestop.sh');
let environment: Environment;

beforeAll(async () => {
  environment = await startEnvironment({ jdks: [17, 25] });
  // With the forwarder's address, which the agent tells when a JVM may go.
  await environment.installNodeAgent({ sensor: true });
  await environment.kubectl.run([
    ...['create', 'configmap', 'heapcatch-prestop', '-n', environment.namespace],
    `--from-file=prestop.sh=${script}`,
  ]);
}, 600_000);
afterAll(async () => {
  await (environment as Environment | undefined)?.close();
}, 240_000);
afterEach(() => environment.gate.release());

interface Workload {
  spec: {
    template: {
      spec: {
        volumes: unknown[];
        containers: { volumeMounts: unknown[]; lifecycle?: unknown; readinessProbe: unknown }[];
      };
    };
  };
}

/** As docs/ways/pre-stop.md shows it. */
function withScript({ spec }: Workload): void {
  const pod = spec.template.spec;
  const [app] = pod.containers;
  pod.volumes.push({
    name: 'heapcatch',
    projected: {
      sources: [
        { configMap: { name: 'heapcatch-prestop' } },
        { serviceAccountToken: { path: 'token', audience: 'heapcatch', expirationSeconds: 3600 } },
      ],
    },
  });
  app!.lifecycle = {
    preStop: { exec: { command: ['/bin/sh', '/var/run/heapcatch/prestop.sh', 'app'] } },
  };
  app!.volumeMounts.push({ name: 'heapcatch', mountPath: '/var/run/heapcatch', readOnly: true });
}

/** A pod's heap is never ready to serve. */
function neverReady({ spec }: Workload): void {
  spec.template.spec.containers[0]!.readinessProbe = { exec: { command: ['/bin/false'] } };
}

async function deploy(
  options: Omit<VictimOptions, 'namespace' | 'image'>,
  change: (workload: Workload) => void = () => undefined,
  major = 17,
): Promise<void> {
  const { namespace } = environment;
  const workload = victim({ ...options, namespace, image: javaImage(major) }) as Workload;
  change(workload);
  await environment.kubectl.apply(workload);
}

/** What the pod's application and its hook print until the container ends. */
const logOf = (podName: string): Promise<string> =>
  environment.kubectl.run(['logs', '-f', podName, '-c', 'app', '-n', environment.namespace], {
    timeoutSeconds: 150,
  });

/** Of the service account that all pods of the tests have. */
async function tokenOf(...options: string[]): Promise<string> {
  const { kubectl, namespace } = environment;
  return (await kubectl.run(['create', 'token', 'default', '-n', namespace, ...options])).trim();
}

/** Asks as a hook would, from outside of the cluster. */
async function askForwarder(authorization?: string) {
  const address = await environment.kubectl.run([
    ...['get', 'service', 'heapcatch-forwarder', '-n', 'heapcatch'],
    ...['-o', 'jsonpath={.spec.clusterIP}:{.spec.ports[0].port}'],
  ]);
  const answer = await fetch(`http://${address}/v1/pre-stop?wait=0`, {
    method: 'POST',
    headers: authorization === undefined ? {} : { authorization },
  });
  const body = (await answer.json()) as { hold?: boolean; reason?: string; message?: string };
  return { status: answer.status, body };
}

/** Rolls the workload, and gives what the first pod printed until it was gone. */
async function rolled(name: string, podName: string): Promise<string> {
  const { kubectl, namespace } = environment;
  const log = logOf(podName);
  await kubectl.run(['rollout', 'restart', `deployment/${name}`, '-n', namespace]);
  return log;
}

const gone = (name: string, podName: string): Promise<boolean> =>
  eventually(`the end of ${podName}`, 120, async () =>
    (await environment.pods(name)).every(({ metadata }) => metadata.name !== podName)
      ? true
      : undefined,
  );

describe('a preStop hook', () => {
  it.each([17, 25])(
    'holds a pod on JDK %i until its JVM has written the dump, and not until that is stored',
    async (major) => {
      const name = `held-${major}`;
      await deploy(
        {
          name,
          annotations: { 'heapcatch.dev/on-delete': 'always' },
          env: { MARKER: `marker of ${name}`, FILL_MIB: '90' },
          heapMebibytes: 160,
          gracePeriodSeconds: 90,
        },
        withScript,
        major,
      );
      const [pod] = await environment.readyPods(name, 1);
      const podName = pod!.metadata.name;
      const held = environment.gate.holdAfter(8 * 1024 * 1024);

      const log = await rolled(name, podName);
      await held;
      await gone(name, podName);
      const early = await environment.entriesOf(name);
      environment.gate.release();
      const entry = await environment.entryOf(name, 90);

      expect(early).toEqual([]);
      expect(log).toMatch(/^heapcatch preStop: holds: /m);
      expect(log).toMatch(/^heapcatch preStop: lets go: .*"reason":"JvmReleased"/m);
      expect(entry).toMatchObject({
        state: 'complete',
        where: { podUid: pod!.metadata.uid },
        how: { rung: 'nodeAgent', finisher: 'seal' },
        why: {
          signalReason: expect.stringMatching(
            /^(PreStop|PodDeleting|ContainerKilling)$/,
          ) as unknown,
        },
      });
      await expectWholeDump(environment, entry, `marker of ${name}`);
    },
    300_000,
  );

  it('lets a healthy pod go at once, and nothing is dumped', async () => {
    const name = 'healthy';
    await deploy({ name, gracePeriodSeconds: 90 }, withScript);
    const [pod] = await environment.readyPods(name, 1);

    const log = await rolled(name, pod!.metadata.name);
    await gone(name, pod!.metadata.name);

    expect(log.match(/^heapcatch preStop: .*/gm)).toEqual([
      expect.stringMatching(/lets go: .*"reason":"DeletedHealthy"/),
    ]);
    expect(await environment.entriesOf(name)).toEqual([]);
    const events = await environment.events(pod!.metadata.name);
    expect(events.filter(({ reason }) => reason.startsWith('HeapDump'))).toEqual([]);
  }, 240_000);

  it('that only sleeps gives an unhealthy pod the time for its dump', async () => {
    const name = 'asleep';
    const probe = { periodSeconds: 3, failureThreshold: 60 };
    await deploy(
      {
        ...{ name, probe, preStopSleepSeconds: 20, gracePeriodSeconds: 60 },
        env: { MARKER: 'marker of asleep', FILL_MIB: '60' },
      },
      neverReady,
    );
    const podName = await eventually('a running pod', 60, async () => {
      const [pod] = await environment.pods(name);
      return pod?.status.phase === 'Running' ? pod.metadata.name : undefined;
    });

    await environment.kubectl.run([
      ...['delete', 'pod', podName, '-n', environment.namespace, '--wait=false'],
    ]);
    const entry = await environment.entryOf(name, 90);

    expect(entry).toMatchObject({
      state: 'complete',
      where: { podName },
      how: { rung: 'nodeAgent' },
    });
    await expectWholeDump(environment, entry, 'marker of asleep');
  }, 240_000);

  it('holds a container that its liveness probe has killed, for the dump that its failures led to', async () => {
    const name = 'failing';
    await deploy(
      {
        ...{ name, heapMebibytes: 160, gracePeriodSeconds: 60 },
        env: { MARKER: 'marker of failing', FILL_MIB: '90' },
      },
      withScript,
    );
    const { kubectl, namespace, gate } = environment;
    const [pod] = await environment.readyPods(name, 1);
    const podName = pod!.metadata.name;
    const held = gate.holdAfter(8 * 1024 * 1024);
    const log = logOf(podName);

    await kubectl.getFromPod(namespace, podName, victimPort, '/fail');
    await held;
    const words = await log;
    await environment.restarted(name, 60);
    gate.release();
    const entry = await environment.entryOf(name, 90);

    expect(words).toMatch(/^heapcatch preStop: lets go: .*"reason":"JvmReleased"/m);
    expect(entry).toMatchObject({ state: 'complete', where: { podUid: pod!.metadata.uid } });
    await expectWholeDump(environment, entry, 'marker of failing');
  }, 240_000);

  it('holds a ready pod whose memory was near its limit, by what the sensor saw', async () => {
    const name = 'pressed';
    await deploy(
      {
        ...{ name, gracePeriodSeconds: 60, limitMebibytes: 320 },
        annotations: {
          'heapcatch.dev/on-delete': 'pressure',
          'heapcatch.dev/cgroup-near-limit': 'off',
        },
        env: { MARKER: 'marker of pressed', FILL_MIB: '60' },
      },
      withScript,
    );
    const { kubectl, namespace } = environment;
    const [pod] = await environment.readyPods(name, 1);
    const { name: podName, uid } = pod!.metadata;
    const token = await tokenOf(
      ...['--audience=heapcatch', '--bound-object-kind=Pod'],
      ...[`--bound-object-name=${podName}`, `--bound-object-uid=${uid}`],
    );
    // The limit must be passed for ten seconds, and the agent reports every fifteen.
    const oldEnough = Date.now() + 40_000;
    const calm = await eventually('numbers of the sensor', 90, async () => {
      if (Date.now() < oldEnough) return undefined;
      const { body } = await askForwarder(`Bearer ${token}`);
      return body.message?.includes('cgroupUsedPercent') === true ? body : undefined;
    });
    // Agents that look for what earlier cases left hold the node's slot.
    await environment.invoke('sweep', {});

    await kubectl.run([
      ...['annotate', 'pod', podName, '-n', namespace, '--overwrite'],
      'heapcatch.dev/cgroup-near-limit=10',
    ]);
    const log = logOf(podName);
    await kubectl.run(['delete', 'pod', podName, '-n', namespace, '--wait=false']);
    const words = await log;

    expect(calm).toMatchObject({ hold: false, reason: 'DeletedHealthy' });
    expect(words).toMatch(/^heapcatch preStop: lets go: .*"reason":"(JvmReleased|Captured)"/m);
    const entry = await environment.entryOf(name, 60);
    expect(entry).toMatchObject({ state: 'complete', where: { podUid: uid } });
    expect(entry.why.numbers['cgroupUsedPercent']).toBeGreaterThan(10);
    await expectWholeDump(environment, entry, 'marker of pressed');
  }, 240_000);
});

describe('POST /v1/pre-stop', () => {
  it('takes no token but one of its own audience that is bound to a pod', async () => {
    const ask = async (authorization?: string): Promise<unknown> => {
      const { status, body } = await askForwarder(authorization);
      return [status, body.hold];
    };

    expect(await ask()).toEqual([401, false]);
    expect(await ask('Bearer ey.forged.token')).toEqual([401, false]);
    expect(await ask(`Bearer ${await tokenOf()}`)).toEqual([401, false]);
    expect(await ask(`Bearer ${await tokenOf('--audience=heapcatch')}`)).toEqual([403, false]);
  }, 60_000);
});
