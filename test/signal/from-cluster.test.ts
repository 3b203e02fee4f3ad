import { describe, expect, it } from '@jest/globals';
import {
  ignoredReasons,
  signalFromKubernetesEvent,
  signalFromPodChange,
  type IgnoredReason,
} from '../../lib/signal/from-cluster.ts';
import { parseKubernetesEvent } from '../../lib/signal/kubernetes-event.ts';
import { signalReasons, signalSchema, type SignalReason } from '../../lib/signal/signal.ts';
import { container, pod } from '../policy/facts.ts';
import { kubernetesEvents } from './kubernetes-events.ts';

type EventName = keyof typeof kubernetesEvents;

const probe = { periodSeconds: 3, timeoutSeconds: 1, failureThreshold: 3, initialDelaySeconds: 0 };
const app = container({
  livenessProbe: probe,
  startedTime: '2026-11-24T03:55:30Z',
  containerID: 'containerd://67c4da1e',
});
const live = pod({
  podUid: 'b92dc64e-4260-45e6-8406-98e6c933fe04',
  podName: 'liveness',
  namespace: 'signal-fixtures',
  terminationGracePeriodSeconds: 5,
  containers: [app, container({ containerName: 'sidecar' })],
});
const read = (name: EventName, facts = live) => {
  const event = parseKubernetesEvent(kubernetesEvents[name]);
  // Two pods wrote the sample Events; each is read as one of the pod it is given.
  const regarding = { ...event.regarding, uid: facts.podUid };
  return signalFromKubernetesEvent({ ...event, regarding }, facts, 'prod');
};

/** Every sample Event with the one answer it must have. */
const answers: Record<EventName, SignalReason | IgnoredReason> = {
  livenessFailing: 'LivenessProbeFailing',
  livenessFailingEventsApi: 'LivenessProbeFailing',
  readinessFailing: 'ReadinessProbeFailing',
  startupFailing: 'StartupProbeFailing',
  livenessErrored: 'ReasonOfNoInterest',
  killingByLiveness: 'ContainerKilling',
  killingByStartup: 'StartupProbeFailing',
  killingByDeletion: 'ContainerKilling',
  backOff: 'ReasonOfNoInterest',
  started: 'ReasonOfNoInterest',
  scheduledEventsApi: 'ReasonOfNoInterest',
};

describe('signalFromKubernetesEvent', () => {
  for (const name of Object.keys(answers) as EventName[]) {
    const expected = answers[name];
    it.each([...signalReasons, ...ignoredReasons])(
      `answers ${name} with ${expected}, asked for %s`,
      (asked) => {
        const reading = read(name);
        const answer = 'signal' in reading ? reading.signal.reason : reading.ignored;

        expect(answer === asked).toBe(expected === asked);
      },
    );
  }

  it('fills in what the facts of the pod tell', () => {
    expect(read('livenessFailing')).toMatchObject({
      signal: {
        schemaVersion: 1,
        clusterName: 'prod',
        namespace: 'signal-fixtures',
        podName: 'liveness',
        podUid: live.podUid,
        containerName: 'app',
        containerID: 'containerd://67c4da1e',
        nodeName: 'node-a',
        reason: 'LivenessProbeFailing',
        observedTime: '2026-11-24T03:55:59Z',
        // The third failure of three: the kill begins now, SIGKILL 5 s later.
        expectedKillTime: '2026-11-24T03:56:04.000Z',
        numbers: { failureCount: 3, failureThreshold: 3, restartCount: 0 },
      },
      streak: { failureCount: 3 },
    });
  });

  it('makes signals that the schema accepts', () => {
    for (const name of Object.keys(answers) as EventName[]) {
      const reading = read(name);
      if ('signal' in reading) expect(signalSchema.parse(reading.signal)).toEqual(reading.signal);
    }
  });

  it('carries the failures that led to a probe kill', () => {
    expect(read('killingByLiveness')).toMatchObject({ signal: { numbers: { failureCount: 3 } } });
    expect(read('killingByDeletion')).not.toMatchObject({
      signal: { numbers: { failureCount: 3 } },
    });
  });

  it('takes the deletion for the deadline of a pod that is being deleted', () => {
    const deleted = {
      ...live,
      deletionTime: '2026-11-24T03:56:05Z',
      deletionGracePeriodSeconds: 5,
    };

    expect(read('killingByDeletion', deleted)).toMatchObject({
      signal: { expectedKillTime: '2026-11-24T03:56:05.000Z' },
    });
  });

  it('ignores what is about something other than a pod', () => {
    const event = parseKubernetesEvent(kubernetesEvents.livenessFailing);
    const regarding = { ...event.regarding, kind: 'Node' };

    expect(signalFromKubernetesEvent({ ...event, regarding }, live, 'prod')).toEqual({
      ignored: 'NotAboutAPod',
    });
  });

  it('ignores an Event whose pod is not known', () => {
    const event = parseKubernetesEvent(kubernetesEvents.livenessFailing);

    expect(signalFromKubernetesEvent(event, undefined, 'prod')).toEqual({ ignored: 'PodUnknown' });
  });

  it('ignores an Event about the pod that had this name before', () => {
    const event = parseKubernetesEvent(kubernetesEvents.livenessFailing);
    const replaced = { ...live, podUid: 'another' };

    expect(signalFromKubernetesEvent(event, replaced, 'prod')).toEqual({ ignored: 'PodReplaced' });
  });

  it('ignores an Event about a container that is not in the pod', () => {
    const other = { ...live, containers: [container({ containerName: 'other' })] };

    expect(read('livenessFailing', other)).toEqual({ ignored: 'ContainerUnknown' });
  });

  it('takes the only container when the Event names none, and refuses to choose among several', () => {
    const event = parseKubernetesEvent(kubernetesEvents.livenessFailing);
    const { containerName, ...regarding } = event.regarding;
    const single = { ...live, containers: [app] };

    expect(containerName).toBe('app');
    expect(signalFromKubernetesEvent({ ...event, regarding }, single, 'prod')).toMatchObject({
      signal: { containerName: 'app' },
    });
    expect(signalFromKubernetesEvent({ ...event, regarding }, live, 'prod')).toEqual({
      ignored: 'ContainerUnknown',
    });
  });

  it.each([
    ['2026-11-24T03:56:00Z', 1, true],
    ['2026-11-24T03:55:59Z', 1, true],
    ['2026-11-24T03:55:58Z', 1, false],
    ['2026-11-24T03:55:59Z', 0, false],
  ])('of 03:55:59 with a container started at %s and %i restarts: ignored %s', (...row) => {
    const [startedTime, restartCount, ignored] = row;
    const facts = { ...live, containers: [{ ...app, startedTime, restartCount }] };

    expect('ignored' in read('livenessFailing', facts)).toBe(ignored);
  });
});

describe('signalFromPodChange', () => {
  const time = '2026-03-01T12:00:00Z';
  const before = pod({ containers: [container()] });
  const deleted = {
    ...before,
    deletionTime: '2026-03-01T12:00:30Z',
    deletionGracePeriodSeconds: 30,
  };

  it('says nothing when nothing has changed', () => {
    expect(signalFromPodChange(before, before, time)).toEqual([]);
    expect(signalFromPodChange(undefined, before, time)).toEqual([]);
  });

  it('says once that a pod is being deleted, for each running container', () => {
    const containers = [
      container(),
      container({ containerName: 'sidecar' }),
      container({ containerName: 'done', running: false }),
    ];
    const current = { ...deleted, containers };

    const signals = signalFromPodChange({ ...before, containers }, current, time);

    expect(signals.map(({ reason, containerName }) => [reason, containerName])).toEqual([
      ['PodDeleting', 'app'],
      ['PodDeleting', 'sidecar'],
    ]);
    expect(signals[0]).toMatchObject({
      observedTime: time,
      expectedKillTime: '2026-03-01T12:00:30.000Z',
      numbers: { gracePeriodSeconds: 30 },
    });
    expect(signalFromPodChange(current, current, time)).toEqual([]);
  });

  it('says it also of a pod that is first seen while it is deleted, or has replaced another', () => {
    const replaced = { ...before, podUid: 'another', deletionTime: time };

    expect(signalFromPodChange(undefined, deleted, time)).toHaveLength(1);
    expect(signalFromPodChange(replaced, deleted, time)).toHaveLength(1);
  });

  it('tells of a container killed for its memory, and again when its next life begins, with the life that ended', () => {
    const lastTermination = {
      reason: 'OOMKilled',
      exitCode: 137,
      finishedTime: '2026-03-01T11:59:58Z',
    };
    const ended = { ...before, containers: [container({ running: false, lastTermination })] };
    const restarted = {
      ...before,
      containers: [
        container({ containerID: 'containerd://bbbb', restartCount: 1, lastTermination }),
      ],
    };

    const signals = [
      ...signalFromPodChange(before, ended, time),
      ...signalFromPodChange(ended, restarted, time),
    ];

    const told = {
      reason: 'ContainerTerminated',
      containerID: 'containerd://aaaa',
      observedTime: '2026-03-01T11:59:58Z',
      numbers: { exitCode: 137 },
    };
    expect(signals).toMatchObject([told, told]);
    expect(signalFromPodChange(restarted, restarted, time)).toEqual([]);
    expect(signalFromPodChange(before, restarted, time)).toHaveLength(1);
  });

  it('tells of a restart that left no word about its end', () => {
    const restarted = { ...before, containers: [container({ restartCount: 1 })] };

    expect(signalFromPodChange(before, restarted, time)).toMatchObject([
      { reason: 'ContainerTerminated', observedTime: time, numbers: { restartCount: 1 } },
    ]);
  });

  it('does not tell of ends that lie before the first look', () => {
    const lastTermination = { reason: 'Error', exitCode: 1 };
    const current = { ...before, containers: [container({ restartCount: 4, lastTermination })] };

    expect(signalFromPodChange(undefined, current, time)).toEqual([]);
  });
});
