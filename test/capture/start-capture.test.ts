import { beforeEach, describe, expect, it } from '@jest/globals';
import { releaseClaim } from '../../lib/capture/release-claim.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import { CaptureError } from '../../lib/errors.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import { podFacts } from './fake-cluster.ts';
import { signal, World } from './world.ts';

const unavailable = (code: 'ClaimStoreUnavailable' | 'ObjectStoreUnavailable'): CaptureError =>
  new CaptureError(code, 'throttled', { retryable: true });

describe('startCapture', () => {
  let world: World;
  const start = (changes: Parameters<typeof signal>[0] = {}) =>
    startCapture(world.captureDeps(), signal(changes));

  beforeEach(() => {
    world = new World();
  });

  it('claims, writes the ticket and starts the node agent with the ticket’s URL on stdin', async () => {
    const answer = await start();

    expect(answer).toMatchObject({ decision: 'dump', reason: 'Started', rung: 'nodeAgent' });
    const ticket = world.ticket();
    const record = await world.record();
    expect(record).toMatchObject({ state: 'started', started: { rung: 'nodeAgent' } });
    expect(ticket).toMatchObject({
      captureId: record.captureId,
      fencingToken: record.fencingToken,
      captureDeadlineTime: record.captureDeadlineTime,
      startDeadlineTime: '2026-01-01T12:05:00.000Z',
      target: { podUid: 'uid-1', containerID: 'containerd://c1' },
    });
    expect(ticket.evidence.map(({ artifact }) => artifact)).toEqual([
      'processFacts',
      'heapInfo',
      'threads',
      'nativeMemory',
      'classHistogram',
    ]);
    expect(ticket.heapDump?.directories).toEqual(['/tmp']);
    expect(world.cluster.execCommands).toEqual([['/heapcatch/agent', 'start']]);
    expect(world.cluster.events).toMatchObject([{ reason: 'HeapDumpStarted', type: 'Normal' }]);
  });

  it('writes no secret of a URL to the log, to Events or to the answer', async () => {
    const answer = await start();

    const told = [JSON.stringify(answer), JSON.stringify(world.cluster.events), ...world.logLines];
    expect(told.join('\n')).not.toMatch(/signature=secret/);
  });

  it('logs a decision once, with its reason', async () => {
    await start();

    const decisions = world.logLines.filter((line) => line.includes('"message":"decision"'));
    expect(decisions).toHaveLength(1);
    expect(decisions[0]).toContain('"reason":"Started"');
  });

  it('counts a signal in the line that tells its decision, and no question', async () => {
    await start();
    const counted = JSON.parse(
      world.logLines.find((line) => line.includes('"message":"decision"'))!,
    ) as Record<string, unknown> & {
      _aws: { CloudWatchMetrics: { Dimensions: string[][]; Metrics: { Name: string }[] }[] };
    };
    world.logLines.length = 0;
    await start({ dryRun: true });

    const [{ Dimensions, Metrics } = { Dimensions: [], Metrics: [] }] =
      counted._aws.CloudWatchMetrics;
    expect(Metrics.map(({ Name }) => Name)).toEqual(['signals', 'answerSeconds']);
    expect(counted).toMatchObject({ signals: 1, answerSeconds: expect.any(Number) });
    // What a set of dimensions names must stand in the line; the functions' loggers add the stage.
    const named = Dimensions.flat().filter((name) => name !== 'stage');
    for (const name of named) expect(typeof counted[name]).toBe('string');
    expect(world.logLines.filter((line) => line.includes('_aws'))).toEqual([]);
  });

  it('only answers in a dry run', async () => {
    const answer = await start({ dryRun: true });

    expect(answer).toMatchObject({ decision: 'dump', reason: 'DryRun', rung: 'nodeAgent' });
    expect(await world.lockHolder()).toBeUndefined();
    expect(world.objects.uploads.size + world.objects.objects.size).toBe(0);
    expect(world.cluster.events).toEqual([]);
  });

  it('meets its twin when the same signal comes again', async () => {
    await start();
    world.advance(5);

    const answer = await start();

    expect(answer).toMatchObject({ decision: 'skip', reason: 'AlreadyCaptured' });
    expect(world.cluster.execCommands).toHaveLength(1);
    expect(world.cluster.events).toHaveLength(1);
  });

  it('starts exactly one agent when the same signal comes twice at once', async () => {
    const answers = await Promise.allSettled([start(), start()]);

    expect(world.cluster.execCommands).toHaveLength(1);
    const reasons = answers.map((answer) =>
      answer.status === 'fulfilled' ? answer.value.reason : (answer.reason as CaptureError).code,
    );
    expect(reasons).toContain('Started');
    expect(['AlreadyCaptured', 'ClaimUnsettled']).toContain(reasons.find((r) => r !== 'Started'));
  });

  it('says LockHeld of another replica, and shows it on that pod', async () => {
    await start();
    world.cluster.pod = podFacts({ podName: 'cart-2', podUid: 'uid-2' });

    const answer = await start({ podName: 'cart-2' });

    expect(answer).toMatchObject({ decision: 'skip', reason: 'LockHeld' });
    expect(world.cluster.events[1]).toMatchObject({ reason: 'HeapDumpSkipped' });
    expect(world.cluster.events[1]?.message).toMatch(/^LockHeld: /);
  });

  it('tells a hook that waits why there is no dump, which of a mere deletion would be noise', async () => {
    world.cluster.pod = podFacts({
      deletionTime: new Date(world.nowMillis + 20_000).toISOString(),
    });
    for (const reason of ['PodDeleting', 'PreStop'] as const) {
      const answer = await start({ reason, numbers: {} });
      expect(answer).toMatchObject({ decision: 'skip', reason: 'DeletedHealthy' });
    }

    expect(world.cluster.events).toMatchObject([
      { reason: 'HeapDumpSkipped', message: expect.stringMatching(/^DeletedHealthy: /) as unknown },
    ]);
  });

  describe('of another replica while the workload’s lock is held', () => {
    const noCooldown = {
      ...defaultPolicy,
      limits: { ...defaultPolicy.limits, cooldownSeconds: 0 },
    };
    let turnCount: number;
    /** The first replica's capture ends after so many looks at the lock. */
    const startSecond = async (freedAfter: number, policy = noCooldown) => {
      await start({ policy });
      const held = await world.record();
      world.cluster.pod = podFacts({ podName: 'cart-2', podUid: 'uid-2' });
      const pauseTurn = async (): Promise<void> => {
        turnCount += 1;
        world.advance(1);
        if (turnCount === freedAfter) {
          await releaseClaim(world.captureDeps(), held, held.started?.uploadId, 'freed');
        }
      };
      return startCapture(
        { ...world.captureDeps(), pauseTurn },
        signal({ podName: 'cart-2', policy }),
      );
    };

    beforeEach(() => {
      turnCount = 0;
    });

    it('waits for its turn where the policy has no cooldown', async () => {
      expect(await startSecond(3)).toMatchObject({ decision: 'dump', reason: 'Started' });
      expect(turnCount).toBe(3);
    });

    it('says LockHeld when its turn does not come in time', async () => {
      expect(await startSecond(100)).toMatchObject({ decision: 'skip', reason: 'LockHeld' });
      expect(turnCount).toBe(25);
    });

    it('does not wait for a lock that a cooldown follows', async () => {
      expect(await startSecond(1, defaultPolicy)).toMatchObject({ reason: 'LockHeld' });
      expect(turnCount).toBe(0);
    });

    it('does not wait when the function has no time left for a start', async () => {
      world.remainingMillis = 29_000;

      expect(await startSecond(1)).toMatchObject({ reason: 'LockHeld' });
    });
  });

  it.each([
    ['PodNotFound', undefined, {}],
    ['PodReplaced', podFacts({ podUid: 'uid-9' }), { podUid: 'uid-1' }],
    ['ContainerNotFound', podFacts(), { containerName: 'other' }],
    ['ContainerRestarted', podFacts(), { containerID: 'containerd://old' }],
    ['ContainerNotRunning', podFacts({}, { running: false }), {}],
    ['PolicyDisabled', podFacts({ annotations: { 'heapcatch.dev/enabled': 'false' } }), {}],
    ['StartupProbeFailing', podFacts(), { reason: 'StartupProbeFailing' as const }],
    ['ReadinessProbeFailing', podFacts(), { reason: 'ReadinessProbeFailing' as const }],
    ['HeapAlreadyGone', podFacts(), { reason: 'ContainerTerminated' as const }],
  ])('skips with %s, and claims nothing', async (reason, pod, changes) => {
    world.cluster.pod = pod;

    const answer = await start(changes);

    expect(answer).toMatchObject({ decision: 'skip', reason });
    expect(await world.lockHolder()).toBeUndefined();
    expect(world.objects.uploads.size).toBe(0);
    expect(world.cluster.execCommands).toEqual([]);
  });

  it('posts no Event for what comes with every probe', async () => {
    await start({ reason: 'ReadinessProbeFailing' });
    await start({ reason: 'ContainerTerminated' });

    expect(world.cluster.events).toEqual([]);
  });

  it('answers faulty annotations with all of them, as an Event on the pod', async () => {
    world.cluster.pod = podFacts({ annotations: { 'heapcatch.dev/cooldwon': '1' } });

    const answer = await start();

    expect(answer).toMatchObject({ decision: 'failed', reason: 'InvalidPolicy' });
    expect(world.cluster.events).toMatchObject([{ type: 'Warning', reason: 'CaptureFailed' }]);
  });

  it('orders redaction as the pod says, also when the signal brings a policy that does not know', async () => {
    world.cluster.pod = podFacts({ annotations: { 'heapcatch.dev/redact': 'primitiveArrays' } });

    await start({ policy: defaultPolicy });

    expect(world.ticket().heapDump?.redact).toBe('primitiveArrays');
    expect((await world.record()).policy.redact).toBe('primitiveArrays');
  });

  it('orders no redaction unless it is asked for', async () => {
    await start();

    expect(world.ticket().heapDump).not.toHaveProperty('redact');
  });

  it('lets the agent wait for the JVM where no kill is expected', async () => {
    await start({ reason: 'Manual' });
    expect(world.ticket().heapDump?.mayWait).toBe(true);

    world = new World();
    await start({ reason: 'LivenessProbeFailing', numbers: { failureCount: 3 } });
    expect(world.ticket().heapDump).not.toHaveProperty('mayWait');
  });

  it('takes no claim when there is no way to the JVM', async () => {
    world.cluster.nodeAgent = undefined;
    world.cluster.pod = podFacts({}, { runAsUser: 0 });

    const answer = await start();

    expect(answer).toMatchObject({ decision: 'skip', reason: 'NoUsableRung' });
    expect(answer.message).toContain('ephemeralContainer: RunsAsRoot');
    expect(await world.lockHolder()).toBeUndefined();
  });

  it('captures the evidence where no place can take the dump, and says why', async () => {
    world.cluster.pod = podFacts({}, { readOnlyRootFilesystem: true });

    const answer = await start();

    expect(answer.message).toContain(
      'no heap dump (NoDumpDirectory); /tmp: RootFilesystemReadOnly',
    );
    expect(world.ticket().heapDump).toBeUndefined();
    expect((await world.record()).started).toMatchObject({ heapDumpRefusal: 'NoDumpDirectory' });
    expect(world.objects.uploads.size).toBe(0);
  });

  it('splits the agent where the dump lies in a volume: only the attacher ends with the JVM', async () => {
    world.cluster.nodeAgent = undefined;
    const scratch = { volumeName: 'scratch', mountPath: '/scratch', readOnly: false };
    const volumeMounts = [{ ...scratch, volumeType: 'emptyDir' as const }];
    world.cluster.pod = podFacts({}, { volumeMounts });

    const answer = await start();

    expect(answer).toMatchObject({ reason: 'Started', rung: 'ephemeralContainer' });
    const [uploader, attacher, ...others] = world.cluster.ephemeralAgents;
    const common = {
      ...{ runAsUser: 1000, runAsGroup: 1000 },
      volumeMounts: [{ volumeName: 'scratch', mountPath: '/scratch' }],
    };
    expect(uploader).toMatchObject(common);
    expect(uploader?.targetContainerName).toBeUndefined();
    expect(uploader?.containerName).toMatch(/^heapcatch-[a-z2-7]{10}$/);
    expect(attacher).toMatchObject({ ...common, targetContainerName: 'app', args: ['attach'] });
    expect(attacher?.containerName).toBe(`${uploader?.containerName}-attach`);
    expect(others).toEqual([]);
    expect(world.ticket().rung).toBe('ephemeralContainer');
  });

  it('gives the attacher what it shares with the uploader, and no URL', async () => {
    world.cluster.nodeAgent = undefined;
    const scratch = { volumeName: 'scratch', mountPath: '/scratch', readOnly: false };
    world.cluster.pod = podFacts(
      {},
      { volumeMounts: [{ ...scratch, volumeType: 'emptyDir' as const }] },
    );

    await start();

    const [uploader, attacher] = world.cluster.ephemeralAgents;
    const { HEAPCATCH_TICKET_URL: ticketUrl, ...shared } = uploader!.env;
    expect(ticketUrl).toMatch(/^https?:/);
    expect(attacher!.env).toEqual(shared);
    expect(shared).toMatchObject({
      HEAPCATCH_ATTACHER_KEY: expect.stringMatching(/^[0-9a-f]{64}$/),
      HEAPCATCH_ATTACHER_DIRECTORIES: '/scratch',
      HEAPCATCH_CONTAINER_ID: world.ticket().target.containerID,
    });
  });

  it.each([
    ['no volume', []],
    ['a volume that other pods can mount', [{ volumeType: 'persistentVolumeClaim' as const }]],
    ['a subPath of a volume', [{ volumeType: 'emptyDir' as const, subPath: 'a' }]],
  ])('starts one agent beside the JVM where the dump can lie in %s only', async (_case, mounts) => {
    world.cluster.nodeAgent = undefined;
    const scratch = { volumeName: 'scratch', mountPath: '/scratch', readOnly: false };
    const volumeMounts = mounts.map((mount) => ({ ...scratch, ...mount }));
    world.cluster.pod = podFacts({}, { volumeMounts });

    await start();

    expect(world.cluster.ephemeralAgents).toHaveLength(1);
    expect(world.cluster.ephemeralAgents[0]).toMatchObject({
      targetContainerName: 'app',
      env: { HEAPCATCH_TICKET_URL: expect.any(String) },
    });
    expect(world.cluster.ephemeralAgents[0]?.env['HEAPCATCH_ATTACHER_KEY']).toBeUndefined();
  });

  it('goes on to the ephemeral container when the node agent refuses', async () => {
    const stdout = '{"outcome":"refused","reason":"Busy","message":"two captures run"}\n';
    world.cluster.execResult = { exitCode: 3, stdout, stderr: '' };

    const answer = await start();

    expect(answer).toMatchObject({ reason: 'Started', rung: 'ephemeralContainer' });
    expect(world.ticket().rung).toBe('ephemeralContainer');
    expect((await world.record()).started).toMatchObject({
      rung: 'ephemeralContainer',
      refusedRungs: { nodeAgent: 'Busy' },
    });
  });

  it('starts no further rung once the claim is lost', async () => {
    const stdout = '{"outcome":"refused","reason":"Busy","message":"two captures run"}\n';
    world.cluster.execResult = { exitCode: 3, stdout, stderr: '' };
    const { claims } = world;
    const marked: string[] = [];
    world.claims = {
      ...claims,
      markStarted: async (captureId, fencingToken, started) => {
        marked.push(started.rung);
        return marked.length === 1 && claims.markStarted(captureId, fencingToken, started);
      },
    };

    const answer = await start();

    expect(marked).toEqual(['nodeAgent', 'ephemeralContainer']);
    expect(answer).toMatchObject({ decision: 'failed', reason: 'ClaimLost' });
    expect(world.cluster.ephemeralAgents).toEqual([]);
  });

  it('starts nothing in a pod that was replaced after the claim, and gives the claim back', async () => {
    world.cluster.beforeStart = () => (world.cluster.pod = podFacts({ podUid: 'uid-2' }));

    const answer = await start();

    expect(answer).toMatchObject({ decision: 'failed', reason: 'PodAlreadyReplaced' });
    await expectGivenBack();
  });

  it('gives the claim back when every rung refuses, such as an expired ticket', async () => {
    const stdout = '{"outcome":"refused","reason":"TicketExpired","message":"too late"}\n';
    world.cluster.execResult = { exitCode: 3, stdout, stderr: '' };
    world.cluster.ephemeralResults = [new CaptureError('ClusterForbidden', 'may not patch')];

    const answer = await start();

    expect(answer).toMatchObject({ decision: 'failed', reason: 'TicketExpired' });
    expect(answer.message).toContain('may not patch');
    await expectGivenBack();
  });

  it('throws what can pass, so that a retry claims anew and captures', async () => {
    world.cluster.execFault = new CaptureError('ClusterUnavailable', 'down', { retryable: true });
    world.cluster.pod = podFacts({}, { runAsUser: 0 });
    await expect(start()).rejects.toMatchObject({ code: 'ClusterUnavailable', retryable: true });
    await expectGivenBack();
    world.cluster.execFault = undefined;
    world.advance(60);

    const answer = await start();

    expect(answer).toMatchObject({ decision: 'dump', reason: 'Started' });
  });

  it('asks once more when the reply of the start is lost, and then leaves it to seal and sweep', async () => {
    world.cluster.execResult = { exitCode: undefined, stdout: '', stderr: '' };

    const answer = await start();

    expect(answer).toMatchObject({ decision: 'dump', reason: 'StartUnconfirmed' });
    expect(world.cluster.execCommands).toHaveLength(2);
    expect(world.cluster.ephemeralAgents).toEqual([]);
    expect((await world.record()).state).toBe('started');
  });

  it('adds the ephemeral container again when the reply is lost, and believes a twin', async () => {
    world.cluster.nodeAgent = undefined;
    const lost = new CaptureError('ClusterUnavailable', 'timed out', { retryable: true });
    world.cluster.ephemeralResults = [lost, 'exists'];

    const answer = await start();

    expect(answer).toMatchObject({ reason: 'Started', rung: 'ephemeralContainer' });
  });

  it('writes nothing when DynamoDB throttles the claim', async () => {
    const { claims } = world;
    world.claims = {
      ...claims,
      tryAcquire: () => Promise.reject(unavailable('ClaimStoreUnavailable')),
    };

    await expect(start()).rejects.toMatchObject({ code: 'ClaimStoreUnavailable' });

    expect(world.objects.uploads.size + world.objects.objects.size).toBe(0);
  });

  it('gives the claim back when S3 fails between claim and start', async () => {
    world.objects.createMultipartUpload = () =>
      Promise.reject(unavailable('ObjectStoreUnavailable'));

    await expect(start()).rejects.toMatchObject({ code: 'ObjectStoreUnavailable' });

    await expectGivenBack();
  });

  it('starts no agent when the function would be stopped within the start', async () => {
    world.remainingMillis = 5_500;

    await expect(start()).rejects.toMatchObject({ code: 'DeadlineExceeded', retryable: true });

    expect(world.cluster.execCommands).toEqual([]);
    await expectGivenBack();
  });

  it('does not look for node agents where it may not, and takes another rung', async () => {
    world.cluster.findNodeAgent = () =>
      Promise.reject(new CaptureError('ClusterForbidden', 'may not list pods'));

    const answer = await start();

    expect(answer).toMatchObject({ reason: 'Started', rung: 'ephemeralContainer' });
    expect((await world.record()).started?.refusedRungs.nodeAgent).toBe('ClusterForbidden');
  });

  it('answers though the Event cannot be posted', async () => {
    world.cluster.postPodEvent = () => Promise.reject(new CaptureError('ClusterForbidden', 'no'));

    const answer = await start();

    expect(answer.reason).toBe('Started');
  });

  /** Lock free, no upload, no ticket, no index entry, and the cooldown not begun. */
  async function expectGivenBack(): Promise<void> {
    expect(await world.lockHolder()).toBeUndefined();
    expect(world.objects.uploads.size).toBe(0);
    expect([...world.objects.objects.keys()]).toEqual([]);
  }
});

describe('startCapture after a run that died between claim and start', () => {
  async function dieBeforeStart(world: World): Promise<void> {
    world.claims = { ...world.claims, markStarted: () => new Promise(() => undefined) };
    void startCapture(world.captureDeps(), signal());
    while (world.objects.uploads.size === 0) await new Promise((resolve) => setImmediate(resolve));
  }

  it('waits while that run may live, then takes the claim back and captures', async () => {
    const world = new World();
    const { claims } = world;
    await dieBeforeStart(world);
    world.claims = claims;
    world.advance(60);
    await expect(startCapture(world.captureDeps(), signal())).rejects.toMatchObject({
      code: 'ClaimUnsettled',
      retryable: true,
    });
    world.advance(60);

    const answer = await startCapture(world.captureDeps(), signal());

    expect(answer).toMatchObject({ decision: 'dump', reason: 'Started' });
    expect((await world.record()).fencingToken).toBe(2);
  });

  it('takes it back once when two retries come at once', async () => {
    const world = new World();
    const { claims } = world;
    await dieBeforeStart(world);
    world.claims = claims;
    world.advance(120);

    await Promise.allSettled([1, 2].map(() => startCapture(world.captureDeps(), signal())));

    expect(world.cluster.execCommands).toHaveLength(1);
  });
});
