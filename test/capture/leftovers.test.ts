import { beforeEach, describe, expect, it } from '@jest/globals';
import { sealCapture } from '../../lib/capture/seal.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import type { Manifest } from '../../lib/capture/manifest.ts';
import type { ContainerFacts } from '../../lib/policy/pod-facts.ts';
import { podFacts } from './fake-cluster.ts';
import { signal, startTime, World } from './world.ts';

const mount = {
  volumeName: 'dumps',
  mountPath: '/dumps',
  readOnly: false,
  volumeType: 'emptyDir',
  sizeLimitBytes: 1,
} as const;
const lastTermination = {
  reason: 'Error',
  exitCode: 3,
  startedTime: '2026-01-01T11:00:00Z',
  finishedTime: '2026-01-01T12:00:00Z',
};

describe('what an ended life left', () => {
  let world: World;
  const nextLife = (changes: Partial<ContainerFacts> = {}) =>
    podFacts(
      {},
      { containerID: 'containerd://c2', volumeMounts: [mount], lastTermination, ...changes },
    );
  const ended = (changes: Parameters<typeof signal>[0] = {}) =>
    startCapture(
      world.captureDeps(),
      signal({
        reason: 'ContainerTerminated',
        podUid: 'uid-1',
        containerName: 'app',
        containerID: 'containerd://c1',
        numbers: { exitCode: 3 },
        ...changes,
      }),
    );
  const seal = async (manifest: Partial<Manifest> = {}) => {
    await world.runAgent({ manifest });
    const { captureId, objectPrefix } = await world.record();
    return sealCapture(world.finishDeps(), { captureId, prefixes: [objectPrefix] });
  };

  beforeEach(() => {
    world = new World();
    world.cluster.pod = nextLife();
  });

  it('is ordered from an agent with the volumes and the end of that life, and nothing is asked of the JVM', async () => {
    const answer = await ended();

    expect(answer).toMatchObject({ decision: 'dump', reason: 'Started' });
    expect(answer.message).toContain('that its last life left (Error, exit code 3)');
    const ticket = world.ticket();
    // The tail of the output does not come from the pod.
    expect(ticket.evidence.map(({ artifact }) => artifact)).toEqual(['crashLog', 'gcLog']);
    expect(ticket.target.containerID).toBe('containerd://c2');
    // A size limit is no hindrance: nothing is written there.
    expect(ticket.heapDump?.directories).toEqual(['/dumps']);
    expect(ticket.leftovers).toEqual({
      directories: [{ path: '/dumps', outlivesPod: false }],
      termination: lastTermination,
    });
    expect(world.cluster.events).toEqual([]);
  });

  it('is indexed with the end of that life, and told on the pod', async () => {
    await ended();
    const leftover = { path: '/dumps/java_pid1.hprof', modifiedTime: startTime, bytes: 123_456 };

    expect(await seal({ leftover })).toMatchObject({ outcome: 'sealed', state: 'complete' });

    expect(world.indexEntries()).toMatchObject([
      {
        state: 'complete',
        why: {
          signalReason: 'ContainerTerminated',
          termination: { ...lastTermination, containerID: 'containerd://c1' },
        },
        how: { source: 'leftover', leftover },
      },
    ]);
    expect(world.cluster.events).toMatchObject([
      {
        reason: 'HeapDumpSaved',
        message: expect.stringContaining('left by the life that ended with exit code 3'),
      },
    ]);
  });

  it('is neither indexed nor told when there was nothing, and gives everything back', async () => {
    await ended();

    const sealed = await sealWithoutDump([]);

    expect(sealed).toMatchObject({
      state: 'failed',
      reason: expect.stringMatching(/^NothingLeft/),
    });
    expect([world.indexEntries(), world.cluster.events]).toEqual([[], []]);
    expect(world.objects.keysUnder('tickets/')).toEqual([]);
    expect((await world.claims.listOverdue(new Date('2030-01-01'), 100)).length).toBe(0);
  });

  it('is indexed as failed when the agent knows of a dump that could not be had', async () => {
    await ended();

    await sealWithoutDump([{ code: 'DumpPlaceUnavailable', message: 'in no volume' }]);

    expect(world.indexEntries()).toMatchObject([
      { state: 'failed', reason: 'DumpPlaceUnavailable: in no volume' },
    ]);
  });

  it('is collected once for one end', async () => {
    await ended();

    expect(await ended({ observedTime: '2026-01-01T11:52:00Z' })).toMatchObject({
      reason: 'AlreadyCaptured',
    });
  });

  it('neither waits for a live dump of the workload, its cooldown or its slots, nor the other way round', async () => {
    const live = await startCapture(world.captureDeps(), signal());
    const during = await ended();
    await seal();
    world.cluster.pod = podFacts({ podName: 'other-1', workload: { kind: 'Job', name: 'other' } });
    const another = { podName: 'other-1', containerID: 'containerd://c1' };

    expect([live.reason, during.reason]).toEqual(['Started', 'Started']);
    expect(await world.lockHolder()).toBe(live.captureId);
    await expect(startCapture(world.captureDeps(), signal(another))).resolves.toMatchObject({
      reason: 'NodeBusy',
    });
  });

  it('waits for the node’s slot when another pod’s leftovers are being collected there', async () => {
    await ended();
    world.cluster.pod = { ...nextLife(), podName: 'cart-2', podUid: 'uid-2' };

    await expect(ended({ podName: 'cart-2', podUid: 'uid-2' })).rejects.toMatchObject({
      code: 'LeftoversWait',
      retryable: true,
    });
  });

  it('waits while what the life before left is still being collected', async () => {
    await ended();

    await expect(ended({ containerID: 'containerd://c0' })).rejects.toMatchObject({
      code: 'LeftoversWait',
    });
  });

  it('names the capture that may still be at work on its file', async () => {
    const live = await startCapture(world.captureDeps(), signal());

    await ended();

    expect(world.ticket().leftovers?.heldCaptureId).toBe(live.captureId);
  });

  it('is left alone by ephemeral containers in a container that ends again and again', async () => {
    world.cluster.nodeAgent = undefined;
    world.cluster.pod = nextLife({ restartCount: 6 });
    const refused = await ended();

    world.cluster.pod = nextLife({ restartCount: 5 });
    const started = await ended();

    expect(refused).toMatchObject({ reason: 'NoUsableRung' });
    expect(refused.message).toContain('TooManyRestarts: 6');
    expect(started).toMatchObject({ reason: 'Started', rung: 'ephemeralContainer' });
    expect(world.cluster.ephemeralAgents[0]?.volumeMounts).toEqual([
      { volumeName: 'dumps', mountPath: '/dumps' },
    ]);
  });

  async function sealWithoutDump(faults: Manifest['faults']) {
    const ticket = world.ticket();
    const { captureId, fencingToken, rung } = ticket;
    const manifest = { schemaVersion: 1, captureId, fencingToken, rung, agentVersion: '0.1.0' };
    const times = { startTime, endTime: startTime };
    const body = JSON.stringify({ ...manifest, times, evidence: [], faults });
    await world.objects.putByUrl(ticket.manifestUrl, Buffer.from(body));
    const { objectPrefix } = await world.record();
    return sealCapture(world.finishDeps(), { captureId, prefixes: [objectPrefix] });
  }
});
