import { describe, expect, it } from '@jest/globals';
import { decide } from '../../lib/policy/decide.ts';
import type { DecisionInput } from '../../lib/policy/decision-facts.ts';
import { leftoverDirectories } from '../../lib/policy/leftovers.ts';
import type { ContainerFacts, VolumeMountFacts } from '../../lib/policy/pod-facts.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import { container, noHistory, now, pod, signal } from './facts.ts';

const mount = (changes: Partial<VolumeMountFacts> = {}): VolumeMountFacts => ({
  volumeName: 'dumps',
  mountPath: '/dumps',
  readOnly: false,
  volumeType: 'emptyDir',
  ...changes,
});
const nextLife = (changes: Partial<ContainerFacts> = {}): ContainerFacts =>
  container({
    containerID: 'containerd://bbbb',
    restartCount: 1,
    startedTime: '2026-03-01T12:00:01Z',
    volumeMounts: [mount()],
    lastTermination: { reason: 'Error', exitCode: 3 },
    ...changes,
  });
const killed = { reason: 'Error', exitCode: 137 };
const decided = (changes: Partial<ContainerFacts> = {}, input: Partial<DecisionInput> = {}) =>
  decide({
    signal: signal({ reason: 'ContainerTerminated', numbers: {} }),
    pod: pod({ containers: [nextLife(changes)] }),
    history: noHistory,
    policy: defaultPolicy,
    now,
    ...input,
  });

describe('the end of a container', () => {
  it('leads to the collection of what it left, from its next life and without its evidence', () => {
    expect(decided()).toEqual({
      decision: 'dump',
      containerName: 'app',
      containerID: 'containerd://bbbb',
      captureId: expect.stringMatching(/^[a-z2-7]{32}$/),
      source: 'leftover',
      artifacts: ['heapDump', 'crashLog', 'gcLog', 'previousLog'],
      expectedBytes: Math.ceil(1.4 * 512 * 1024 ** 2),
    });
  });

  it.each([1, 3, 134, 137, 143])('is worth a look after exit code %i', (exitCode) => {
    expect(decided({ lastTermination: { reason: 'Error', exitCode } }).decision).toBe('dump');
  });

  it('is worth a look when nothing is known of the end', () => {
    const unknown = nextLife();
    delete unknown.lastTermination;

    expect(decided({}, { pod: pod({ containers: [unknown] }) }).decision).toBe('dump');
  });

  it.each([
    ['HeapAlreadyGone', { lastTermination: { reason: 'Completed', exitCode: 0 } }],
    ['HeapAlreadyGone', { volumeMounts: [], lastTermination: killed }],
    ['HeapAlreadyGone', { volumeMounts: [mount({ readOnly: true })], lastTermination: killed }],
    ['ContainerNotRunning', { running: false }],
    ['ContainerNotRunning', { containerID: 'containerd://aaaa' }],
  ])('is skipped with %s when the container is %j', (reason, changes) => {
    expect(decided(changes)).toMatchObject({ decision: 'skip', reason });
  });

  it.each([
    { ...defaultPolicy, leftovers: 'ignore' as const },
    { ...defaultPolicy, evidence: ['threads' as const] },
  ])('is skipped when the policy wants no leftovers, or nothing that one leaves', (policy) => {
    expect(decided({}, { policy })).toMatchObject({ reason: 'LeftoversNotWanted' });
  });

  it.each([{ volumeMounts: [] }, { containerName: 'app', running: false }])(
    'is put on record where nothing of it can be reached, if memory or the JVM is the cause: %j',
    (changes) => {
      const phase = 'volumeMounts' in changes ? 'Running' : 'Failed';
      const of = (lastTermination: NonNullable<ContainerFacts['lastTermination']>) => {
        const facts = pod({ phase, containers: [nextLife({ ...changes, lastTermination })] });
        return decided({}, { pod: facts });
      };

      expect(of({ reason: 'OOMKilled', exitCode: 137 })).toMatchObject({
        source: 'record',
        artifacts: ['previousLog'],
        expectedBytes: 0,
      });
      expect(of({ reason: 'Error', exitCode: 1 }).decision).toBe('skip');
    },
  );

  it('takes no text that cannot be redacted where dumps are', () => {
    const policy = { ...defaultPolicy, redact: 'primitiveArrays' as const };

    expect(decided({}, { policy })).toMatchObject({ artifacts: ['heapDump', 'gcLog'] });
  });

  it('does not ask for the output of a program that ended for another reason', () => {
    expect(decided({ lastTermination: killed })).toMatchObject({
      artifacts: ['heapDump', 'crashLog', 'gcLog'],
    });
  });

  it('asks neither for ready replicas nor for time before a kill', () => {
    const limits = { ...defaultPolicy.limits, minReadyReplicaCount: 9 };

    expect(decided({}, { policy: { ...defaultPolicy, limits } }).decision).toBe('dump');
  });

  it('finds its twin, by the life that ended or, where that is not told, by the one that began', () => {
    const history = (captureId: string) => ({
      acquireTimes: [],
      holderIdentity: captureId,
      leaseExpireTime: '2026-03-01T13:00:00Z',
    });
    const unnamed = signal({ reason: 'ContainerTerminated', numbers: {} });
    delete unnamed.containerID;
    for (const told of [signal({ reason: 'ContainerTerminated', numbers: {} }), unnamed]) {
      const first = decided({}, { signal: told });
      if (first.decision === 'skip') throw new Error(first.message);

      expect(decided({}, { signal: told, history: history(first.captureId) })).toMatchObject({
        reason: 'AlreadyCaptured',
      });
      expect(decided({}, { signal: told, history: history('another') })).toMatchObject({
        reason: 'LockHeld',
      });
    }
  });
});

describe('leftoverDirectories', () => {
  it('are the writable volumes, with what outlives the pod marked, 16 at most', () => {
    const mounts = [
      mount({ mountPath: '/memory', volumeType: 'memory' }),
      mount({ mountPath: '/host', volumeType: 'hostPath' }),
      mount({ mountPath: '/claim', volumeType: 'persistentVolumeClaim', subPath: 'cart' }),
      mount({ mountPath: '/secret', volumeType: 'other' }),
      mount({ mountPath: '/fixed', readOnly: true }),
    ];

    expect(leftoverDirectories(container({ volumeMounts: mounts }))).toEqual([
      { path: '/memory', outlivesPod: false },
      { path: '/host', outlivesPod: true },
      { path: '/claim', outlivesPod: true },
    ]);
    const many = Array.from({ length: 40 }, () => mount());
    expect(leftoverDirectories(container({ volumeMounts: many }))).toHaveLength(16);
  });
});
