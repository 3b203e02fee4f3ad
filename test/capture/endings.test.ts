import { beforeEach, describe, expect, it } from '@jest/globals';
import { sealCapture } from '../../lib/capture/seal.ts';
import { storePreviousLog } from '../../lib/capture/previous-log.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import type { Manifest } from '../../lib/capture/manifest.ts';
import { CaptureError } from '../../lib/errors.ts';
import type { ContainerFacts, PodFacts } from '../../lib/policy/pod-facts.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import { podFacts } from './fake-cluster.ts';
import { json, signal, startTime, World } from './world.ts';

const mount = {
  volumeName: 'dumps',
  mountPath: '/dumps',
  readOnly: false,
  volumeType: 'emptyDir',
} as const;
const outgrown = {
  reason: 'OOMKilled',
  exitCode: 137,
  startedTime: '2026-01-01T11:00:00Z',
  finishedTime: '2026-01-01T12:00:00Z',
};
const times = { startTime, jvmFoundTime: startTime, endTime: startTime };

describe('the end of a life', () => {
  let world: World;
  const lives = (container: Partial<ContainerFacts> = {}, pod: Partial<PodFacts> = {}): void => {
    const next = { containerID: 'containerd://c2', volumeMounts: [mount] };
    world.cluster.pod = podFacts(pod, { ...next, lastTermination: outgrown, ...container });
  };
  const told = (changes: Parameters<typeof signal>[0] = {}) =>
    startCapture(
      world.captureDeps(),
      signal({
        ...{ reason: 'ContainerTerminated', podUid: 'uid-1', containerName: 'app' },
        ...{ containerID: 'containerd://c1', numbers: { exitCode: 137, heapUsedPercent: 30 } },
        ...changes,
      }),
    );
  const seal = async (captureId = '') => {
    const record = await world.claims.readCapture(captureId);
    return sealCapture(world.finishDeps(), { captureId, prefixes: [record!.objectPrefix] });
  };
  /** An agent that finds no dump. */
  const sealed = async (changes: Partial<Manifest> = {}) => {
    const { manifestUrl, captureId, fencingToken, rung } = world.ticket();
    const manifest = { schemaVersion: 1, captureId, fencingToken, rung, agentVersion: '0.1.0' };
    const body = { ...manifest, times, evidence: [], faults: [], ...changes };
    await world.objects.putByUrl(manifestUrl, json(body));
    return seal(captureId);
  };

  beforeEach(() => {
    world = new World();
    world.cluster.previousLog = Buffer.from('the last words\n');
    lives();
  });

  it('is indexed with its cause, its numbers and the tail of its output, though nothing was left', async () => {
    await told();
    await sealed();

    expect(world.indexEntries()).toMatchObject([
      {
        state: 'evidence-only',
        reason: expect.stringMatching(/^NoHeapDumpLeft: the kernel killed it/),
        why: {
          numbers: { heapUsedPercent: 30 },
          ending: { cause: 'offHeap', explanation: expect.stringContaining('heap used 30 %') },
        },
        objects: { evidence: [{ artifact: 'previousLog', bytes: 15 }] },
      },
    ]);
    expect(world.cluster.logReads).toMatchObject([{ containerName: 'app', previous: true }]);
    expect(world.cluster.events).toMatchObject([
      { message: expect.stringContaining('exit code 137 (offHeap)') },
    ]);
  });

  it('is judged by the crash log, and shows what that says', async () => {
    await told({ numbers: { exitCode: 134 } });
    const crash = { kind: 'javaOutOfMemory', cause: 'OutOfMemory encountered' } as const;
    await sealed({ crash });

    expect(world.indexEntries()).toMatchObject([{ why: { ending: { cause: 'heap' }, crash } }]);
  });

  it.each([
    ['heap', 'java_pid1.hprof', '2026-01-01T11:30:00Z'],
    ['unknown', 'java_pid1.hprof', '2026-01-01T10:30:00Z'],
    ['unknown', 'heapcatch-abcdefghijklmnop-1.hprof', '2026-01-01T11:30:00Z'],
    ['unknown', 'by-hand.hprof', '2026-01-01T11:30:00Z'],
  ])('is of cause %s where %s of %s was left', async (cause, name, modifiedTime) => {
    lives({ lastTermination: { ...outgrown, reason: 'Error' } });
    await told({ numbers: { exitCode: 137 } });
    const leftover = { path: `/dumps/${name}`, modifiedTime, bytes: 1_000 };
    await world.runAgent({ manifest: { leftover, times } });
    await seal(world.ticket().captureId);

    expect(world.indexEntries()).toMatchObject([{ why: { ending: { cause } } }]);
  });

  it('is nobody’s business when no JVM was seen, and none of its output is read', async () => {
    await told();
    await sealed({ times: { startTime, endTime: startTime } });

    expect([world.indexEntries(), world.cluster.logReads]).toEqual([[], []]);
  });

  it('has no output taken when the policy wants none, dumps are redacted or encrypted, or it ended once more', async () => {
    const policies = [
      { ...defaultPolicy, evidence: ['heapDump' as const] },
      { ...defaultPolicy, redact: 'primitiveArrays' as const },
    ];
    for (const policy of policies) {
      world = new World();
      lives();
      await told({ policy });
      await sealed();
      expect([policy.evidence, world.cluster.logReads]).toEqual([policy.evidence, []]);
    }
    world = new World();
    lives();
    await told();
    const record = await world.record();
    const encrypted = { ...record, policy: { ...record.policy, encrypt: true } };
    await storePreviousLog(world.finishDeps(), encrypted);
    lives({ lastTermination: { ...outgrown, finishedTime: '2026-01-01T12:00:30Z' } });
    await sealed();
    expect(world.cluster.logReads).toEqual([]);
  });

  it('is indexed all the same when the functions may not read what it printed', async () => {
    world.cluster.previousLog = new CaptureError('ClusterForbidden', 'cannot get pods/log');
    await told();
    await sealed();

    expect(world.indexEntries()).toMatchObject([{ state: 'failed', faults: [] }]);
    expect(world.logLines.join('')).toContain('ClusterForbidden');
  });

  it.each<[string, Partial<ContainerFacts>, Partial<PodFacts>, Parameters<typeof signal>[0]]>([
    ['the container has no volume', { volumeMounts: [] }, {}, {}],
    ['nothing runs again in the pod', { running: false }, { phase: 'Failed' }, {}],
    [
      'the pod was evicted',
      { running: false },
      { phase: 'Failed' },
      {
        reason: 'PodEvicted',
        ending: {
          ...{ cause: 'eviction', explanation: '' },
          evictionMessage: 'The node was low on resource: memory.',
        },
      },
    ],
  ])('is put on record without an agent where %s', async (_where, container, pod, changes) => {
    lives(container, pod);

    const answer = await told(changes);
    const end = await seal(answer.captureId);

    expect(answer).toMatchObject({ decision: 'dump', reason: 'Recorded' });
    expect([world.cluster.execCommands, world.cluster.ephemeralAgents]).toEqual([[], []]);
    expect(end).toMatchObject({ outcome: 'sealed', state: 'evidence-only' });
    const cause = changes?.reason === 'PodEvicted' ? 'nodeMemory' : 'offHeap';
    expect(world.indexEntries()).toMatchObject([
      {
        why: { ending: { cause } },
        how: { source: 'leftover', refusedRungs: {} },
        objects: { evidence: [{ artifact: 'previousLog' }] },
      },
    ]);
    expect(world.indexEntries()[0]?.how).not.toHaveProperty('rung');
    expect((await world.claims.listOverdue(new Date('2030-01-01'), 100)).length).toBe(0);
    expect(await told(changes)).toMatchObject({ reason: 'AlreadyCaptured' });
  });

  it('counts evictions of one workload together, so that a node short of memory fills no index', async () => {
    const evict = async (number: number) => {
      const names = { podName: `cart-${number}`, podUid: `uid-${number}` };
      lives({ running: false }, { phase: 'Failed', ...names });
      const answer = await told({ reason: 'PodEvicted', ...names });
      if (answer.reason === 'Recorded') await seal(answer.captureId);
      return answer.reason;
    };
    const reasons = [];
    for (const number of [1, 2, 3, 4, 5]) reasons.push(await evict(number));

    expect(reasons).toEqual(['Recorded', 'Recorded', 'Recorded', 'Recorded', 'RateLimited']);
  });

  it('is shown by the capture of the next life, while that one is watched', async () => {
    const lastEnd = { cause: 'heap', endTime: '2026-01-01T11:50:00.000Z' } as const;
    await startCapture(world.captureDeps(), signal({ lastEnd }));
    await world.runAgent();
    await seal(world.ticket().captureId);

    expect(world.indexEntries()[0]?.why.watch).toEqual({
      ...lastEnd,
      untilTime: '2026-01-01T12:20:00.000Z',
    });
  });
});
