import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { KubeConfig } from '@kubernetes/client-node';
import type { ClusterApi, EphemeralAgent } from '../../lib/capture/ports.ts';
import { createClusterApi } from '../../lib/kubernetes/cluster-api.ts';
import { createWatchSource } from '../../lib/kubernetes/watch-source.ts';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';
import type { WatchEnd, WatchSource } from '../../lib/signal/watch-source.ts';
import {
  ClusterObjects,
  followEvents,
  followPods,
  type ClusterUnderTest,
} from './cluster-objects.ts';

const clusterName = 'contract';
let cluster: ClusterUnderTest;
let objects: ClusterObjects;
let api: ClusterApi;
let source: WatchSource;

/** What heapcatch rests on in a cluster, seen through its own adapter. */
export function clusterApiContract(start: () => Promise<ClusterUnderTest>): void {
  beforeAll(async () => {
    cluster = await start();
    objects = new ClusterObjects(cluster);
    const { kubeconfig, namespace } = cluster;
    api = createClusterApi({
      kubeconfig,
      clusterName,
      agentNamespace: namespace,
      agentImagePullPolicy: 'Never',
    });
    source = createWatchSource({ kubeconfig, clusterName });
    await objects.createPod('steady');
    await awaitReady('steady');
  }, 120_000);
  afterAll(() => cluster.close(), 60_000);

  describe('facts of a pod', factsContract);
  describe('exec', execContract);
  describe('an ephemeral agent', ephemeralContract);
  describe('Events', eventContract);
  describe('watches', watchContract);
  describe('the life of a pod', lifeContract);
}

async function awaitReady(podName: string): Promise<PodFacts> {
  const changes = await followPods(
    source,
    cluster.namespace,
    ({ object }) => object.podName === podName && object.ready,
  );
  return changes.findLast(({ object }) => object.podName === podName)!.object;
}

const target = (podName: string) => ({
  namespace: cluster.namespace,
  podName,
  containerName: 'app',
});

function factsContract(): void {
  it('names the Deployment as the workload of its pods, and counts its ready replicas', async () => {
    await objects.createDeployment('cart', 2);
    await followPods(source, cluster.namespace, ({ object }) => isOfCart(object) && object.ready);
    const { items } = await source.listPods(cluster.namespace);
    for (const { podName } of items.filter(isOfCart)) await awaitReady(podName);

    const facts = await api.readPod(cluster.namespace, items.find(isOfCart)!.podName);

    expect(facts).toMatchObject({
      clusterName,
      namespace: cluster.namespace,
      podName: items.find(isOfCart)!.podName,
      nodeName: cluster.nodeName,
      workload: { kind: 'Deployment', name: 'cart' },
      phase: 'Running',
      ready: true,
      terminationGracePeriodSeconds: 5,
    });
    expect(facts!.podIP).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
    expect(facts!.podUid).toMatch(/^[-0-9a-f]{36}$/);
    expect(facts!.deletionTime).toBeUndefined();
    // The controller counts a little later than the pod is ready.
    expect(facts!.readyReplicaCount).toBeGreaterThanOrEqual(0);
  }, 90_000);

  it('tells the containers of a bare pod: state, limits, probes, volumes, user', async () => {
    const facts = await api.readPod(cluster.namespace, 'steady');

    expect(facts!.workload).toEqual({ kind: 'Pod', name: 'steady' });
    expect(facts!.containers).toHaveLength(1);
    const [app] = facts!.containers;
    expect(app).toMatchObject({
      containerName: 'app',
      running: true,
      ready: true,
      started: true,
      restartCount: 0,
      memoryLimitBytes: 256 * 1024 * 1024,
      hasPreStop: false,
      runAsUser: cluster.runAsUser,
      runAsGroup: cluster.runAsGroup,
      readOnlyRootFilesystem: false,
    });
    expect(app!.containerID).toMatch(/^containerd:\/\/[0-9a-f]{64}$/);
    expect(Date.parse(app!.startedTime!)).not.toBeNaN();
    expect(app!.volumeMounts).toContainEqual({
      volumeName: 'dumps',
      mountPath: '/tmp/heapcatch-contract',
      readOnly: false,
      volumeType: 'emptyDir',
      sizeLimitBytes: 64 * 1024 * 1024,
    });
  });

  it('answers undefined for a pod that is not there', async () => {
    expect(await api.readPod(cluster.namespace, 'nobody')).toBeUndefined();
  });

  it('finds the namespaces of a pod by its name', async () => {
    expect(await api.findPods('steady')).toContain(cluster.namespace);
    expect(await api.findPods('nobody')).toEqual([]);
  });

  it('names what was refused when the credentials are not accepted', async () => {
    const stranger = createClusterApi({ kubeconfig: withToken('wrong'), clusterName });

    await expect(stranger.readPod(cluster.namespace, 'steady')).rejects.toMatchObject({
      code: 'ClusterForbidden',
      retryable: false,
      message: expect.stringContaining(
        `get pods "steady" in namespace "${cluster.namespace}"`,
      ) as unknown,
    });
  });

  it('finds the ready agent pod of a node', async () => {
    expect(await api.findNodeAgent(cluster.nodeName)).toBeUndefined();
    await objects.createPod('agent-x', {
      labels: { 'app.kubernetes.io/name': 'heapcatch-agent' },
    });
    await awaitReady('agent-x');

    expect(await api.findNodeAgent(cluster.nodeName)).toEqual(target('agent-x'));
    expect(await api.findNodeAgent('another-node')).toBeUndefined();
  }, 60_000);
}

const isOfCart = ({ workload }: PodFacts): boolean =>
  workload.kind === 'Deployment' && workload.name === 'cart';

function withToken(token: string): string {
  const config = new KubeConfig();
  config.loadFromString(cluster.kubeconfig);
  config.loadFromClusterAndUser(config.getCurrentCluster()!, { name: 'stranger', token });
  return config.exportConfig();
}

function execContract(): void {
  it('hands on output of any length, whole and in order, where it is asked to', async () => {
    const pieces: Buffer[] = [];
    const script = 'head -c 3000000 /dev/zero; echo; seq 1 50000';
    const result = await api.exec(target('steady'), ['sh', '-c', script], {
      deadlineSeconds: 30,
      onStdout: (piece) => {
        pieces.push(Buffer.from(piece));
        return Promise.resolve();
      },
    });

    const lines = Buffer.concat(pieces).toString().split('\n');
    expect(result).toMatchObject({ exitCode: 0, stdout: '' });
    expect([lines[0]!.length, lines.length, lines.at(-2)]).toEqual([3_000_000, 50_002, '50000']);
  });

  const shell = (script: string, options: { stdin?: string; deadlineSeconds?: number } = {}) =>
    api.exec(target('steady'), ['sh', '-c', script], { deadlineSeconds: 30, ...options });

  it('gives a command its input, and returns its outputs and its exit code', async () => {
    const result = await shell('read -r line; echo "got $line"; echo oops >&2; exit 3', {
      stdin: 'hello\n',
    });

    expect(result).toEqual({ exitCode: 3, stdout: 'got hello\n', stderr: 'oops\n' });
  });

  it('ends the input, so that a command that reads all of it ends', async () => {
    const result = await shell('cat', { stdin: 'one\ntwo' });

    expect(result).toEqual({ exitCode: 0, stdout: 'one\ntwo', stderr: '' });
  });

  it('keeps 64 KiB of an output that is larger', async () => {
    const result = await shell('yes 0123456789abcde | head -c 300000');

    expect(result.exitCode).toBe(0);
    expect(result.stdout).toHaveLength(64 * 1024);
  });

  it('reports the signal that killed the command as an exit code', async () => {
    expect((await shell('kill -9 $$')).exitCode).toBe(137);
  });

  it('leaves the exit code open when the deadline comes first', async () => {
    const result = await shell('echo begun; sleep 20', { deadlineSeconds: 1 });

    expect(result).toEqual({ exitCode: undefined, stdout: 'begun\n', stderr: '' });
  });

  it.each([
    ['a command that the container does not have', 'steady', 'app', ['/no/such/command']],
    ['a container that the pod does not have', 'steady', 'sidecar', ['true']],
    ['a pod that is not there', 'nobody', 'app', ['true']],
  ])('fails for %s', async (_case, podName, containerName, command) => {
    const place = { namespace: cluster.namespace, podName, containerName };

    await expect(api.exec(place, command, { deadlineSeconds: 30 })).rejects.toMatchObject({
      code: 'AgentStartFailed',
      retryable: false,
    });
  });
}

function ephemeralContract(): void {
  const agent = (changes: Partial<EphemeralAgent> = {}): EphemeralAgent => ({
    containerName: 'heapcatch-1',
    targetContainerName: 'app',
    image: cluster.image,
    runAsUser: cluster.runAsUser,
    runAsGroup: cluster.runAsGroup,
    env: { PORT: '0', PRICE: '$(HOME) is $5' },
    volumeMounts: [{ volumeName: 'dumps', mountPath: '/tmp/heapcatch-contract' }],
    ...changes,
  });
  const identityOf = (podName: string, podUid: string) => ({
    namespace: cluster.namespace,
    podName,
    podUid,
  });
  const awaitAgent = (podName: string, containerName: string) =>
    followPods(source, cluster.namespace, ({ object }) => object.podName === podName).then(() =>
      awaitState(podName, containerName),
    );

  it('is added once, runs beside its target, and gets its environment as given', async () => {
    const { podUid } = await awaitReady('steady');
    const pod = identityOf('steady', podUid);

    expect(await api.addEphemeralAgents(pod, [agent()])).toBe('added');
    expect(await api.addEphemeralAgents(pod, [agent()])).toBe('exists');
    expect(await api.addEphemeralAgents(pod, [agent({ env: {} })])).toBe('exists');

    await awaitAgent('steady', 'heapcatch-1');
    const result = await api.exec(
      { ...pod, containerName: 'heapcatch-1' },
      ['sh', '-c', 'echo "$PRICE"'],
      { deadlineSeconds: 30 },
    );
    expect(result.stdout).toBe('$(HOME) is $5\n');
  }, 60_000);

  it('is one when two callers add it at once', async () => {
    const { podUid } = await awaitReady('steady');
    const pod = identityOf('steady', podUid);
    const twin = agent({ containerName: 'heapcatch-twin' });

    const answers = await Promise.all([
      api.addEphemeralAgents(pod, [twin]),
      api.addEphemeralAgents(pod, [{ ...twin, env: { OTHER: 'x' } }]),
    ]);

    expect(answers).toContain('added');
    const { spec } = await objects.readPod('steady');
    const names = spec!.ephemeralContainers!.map(({ name }) => name);
    expect(names.filter((name) => name === 'heapcatch-twin')).toHaveLength(1);
  });

  it('answers gone for another uid, and for a pod that is not there', async () => {
    const other = '00000000-0000-0000-0000-000000000000';

    const replaced = await api.addEphemeralAgents(identityOf('steady', other), [agent()]);
    const missing = await api.addEphemeralAgents(identityOf('nobody', other), [agent()]);

    expect([replaced, missing]).toEqual(['gone', 'gone']);
  });

  it('is refused beside a container that the pod does not have', async () => {
    const { podUid } = await awaitReady('steady');
    const astray = agent({ containerName: 'astray', targetContainerName: 'sidecar' });

    await expect(
      api.addEphemeralAgents(identityOf('steady', podUid), [astray]),
    ).rejects.toMatchObject({ code: 'AgentStartFailed' });
  });

  it('ends with the container that it targets; one that targets none survives it and keeps the volume', async () => {
    const { metadata } = await objects.createPod('survived', { unhealthyAfter: 6 });
    await awaitReady('survived');
    const pod = identityOf('survived', metadata!.uid!);
    const beside = agent({ containerName: 'beside' });
    const survivor: EphemeralAgent = { ...beside, containerName: 'survivor' };
    delete survivor.targetContainerName;

    expect(await api.addEphemeralAgents(pod, [survivor, beside])).toBe('added');
    await awaitState('survived', 'survivor');
    await awaitState('survived', 'beside');
    const inside = (containerName: string, script: string) =>
      api.exec({ ...pod, containerName }, ['sh', '-c', script], { deadlineSeconds: 30 });
    await inside('beside', 'echo left > /tmp/heapcatch-contract/survived-$$.txt');
    await followPods(source, cluster.namespace, ({ object }) => {
      const [app] = object.containers;
      return object.podUid === pod.podUid && app!.restartCount === 1 && app!.running;
    });

    const statuses = (await objects.readPod('survived')).status!.ephemeralContainerStatuses!;
    const stateOf = (name: string) => statuses.find((one) => one.name === name)!.state!;
    expect(stateOf('beside').terminated).toMatchObject({ exitCode: 137 });
    expect(stateOf('survivor').running).toBeDefined();
    const kept = await inside(
      'survivor',
      'cat /tmp/heapcatch-contract/survived-*.txt; id -u; id -g',
    );
    expect(kept.stdout).toBe(`left\n${cluster.runAsUser}\n${cluster.runAsGroup}\n`);
    await inside('survivor', 'rm /tmp/heapcatch-contract/survived-*.txt');
  }, 90_000);

  it('starts after the restart when it is added during a probe kill', async () => {
    const { metadata } = await objects.createPod('killed', {
      unhealthyAfter: 1,
      preStopSeconds: 4,
      graceSeconds: 10,
    });
    const pod = identityOf('killed', metadata!.uid!);
    await followEvents(
      source,
      cluster.namespace,
      ({ object }) => object.involvedObject.uid === pod.podUid && object.reason === 'Killing',
    );
    expect(await api.addEphemeralAgents(pod, [agent({ containerName: 'late' })])).toBe('added');

    const running = await awaitState('killed', 'late');

    const app = running.status!.containerStatuses![0]!;
    const late = running.status!.ephemeralContainerStatuses![0]!;
    expect(app.restartCount).toBeGreaterThanOrEqual(1);
    expect(Number(startOf(late))).toBeGreaterThanOrEqual(Number(endOf(app)));
  }, 90_000);

  it('never starts when it is added during the deletion', async () => {
    const { metadata } = await objects.createPod('leaving', { preStopSeconds: 3, graceSeconds: 8 });
    await awaitReady('leaving');
    await objects.deletePod('leaving');
    const pod = identityOf('leaving', metadata!.uid!);

    expect(await api.addEphemeralAgents(pod, [agent({ containerName: 'late' })])).toBe('added');

    const begun: string[] = [];
    await followPods(source, cluster.namespace, ({ type, object }) => {
      return object.podUid === pod.podUid && type === 'DELETED';
    });
    const { items } = await source.listEvents(cluster.namespace);
    for (const event of items as { involvedObject: { uid: string }; message: string }[]) {
      if (event.involvedObject.uid === pod.podUid) begun.push(event.message);
    }
    expect(begun).toContain('Started container app');
    expect(begun).not.toContain('Started container late');
  }, 60_000);
}

interface StatusWithTimes {
  state?: { running?: { startedAt?: Date } };
  lastState?: { terminated?: { finishedAt?: Date } };
}
const startOf = ({ state }: StatusWithTimes) => state?.running?.startedAt;
const endOf = ({ lastState }: StatusWithTimes) => lastState?.terminated?.finishedAt;

/** The pod as soon as an ephemeral container of it runs. */
async function awaitState(podName: string, containerName: string) {
  for (;;) {
    const { resourceVersion } = await source.listPods(cluster.namespace);
    const pod = await objects.readPod(podName);
    const status = pod.status?.ephemeralContainerStatuses?.find(
      ({ name }) => name === containerName,
    );
    if (status?.state?.running) return pod;
    if (status?.state?.terminated) throw new Error(`${containerName} has ended`);
    // The next change of the pod, whatever it is.
    const change = new AbortController();
    const signal = AbortSignal.any([change.signal, AbortSignal.timeout(60_000)]);
    await source.watchPods(cluster.namespace, resourceVersion, () => change.abort(), signal);
    if (!change.signal.aborted) throw new Error(`${containerName} does not start`);
  }
}

function eventContract(): void {
  it('is posted once for the same capture and reason', async () => {
    const { podUid } = await awaitReady('steady');
    const pod = { namespace: cluster.namespace, podName: 'steady', podUid };
    const event = {
      type: 'Normal' as const,
      reason: 'HeapDumpComplete',
      message: 'ä'.repeat(1_000),
      captureId: 'c0ffee',
    };

    await api.postPodEvent(pod, event);
    await api.postPodEvent(pod, event);
    await api.postPodEvent(pod, { ...event, captureId: 'decaf' });

    const { items } = await source.listEvents(cluster.namespace);
    const ours = (items as { reason: string; message: string; source: object }[]).filter(
      ({ reason }) => reason === 'HeapDumpComplete',
    );
    expect(ours).toHaveLength(2);
    expect(ours[0]).toMatchObject({
      message: 'ä'.repeat(512),
      source: { component: 'heapcatch' },
      involvedObject: { kind: 'Pod', name: 'steady', uid: podUid },
    });
  });

  it('raises the count of one Event with each failure of a probe, then says Killing', async () => {
    const { metadata } = await objects.createPod('failing', { unhealthyAfter: 1 });
    const isOurs = ({ object }: { object: { involvedObject: { uid: string } } }): boolean =>
      object.involvedObject.uid === metadata!.uid;

    const changes = (
      await followEvents(
        source,
        cluster.namespace,
        (change) => isOurs(change) && change.object.reason === 'Killing',
      )
    ).filter(isOurs);

    const unhealthy = changes.filter(({ object }) => object.reason === 'Unhealthy');
    expect(unhealthy.map(({ object }) => object.count)).toEqual([1, 2, 3]);
    expect(unhealthy.at(-1)).toMatchObject({
      type: 'MODIFIED',
      object: {
        type: 'Warning',
        message: 'Liveness probe failed: HTTP probe failed with statuscode: 500',
        involvedObject: { fieldPath: 'spec.containers{app}' },
      },
    });
    expect(new Set(unhealthy.map(({ object }) => object.metadata.name)).size).toBe(1);
    expect(changes.at(-1)!.object).toMatchObject({
      type: 'Normal',
      message: 'Container app failed liveness probe, will be restarted',
      count: 1,
    });
  }, 60_000);

  it('carries the scheduler word in the newer form, without lastTimestamp', async () => {
    const { items } = await source.listEvents(cluster.namespace);

    const scheduled = (items as { reason: string }[]).find(({ reason }) => reason === 'Scheduled');

    expect(scheduled).toMatchObject({ lastTimestamp: null, eventTime: expect.any(String) });
  });
}

function watchContract(): void {
  it('sees a pod come, change and go', async () => {
    const { resourceVersion } = await source.listPods(cluster.namespace);
    const types: string[] = [];
    const done = new AbortController();
    const watching = source.watchPods(
      cluster.namespace,
      resourceVersion,
      (change) => {
        if (change.type === 'BOOKMARK' || change.object.podName !== 'passing') return;
        if (change.type === 'MODIFIED' && change.object.ready && !types.includes('ready')) {
          types.push('ready');
          void objects.deletePod('passing', 1);
        }
        if (types.at(-1) !== change.type) types.push(change.type);
        if (change.type === 'DELETED') done.abort();
      },
      AbortSignal.any([done.signal, AbortSignal.timeout(50_000)]),
    );
    await objects.createPod('passing');

    expect(await watching).toBe('closed');
    expect(types).toEqual(['ADDED', 'MODIFIED', 'ready', 'MODIFIED', 'DELETED']);
  }, 60_000);

  it('resumes from the version of any change without repeating or missing one', async () => {
    const first = await source.listPods(cluster.namespace);
    await objects.createPod('resumed');
    const all = await changesOf('resumed', first.resourceVersion);

    const later = await changesOf('resumed', all[0]!.resourceVersion);

    expect(later.map(({ resourceVersion }) => resourceVersion)).toEqual(
      all.slice(1).map(({ resourceVersion }) => resourceVersion),
    );
  }, 60_000);

  it('ends expired for a version that the cluster has forgotten', async () => {
    // An API server forgets by compaction, every five minutes what is older than that: one that has just been
    // started still knows its first version, and is asked again.
    const knownEnd = performance.now() + 11 * 60_000;
    let end: WatchEnd;
    do {
      const oneLook = AbortSignal.timeout(10_000);
      end = await source.watchEvents(cluster.namespace, '1', () => undefined, oneLook);
    } while (end !== 'expired' && performance.now() < knownEnd);

    expect(end).toBe('expired');
  }, 720_000);

  it('passes bookmarks on and ends closed when the server ends the watch', async () => {
    // The bookmark comes two seconds before the end, and only if the version moved on since the beginning.
    const brief = createWatchSource({ ...cluster, clusterName, watchSeconds: 8 });
    const { resourceVersion } = await brief.listPods(cluster.namespace);
    const types = new Set<string>();
    const watching = brief.watchPods(
      cluster.namespace,
      resourceVersion,
      (change) => types.add(change.type),
      AbortSignal.timeout(25_000),
    );

    await objects.createPod('bookmarked');

    expect(await watching).toBe('closed');
    expect(types).toContain('BOOKMARK');
  }, 30_000);

  it('ends closed when it is aborted', async () => {
    const { resourceVersion } = await source.listPods(cluster.namespace);
    const abort = new AbortController();
    const watching = source.watchPods(
      cluster.namespace,
      resourceVersion,
      () => undefined,
      abort.signal,
    );

    abort.abort();

    expect(await watching).toBe('closed');
  });
}

async function changesOf(podName: string, resourceVersion: string) {
  const changes: { resourceVersion: string }[] = [];
  const done = new AbortController();
  await source.watchPods(
    cluster.namespace,
    resourceVersion,
    (change) => {
      if (change.type === 'BOOKMARK' || change.object.podName !== podName) return;
      changes.push({ resourceVersion: change.resourceVersion });
      if (change.object.ready) done.abort();
    },
    AbortSignal.any([done.signal, AbortSignal.timeout(50_000)]),
  );
  return changes;
}

function lifeContract(): void {
  it('gives a container that was killed by its probe a new id and remembers its end', async () => {
    await objects.createPod('restarting', { unhealthyAfter: 2 });

    const changes = await followPods(source, cluster.namespace, ({ object }) => {
      const [app] = object.containers;
      return object.podName === 'restarting' && app!.restartCount === 1 && app!.running;
    });

    const ours = changes.filter(({ object }) => object.podName === 'restarting');
    const ids = ours.flatMap(({ object }) => object.containers[0]!.containerID ?? []);
    expect(new Set(ids).size).toBe(2);
    expect(ours.at(-1)!.object.containers[0]!.lastTermination).toMatchObject({
      reason: 'Completed',
      exitCode: 0,
    });
    expect(new Set(ours.map(({ object }) => object.podUid)).size).toBe(1);
  }, 60_000);

  it('tells when a pod that is being deleted has to be gone, and keeps it running until then', async () => {
    await objects.createPod('deleted', { preStopSeconds: 2, graceSeconds: 20 });
    await awaitReady('deleted');
    const before = Date.now();
    await objects.deletePod('deleted');

    const facts = await api.readPod(cluster.namespace, 'deleted');

    expect(facts).toMatchObject({ phase: 'Running', ready: true, deletionGracePeriodSeconds: 20 });
    const left = Date.parse(facts!.deletionTime!) - before;
    expect(Math.abs(left - 20_000)).toBeLessThan(10_000);
    expect(facts!.containers[0]).toMatchObject({ hasPreStop: true, preStopSeconds: 2 });
    const result = await api.exec(target('deleted'), ['true'], { deadlineSeconds: 10 });
    expect(result.exitCode).toBe(0);
    const changes = await followPods(
      source,
      cluster.namespace,
      ({ type, object }) => object.podName === 'deleted' && type === 'DELETED',
    );
    expect(changes.at(-1)!.object.containers[0]!.running).toBe(false);
  }, 60_000);
}
