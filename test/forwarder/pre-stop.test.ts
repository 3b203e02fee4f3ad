import { describe, expect, it } from '@jest/globals';
import { CapturesSeen } from '../../lib/forwarder/captures-seen.ts';
import { Endings } from '../../lib/forwarder/endings.ts';
import { createForwarderMetrics } from '../../lib/forwarder/metrics.ts';
import { PodPolicies } from '../../lib/forwarder/pod-policies.ts';
import { PreStopHolds } from '../../lib/forwarder/pre-stop.ts';
import type { MetricSample } from '../../lib/policy/thresholds.ts';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';
import { captureIdOf } from '../../lib/signal/capture-id.ts';
import type { CaptureWord } from '../../lib/signal/capture-word.ts';
import { aPod, aSignal, anIntake, FakeTime, recordingLog, startTime } from './fakes.ts';

const at = (seconds: number): string =>
  new Date(startTime.getTime() + seconds * 1_000).toISOString();
const caller = { namespace: 'shop', podName: 'cart-1', podUid: 'uid-1' };
const captureId = captureIdOf({
  ...{ clusterName: 'test', podUid: 'uid-1', containerName: 'app' },
  ...{ containerID: 'containerd://abc', reason: 'PreStop', observedTime: at(0) },
});
const word = (reason: CaptureWord['reason'], seconds = 0, id = captureId): CaptureWord => ({
  ...caller,
  ...{ captureId: id, reason, message: `${reason} it is`, time: at(seconds) },
});

/** A pod that is being deleted, and unready unless told. */
function setUp(
  facts: Partial<PodFacts> = {},
  { samples = [], killed = true }: { samples?: MetricSample[]; killed?: boolean } = {},
) {
  const deletion = { deletionTime: at(60), deletionGracePeriodSeconds: 60 };
  const pod = aPod({ ready: false, ...deletion, ...facts });
  const { intake, pods, sent } = anIntake([pod]);
  const { log } = recordingLog();
  const endings = new Endings({ pods, history: { of: () => samples } });
  if (killed) endings.complete(aSignal({ reason: 'PodDeleting' }));
  const captures = new CapturesSeen();
  const time = new FakeTime();
  const policies = new PodPolicies({ metrics: createForwarderMetrics(), log });
  const holds = new PreStopHolds({
    ...{ clusterName: 'test', pods, policies, endings, captures, intake, time, log },
  });
  const ask = (waitSeconds = 0, containerName?: string, who = caller) =>
    holds.answer(who, { containerName, waitSeconds }, new AbortController().signal);
  return { ask, captures, endings, pods, sent, time, pod };
}

describe('a preStop hook', () => {
  it('asks for a dump of its own pod, once, and is held until the capture has ended', async () => {
    const { ask, captures, sent } = setUp();

    expect(await ask()).toMatchObject({ hold: true, reason: 'Asked', captureId });
    captures.heard(word('HeapDumpStarted'));
    expect(await ask()).toMatchObject({ hold: true, reason: 'Capturing', captureId });
    captures.heard(word('HeapDumpSaved', 1));
    expect(await ask()).toMatchObject({ hold: false, reason: 'Captured', captureId });
    expect(sent).toMatchObject([{ reason: 'PreStop', podUid: 'uid-1', containerName: 'app' }]);
  });

  it('is let go when the JVM has written its dump, before that is stored', async () => {
    const { ask, captures } = setUp();
    await ask();
    captures.heard(word('HeapDumpStarted'));
    captures.jvmReleased('uid-1', captureId);

    expect(await ask()).toMatchObject({ hold: false, reason: 'JvmReleased' });
  });

  it('answers as soon as there is a word, and at the end of the wait', async () => {
    const { ask, captures, time } = setUp();
    await ask();
    captures.heard(word('HeapDumpStarted'));
    const first = ask(20);
    await time.advance(20_000);
    expect(await first).toMatchObject({ hold: true, reason: 'Capturing' });

    const second = ask(20);
    await time.advance(100);
    captures.heard(word('EvidenceSaved', 21));
    expect(await second).toMatchObject({ hold: false, reason: 'Captured' });
  });

  it('is let go at once by a pod that is healthy, and sends nothing', async () => {
    const { ask, sent } = setUp({ ready: true });

    expect(await ask()).toMatchObject({
      ...{ hold: false, reason: 'DeletedHealthy' },
      message: expect.stringContaining('the sensor told nothing'),
    });
    expect(sent).toEqual([]);
  });

  it('is held by a ready pod whose heap was near its limit', async () => {
    const samples = [-20, -10, 0].map((seconds) => ({
      epochMilliseconds: startTime.getTime() + seconds * 1_000,
      values: { heapAfterGcPercent: 96 },
    }));

    expect(await setUp({ ready: true }, { samples }).ask()).toMatchObject({ hold: true });
  });

  it('is held by a capture that is under way for something else, whatever the deletion is worth', async () => {
    const { ask, captures, sent } = setUp({ ready: true });
    captures.heard(word('HeapDumpStarted', 0, 'b'.repeat(32)));

    expect(await ask()).toMatchObject({ hold: true, reason: 'Capturing' });
    captures.heard(word('HeapDumpSalvaged', 5, 'b'.repeat(32)));
    expect(await ask()).toMatchObject({ hold: false, reason: 'DeletedHealthy' });
    expect(sent).toEqual([]);
  });

  it('is let go when another replica is being dumped, or nobody takes up the signal', async () => {
    const { ask, captures, time } = setUp({
      deletionTime: at(300),
      deletionGracePeriodSeconds: 300,
    });
    await ask();
    captures.heard({ ...word('HeapDumpSkipped', 1), message: 'LockHeld: by another' });
    expect(await ask()).toMatchObject({
      ...{ hold: false, reason: 'Refused', message: 'LockHeld: by another' },
    });

    const alone = setUp({ deletionTime: at(300), deletionGracePeriodSeconds: 300 });
    expect(await alone.ask()).toMatchObject({ hold: true });
    await alone.time.advance(35_000);
    expect(await alone.ask()).toMatchObject({ hold: false, reason: 'Unanswered' });
    expect(time.now()).toEqual(startTime);
  });

  it('waits a little for a better answer than one from before it asked', async () => {
    const { ask, captures, time } = setUp();
    captures.heard(word('HeapDumpSkipped', -60));

    expect(await ask()).toMatchObject({ hold: true, reason: 'Asked' });
    await time.advance(5_000);
    expect(await ask()).toMatchObject({ hold: false, reason: 'Refused' });
  });

  it('begins anew where it was let go: what was asked before the kill says nothing about it', async () => {
    const running = { deletionTime: undefined, deletionGracePeriodSeconds: undefined } as never;
    const { ask, time, pods, pod, sent, endings } = setUp(running, { killed: false });
    pods.put({ ...pod, ready: true });
    await ask();
    await time.advance(3_000);
    expect(await ask()).toMatchObject({ hold: false, reason: 'DeletedHealthy' });

    await time.advance(60_000);
    pods.put({ ...pod, deletionTime: at(120) });
    endings.complete(aSignal({ reason: 'PodDeleting' }));
    expect(await ask()).toMatchObject({ hold: true, reason: 'Asked' });
    expect(sent).toMatchObject([{ reason: 'PreStop', observedTime: at(63) }]);
  });

  it('leaves the end of the grace period to the application, a capture or not', async () => {
    const { ask, captures, time, sent } = setUp({
      ...{ deletionTime: at(20), deletionGracePeriodSeconds: 20 },
    });
    captures.heard(word('HeapDumpStarted'));
    await time.advance(14_999);
    expect(await ask()).toMatchObject({ hold: true });
    await time.advance(1);
    expect(await ask()).toMatchObject({ hold: false, reason: 'GraceOver' });
    expect(sent).toEqual([]);
  });

  it('asks for a dump although there is no time to hold', async () => {
    const { ask, sent } = setUp({ deletionTime: at(2), deletionGracePeriodSeconds: 2 });

    expect(await ask()).toMatchObject({ hold: false, reason: 'GraceOver' });
    expect(sent).toHaveLength(1);
  });

  it('waits until the forwarder has seen what kill it is, and not for long', async () => {
    const { ask, time, pods, pod, sent } = setUp(
      { ready: true, deletionTime: undefined, deletionGracePeriodSeconds: undefined } as never,
      { killed: false },
    );
    expect(await ask()).toMatchObject({ hold: true, reason: 'Asked' });
    expect(sent).toEqual([]);
    await time.advance(3_000);
    expect(await ask()).toMatchObject({ hold: false, reason: 'DeletedHealthy' });

    pods.put({ ...pod, ready: false, deletionTime: at(60) });
    expect(await ask()).toMatchObject({ hold: true, reason: 'Asked', captureId });
  });

  it('counts a kill for a failing liveness probe as unhealthy, and one for a startup probe as no trouble', async () => {
    const failing = { failureCount: 3, failureThreshold: 3 };
    const running = { ready: true, deletionTime: undefined } as never;
    const { ask, endings, sent } = setUp(running, { killed: false });
    endings.complete(aSignal({ reason: 'ContainerKilling', numbers: failing }));
    expect(await ask()).toMatchObject({ hold: true, captureId });
    expect(sent).toMatchObject([{ reason: 'PreStop', numbers: failing }]);

    const starting = setUp(running, { killed: false });
    starting.endings.complete(aSignal({ reason: 'StartupProbeFailing' }));
    expect(await starting.ask()).toMatchObject({ hold: false, reason: 'StartupProbeFailing' });
  });

  it('is let go by a pod that is not known, was replaced, has no such container, or whose policy is off', async () => {
    const { ask, sent } = setUp();
    const reasonOf = async (asked: Promise<{ hold: boolean; reason: string }>) => {
      const { hold, reason } = await asked;
      return [hold, reason];
    };

    expect(await reasonOf(ask(20, 'app', { ...caller, podName: 'other' }))).toEqual([
      ...[false, 'PodUnknown'],
    ]);
    expect(await reasonOf(ask(20, 'app', { ...caller, podUid: 'uid-0' }))).toEqual([
      ...[false, 'PodUnknown'],
    ]);
    expect(await reasonOf(ask(20, 'db'))).toEqual([false, 'ContainerUnknown']);
    const off = setUp({ annotations: { 'heapcatch.dev/enabled': 'false' } });
    expect(await reasonOf(off.ask())).toEqual([false, 'PolicyDisabled']);
    expect([...sent, ...off.sent]).toEqual([]);
  });

  it('holds a hundred connections at most: whoever comes then is told to come again', async () => {
    const { ask, time } = setUp();
    const held = Array.from({ length: 100 }, () => ask(1));

    expect(await ask(20)).toMatchObject({ hold: true });
    await time.advance(1_000);
    expect((await Promise.all(held)).every(({ hold }) => hold)).toBe(true);
  });
});
