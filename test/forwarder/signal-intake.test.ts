import { describe, expect, it } from '@jest/globals';
import type { Word } from '../../lib/forwarder/signal-intake.ts';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';
import { createForwarderMetrics } from '../../lib/forwarder/metrics.ts';
import { anIntake, aPod, startTime, valueOf } from './fakes.ts';

const intakeWith = (...pods: readonly PodFacts[]) => anIntake(pods);

const word: Word = {
  namespace: 'shop',
  podName: 'cart-1',
  reason: 'AlertFiring',
  observedTime: startTime.toISOString(),
  alertName: 'HeapAfterGcHigh',
};

function twoContainers(): PodFacts {
  const pod = aPod();
  const [app] = pod.containers;
  if (app === undefined) throw new Error('no container');
  return { ...pod, containers: [app, { ...app, containerName: 'proxy' }] };
}

describe('SignalIntake', () => {
  it('sends the word as a signal about the pod as it is known, with its policy', () => {
    const { intake, sent } = intakeWith(aPod({ annotations: { 'heapcatch.dev/cooldown': '60s' } }));

    const answer = intake.submit({ ...word, numbers: { heapAfterGcPercent: 93.5 } });

    expect(answer.outcome).toBe('sent');
    expect(sent).toMatchObject([
      {
        schemaVersion: 1,
        clusterName: 'test',
        podUid: 'uid-1',
        containerName: 'app',
        containerID: 'containerd://abc',
        reason: 'AlertFiring',
        alertName: 'HeapAfterGcHigh',
        numbers: { restartCount: 0, heapAfterGcPercent: 93.5 },
      },
    ]);
    expect(sent[0]?.policy?.limits.cooldownSeconds).toBe(60);
  });

  it('counts what becomes a signal, by reason, and nothing that is refused', async () => {
    const metrics = createForwarderMetrics();
    const { intake } = anIntake([aPod()], { metrics });

    intake.submit(word);
    intake.submit({ ...word, podName: 'other' });
    intake.submit({ ...word, observedTime: 'yesterday' });

    expect(await valueOf(metrics.signalsObserved, { reason: 'AlertFiring' })).toBe(1);
  });

  it.each([
    ['PodUnknown', aPod({ podName: 'other' }), word],
    ['PodUnknown', aPod(), { ...word, podUid: 'uid-of-the-one-before' }],
    ['ContainerAmbiguous', twoContainers(), word],
    ['ContainerUnknown', aPod(), { ...word, containerName: 'db' }],
    ['PolicyDisabled', aPod({ annotations: { 'heapcatch.dev/enabled': 'false' } }), word],
    ['InvalidSignal', aPod(), { ...word, observedTime: 'yesterday' }],
    ['InvalidSignal', aPod(), { ...word, numbers: { heapUsedPercent: Number.NaN } }],
  ])('refuses with %s and sends nothing', (reason, pod, told) => {
    const { intake, sent } = intakeWith(pod);

    expect(intake.submit(told)).toMatchObject({ outcome: 'refused', reason });
    expect(sent).toEqual([]);
  });

  it('takes the named one of several containers', () => {
    const { intake, sent } = intakeWith(twoContainers());

    intake.submit({ ...word, containerName: 'proxy' });

    expect(sent[0]?.containerName).toBe('proxy');
  });
});
