import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { IndexEntry } from '../../lib/dump-index/index-entry.ts';
import { checkStoredDump } from '../../lib/local/dump-check.ts';
import { type Environment, javaImage, startEnvironment } from './environment.ts';
import { heapDumpPauses, overlaps } from './pauses.ts';
import { eventually } from './shell.ts';
import { victim, victimPort, type VictimOptions } from './victim.ts';
import { expectWholeDump } from './whole-dump.ts';

let environment: Environment;
const deployed: { kind: string; name: string }[] = [];

async function deploy(options: Omit<VictimOptions, 'namespace'>): Promise<void> {
  deployed.push({ kind: options.kind ?? 'Deployment', name: options.name });
  await environment.kubectl.apply(victim({ ...options, namespace: environment.namespace }));
}

const fail = (podName: string): Promise<string> =>
  environment.kubectl.getFromPod(environment.namespace, podName, victimPort, '/fail');

/** The pod's change and the kubelet's Event come in either order, and the first is what is captured for. */
const ofDeletion: unknown = expect.stringMatching(/^(PodDeleting|ContainerKilling)$/);

/** Each artifact of the cheap evidence is there and says what it should. */
async function expectEvidence(entry: IndexEntry): Promise<void> {
  const texts = new Map<string, string>();
  for (const { artifact, objectKey } of entry.objects.evidence) {
    const body = await environment.objects.getObject(objectKey, { maxBytes: 64 << 20 });
    texts.set(artifact, Buffer.from(body!).toString('utf8'));
  }
  expect(texts.get('threads')).toContain('"main"');
  expect(texts.get('classHistogram')).toContain('LeakingApplication$Session');
  expect(texts.get('processFacts')).toMatch(/^\d+ [SR] \d+ \d+ VM Thread$/m);
  // The container's own limit, read through its root. The agent that exec starts tells no pressure.
  if (entry.how.rung !== 'exec') {
    expect(texts.get('processFacts')).toMatch(/^limitBytes \d+$/m);
    const { containerLimitBytes, containerUsedBytes = 0 } = entry.memory ?? {};
    expect(containerLimitBytes).toBeGreaterThan(containerUsedBytes);
  }
  expect(texts.get('heapInfo')).toMatch(/ space +\d+K/);
}

/** A pod meets an OutOfMemoryError, dumps, exits and runs again: what it left is saved, by this rung, and is gone. */
async function expectLeftoverCollected(name: string, rung: string): Promise<void> {
  await deploy({
    name,
    image: javaImage(17),
    env: { MARKER: `marker of ${name}` },
    probe: { periodSeconds: 10, failureThreshold: 30 },
    jvmOptions: [
      ...['-XX:+HeapDumpOnOutOfMemoryError', '-XX:+ExitOnOutOfMemoryError'],
      '-XX:HeapDumpPath=/tmp',
    ],
  });
  const [pod] = await environment.readyPods(name, 1);
  const podName = pod!.metadata.name;
  // Earlier cases removed pods while agents looked for leftovers in them, and these hold the node's slot until then.
  await environment.invoke('sweep', {});

  // The JVM exits before it has answered.
  await environment.kubectl
    .getFromPod(environment.namespace, podName, victimPort, '/exhaust')
    .catch(() => undefined);
  await environment.restarted(name, 90);
  const entry = await environment.entryOf(name, 120);

  expect(entry).toMatchObject({
    state: 'complete',
    where: { podUid: pod!.metadata.uid },
    why: {
      signalReason: 'ContainerTerminated',
      termination: { exitCode: 3, finishedTime: expect.any(String) },
    },
    how: { rung, source: 'leftover', leftover: { path: '/tmp/java_pid1.hprof' } },
    faults: [],
  });
  await expectWholeDump(environment, entry, `marker of ${name}`);
  await environment.readyPods(name, 1);
  const files = await environment.kubectl.getFromPod(
    ...([environment.namespace, podName, victimPort, '/files?/tmp'] as const),
  );
  expect(files).not.toContain('hprof');
}

beforeAll(async () => {
  environment = await startEnvironment({ jdks: [17, 25] });
}, 600_000);

afterAll(async () => {
  await (environment as Environment | undefined)?.close();
}, 240_000);

afterEach(async () => {
  environment.gate.release();
  for (const { kind, name } of deployed.splice(0)) {
    await environment.kubectl.run(
      ['delete', kind, name, '-n', environment.namespace, '--ignore-not-found', '--wait=false'],
      { timeoutSeconds: 30 },
    );
    await environment.kubectl.run(
      [
        'delete',
        'pods',
        '-n',
        environment.namespace,
        '-l',
        `app=${name}`,
        '--force',
        '--grace-period=0',
      ],
      { timeoutSeconds: 60 },
    );
  }
}, 120_000);

describe('with nothing on the nodes', () => {
  it.each([17, 25])(
    'saves the heap of a restricted pod on JDK %i before its liveness probe restarts it',
    async (major) => {
      const name = `cart-${major}`;
      await deploy({
        name,
        image: javaImage(major),
        env: { MARKER: `marker of ${name}`, FILL_MIB: '60' },
      });
      const [pod] = await environment.readyPods(name, 1);

      await fail(pod!.metadata.name);
      const entry = await environment.entryOf(name, 90);
      const restarted = await environment.restarted(name, 90);

      expect(entry).toMatchObject({
        state: 'complete',
        where: { podUid: pod!.metadata.uid, workload: { kind: 'Deployment', name } },
        how: {
          rung: 'ephemeralContainer',
          finisher: 'seal',
          refusedRungs: { nodeAgent: expect.any(String) },
        },
        why: { signalReason: 'LivenessProbeFailing' },
      });
      expect(restarted.metadata.uid).toBe(pod!.metadata.uid);
      await expectEvidence(entry);
      await expectWholeDump(environment, entry, `marker of ${name}`);
      const events = await environment.events(pod!.metadata.name);
      expect(events.map((event) => event.reason)).toContain('HeapDumpSaved');
    },
    240_000,
  );

  it('is never why a pod 40 MiB under its memory limit is OOM-killed: it takes less, or refuses with the numbers', async () => {
    const options = {
      image: javaImage(17),
      // In the pod itself, where the agent's memory counts, whatever else there is on the node.
      annotations: { 'heapcatch.dev/rungs': 'ephemeralContainer' },
      heapMebibytes: 96,
      env: { MARKER: 'marker of narrow', FILL_MIB: '50' },
      jvmOptions: ['-XX:+AlwaysPreTouch', '-XX:+UseSerialGC'],
    };
    await deploy({ ...options, name: 'roomy' });
    const [roomy] = await environment.readyPods('roomy', 1);
    const usedMebibytes = await environment.usedMebibytes(roomy!.metadata.name);
    const limitMebibytes = usedMebibytes + 40;
    await deploy({ ...options, name: 'narrow', limitMebibytes });
    const [pod] = await environment.readyPods('narrow', 1);

    // By its name alone: the function finds where it is.
    await environment.invoke('capture', { pod: pod!.metadata.name });
    const entry = await environment.entryOf('narrow', 90);

    const refusal = entry.faults.find(({ code }) => code === 'NotEnoughMemory');
    process.stderr.write(
      `e2e: a pod of ${limitMebibytes} MiB: ${entry.state}, ${JSON.stringify([entry.how.layout, entry.how.work, entry.faults])}\n`,
    );
    expect(entry.how).toMatchObject({
      rung: 'ephemeralContainer',
      layout: { layout: 'single', reason: expect.stringContaining('bytes of headroom') },
    });
    if (refusal === undefined) {
      await expectWholeDump(environment, entry, 'marker of narrow');
    } else {
      expect(refusal.message).toMatch(/needs \d+ bytes of memory at least, and \d+ are left/);
      await expectEvidence(entry);
    }
    const [after] = await environment.pods('narrow');
    expect(after!.metadata.uid).toBe(pod!.metadata.uid);
    expect(after!.status.containerStatuses).toMatchObject([{ restartCount: 0, ready: true }]);
  }, 240_000);

  it('collects the dump that a JVM left when it exited on an OutOfMemoryError, from its next life', async () => {
    await expectLeftoverCollected('wishlist', 'ephemeralContainer');
  }, 300_000);

  it('loses nothing of a JVM that is gone before its dump is out: the uploader outlives it', async () => {
    const name = 'till';
    await deploy({
      name,
      image: javaImage(17),
      heapMebibytes: 320,
      gracePeriodSeconds: 2,
      env: { MARKER: 'marker of till', FILL_MIB: '180' },
    });
    const [pod] = await environment.readyPods(name, 1);
    const held = environment.gate.holdAfter(8 * 1024 * 1024);

    await fail(pod!.metadata.name);
    await held;
    const restarted = await environment.restarted(name, 90);
    environment.gate.release();
    const entry = await environment.entryOf(name, 90);

    expect(restarted.metadata.uid).toBe(pod!.metadata.uid);
    expect(entry).toMatchObject({
      state: 'complete',
      where: { podUid: pod!.metadata.uid },
      how: { rung: 'ephemeralContainer', layout: { layout: 'split' }, finisher: 'seal' },
      faults: [],
    });
    await expectWholeDump(environment, entry, 'marker of till');
  }, 300_000);

  it('dumps nothing for a pod that was replaced before the signal arrived, and says why', async () => {
    const name = 'ledger';
    await deploy({ name, kind: 'StatefulSet', image: javaImage(17), gracePeriodSeconds: 1 });
    const [before] = await environment.readyPods(name, 1);
    await environment.kubectl.run([
      ...['delete', 'pod', before!.metadata.name, '-n', environment.namespace, '--wait'],
    ]);
    const [after] = await environment.readyPods(name, 1);
    expect(after!.metadata.name).toBe(before!.metadata.name);

    const answer = await environment.invoke('capture', {
      source: 'heapcatch',
      'detail-type': 'heapcatch Signal',
      detail: {
        schemaVersion: 1,
        clusterName: environment.clusterName,
        namespace: environment.namespace,
        podName: before!.metadata.name,
        podUid: before!.metadata.uid,
        containerName: 'app',
        reason: 'LivenessProbeFailing',
        observedTime: new Date().toISOString(),
        numbers: { failureCount: 2, failureThreshold: 3 },
      },
    });

    expect(JSON.stringify(answer)).toContain('PodReplaced');
    expect(await environment.entriesOf(name)).toEqual([]);
    expect((await environment.pods(name))[0]!.spec.ephemeralContainers).toBeUndefined();
  }, 180_000);
});

describe('with nothing on the nodes, where the policy allows exec alone', () => {
  const access = ['-f', 'infra/kubernetes/components/exec/access.yaml'];
  beforeAll(() => environment.kubectl.run(['apply', ...access]));
  afterAll(() => environment.kubectl.run(['delete', ...access]));

  it.each([17, 25])(
    'saves the heap of a pod on JDK %i that is being deleted',
    async (major) => {
      const name = `wishlist-${major}`;
      await deploy({
        name,
        image: javaImage(major),
        annotations: { 'heapcatch.dev/on-delete': 'always', 'heapcatch.dev/rungs': 'exec' },
        env: { MARKER: `marker of ${name}`, FILL_MIB: '60' },
        preStopSleepSeconds: 20,
      });
      const [pod] = await environment.readyPods(name, 1);

      await environment.kubectl.run([
        ...['delete', 'pod', pod!.metadata.name, '-n', environment.namespace, '--wait=false'],
      ]);
      const entry = await environment.entryOf(name, 90);

      expect(entry).toMatchObject({
        state: 'complete',
        where: { podUid: pod!.metadata.uid },
        how: {
          rung: 'exec',
          finisher: 'seal',
          refusedRungs: { nodeAgent: 'PolicyForbids', ephemeralContainer: 'PolicyForbids' },
        },
        why: { signalReason: ofDeletion },
      });
      await expectEvidence(entry);
      await expectWholeDump(environment, entry, `marker of ${name}`);
    },
    240_000,
  );

  it('fetches a capture through exec, where the pod does not reach the bucket and the policy allows it', async () => {
    const name = 'island';
    await deploy({
      name,
      image: javaImage(17),
      annotations: { 'heapcatch.dev/rungs': 'exec', 'heapcatch.dev/relay-max-mebibytes': '512' },
      env: { MARKER: `marker of ${name}`, FILL_MIB: '60' },
    });
    const [pod] = await environment.readyPods(name, 1);
    const cutOff = environment.gate.holdAfter(0);

    await environment.invoke('capture', {
      namespace: environment.namespace,
      pod: pod!.metadata.name,
    });
    const entry = await environment.entryOf(name, 60);

    await cutOff;
    expect(entry).toMatchObject({ state: 'complete', how: { rung: 'exec', finisher: 'seal' } });
    await expectEvidence(entry);
    await expectWholeDump(environment, entry, `marker of ${name}`);
    const files = await environment.kubectl.run([
      ...['exec', pod!.metadata.name, '-n', environment.namespace, '-c', 'app', '--'],
      ...['sh', '-c', 'ls -A /tmp'],
    ]);
    expect(files).not.toMatch(/heapcatch/);
  }, 240_000);
});

describe('with an agent on the node', () => {
  beforeAll(() => environment.installNodeAgent(), 180_000);
  afterAll(() => environment.removeNodeAgent(), 180_000);

  it('saves the heap of a pod that is being deleted and sleeps in its preStop hook', async () => {
    const name = 'basket';
    await deploy({
      name,
      image: javaImage(17),
      annotations: { 'heapcatch.dev/on-delete': 'always' },
      env: { MARKER: 'marker of basket', FILL_MIB: '60' },
      preStopSleepSeconds: 20,
    });
    const [pod] = await environment.readyPods(name, 1);

    await environment.kubectl.run([
      ...['delete', 'pod', pod!.metadata.name, '-n', environment.namespace, '--wait=false'],
    ]);
    const entry = await environment.entryOf(name, 90);

    expect(entry).toMatchObject({
      state: 'complete',
      where: { podUid: pod!.metadata.uid },
      how: { rung: 'nodeAgent' },
      why: { signalReason: ofDeletion },
    });
    await expectEvidence(entry);
    await expectWholeDump(environment, entry, 'marker of basket');
  }, 240_000);

  it('collects the dump that a JVM left when it exited on an OutOfMemoryError', async () => {
    await expectLeftoverCollected('voucher', 'nodeAgent');
  }, 300_000);

  it('dumps one replica at a time when three fail in the same second', async () => {
    const name = 'checkout';
    await deploy({
      name,
      image: javaImage(17),
      replicas: 3,
      heapMebibytes: 128,
      annotations: { 'heapcatch.dev/cooldown': '0s', 'heapcatch.dev/node-slots': '3' },
      env: { MARKER: 'marker of checkout', FILL_MIB: '90' },
      jvmOptions: ['-Xlog:safepoint:stdout:utctime'],
      // Long enough that each gets its turn before it is killed.
      preStopSleepSeconds: 20,
    });
    const pods = await environment.readyPods(name, 3);

    await Promise.all(pods.map((pod) => fail(pod.metadata.name)));
    const entries = await eventually('an entry for each of the three', 120, async () => {
      const found = (await environment.entriesOf(name)).filter(
        ({ how }) => how.source === undefined,
      );
      return found.length >= 3 ? found : undefined;
    });
    const logs = await Promise.all(
      pods.map(async (pod) => {
        const read = (...more: string[]): Promise<string> =>
          environment.kubectl.run([
            'logs',
            pod.metadata.name,
            '-n',
            environment.namespace,
            '-c',
            'app',
            ...more,
          ]);
        return (await read('--previous').catch(() => '')) + (await read().catch(() => ''));
      }),
    );
    const pauses = logs.map(heapDumpPauses);

    expect(entries.map(({ state }) => state)).toEqual(['complete', 'complete', 'complete']);
    expect(new Set(entries.map(({ where }) => where.podUid)).size).toBe(3);
    expect(pauses.map((own) => own.length)).toEqual([1, 1, 1]);
    expect(overlaps(pauses.flat())).toEqual([]);
  }, 300_000);

  it('salvages what had arrived when the agent is killed in the middle, and frees the lock', async () => {
    const name = 'orders';
    await deploy({
      name,
      image: javaImage(17),
      heapMebibytes: 320,
      annotations: {
        'heapcatch.dev/capture-deadline': '15s',
        'heapcatch.dev/cooldown': '0s',
      },
      env: { MARKER: 'marker of orders', FILL_MIB: '180' },
    });
    const [pod] = await environment.readyPods(name, 1);
    const threeParts = 3 * 8.5 * 1024 * 1024;
    const held = environment.gate.holdAfter(threeParts);

    const answer = await environment.invoke('capture', {
      namespace: environment.namespace,
      pod: pod!.metadata.name,
    });
    expect(JSON.stringify(answer)).toContain('nodeAgent');
    await held;
    await environment.kubectl.run([
      ...['delete', 'pods', '-n', 'heapcatch', '-l', 'app.kubernetes.io/name=heapcatch-agent'],
      ...['--force', '--grace-period=0'],
    ]);
    // The gate stays held: an agent that is ending must not get its last parts out.
    // Deadline, seal's margin and the clocks' margin: only then may anybody else touch the capture (lib/claim/lease.ts).
    const entry = await eventually('the salvaged capture', 480, async () => {
      await environment.invoke('sweep', {});
      return (await environment.entriesOf(name))[0];
    });

    expect(entry).toMatchObject({
      state: 'salvaged',
      how: { finisher: 'sweep', rung: 'nodeAgent' },
    });
    expect(entry.objects.heapDump!.compressedBytes).toBeGreaterThan(8 * 1024 * 1024);
    const check = await checkStoredDump(environment.objects, entry, {
      markerClass: 'LeakingApplication$Marker',
      markerText: 'marker of orders',
    });
    expect(check).toMatchObject({ chain: 'ended' });
    expect(check.classCount).toBeGreaterThan(100);
    const again = await environment.invoke('capture', {
      namespace: environment.namespace,
      pod: pod!.metadata.name,
      dryRun: true,
    });
    expect(JSON.stringify(again)).not.toContain('LockHeld');
    expect(JSON.stringify(again)).toContain('"dump"');
  }, 660_000);
});
