import { describe, expect, it } from '@jest/globals';
import { createForwarderMetrics } from '../../lib/forwarder/metrics.ts';
import { maxListedEventAgeSeconds, Observer } from '../../lib/forwarder/observer.ts';
import { maxPendingEventCount, pendingEventSeconds } from '../../lib/forwarder/pending-events.ts';
import { PodCache } from '../../lib/forwarder/pod-cache.ts';
import { PodPolicies } from '../../lib/forwarder/pod-policies.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import type { Signal } from '../../lib/signal/signal.ts';
import { aPod, aProbeEvent, FakeTime, recordingLog, startTime, valueOf } from './fakes.ts';

function anObserver(options: { maxPodCount?: number } = {}) {
  const time = new FakeTime();
  const metrics = createForwarderMetrics();
  const { log, lines } = recordingLog();
  const sent: Signal[] = [];
  const pods = new PodCache(options.maxPodCount);
  const observer = new Observer({
    clusterName: 'test',
    pods,
    policies: new PodPolicies({ metrics, log }),
    send: (signal) => sent.push(signal),
    time,
    metrics,
    log,
    signal: new AbortController().signal,
  });
  const event = (type: 'ADDED' | 'MODIFIED' | 'DELETED', object: unknown) =>
    observer.eventChanged({ type, object, resourceVersion: '1' });
  const pod = (type: 'ADDED' | 'MODIFIED' | 'DELETED', object = aPod()) =>
    observer.podChanged({ type, object, resourceVersion: '1' });
  const ignored = (reason: string) => valueOf(metrics.eventsIgnored, { reason });
  return { observer, time, metrics, lines, sent, pods, event, pod, ignored };
}

const secondsLater = (seconds: number) => new Date(startTime.getTime() + seconds * 1000);
const deleted = { deletionTime: '2026-03-01T10:00:30Z', deletionGracePeriodSeconds: 30 };

describe('Observer: Events', () => {
  it('sends a failing probe with the pod, its container and the default policy', () => {
    const { pod, event, sent } = anObserver();
    pod('ADDED');

    event('ADDED', aProbeEvent());

    expect(sent).toEqual([
      expect.objectContaining({
        podUid: 'uid-1',
        containerName: 'app',
        containerID: 'containerd://abc',
        reason: 'LivenessProbeFailing',
        numbers: expect.objectContaining({ failureCount: 1 }) as unknown,
        policy: defaultPolicy,
      }),
    ]);
  });

  it('takes a MODIFIED Event with a higher count for a new observation', async () => {
    const { pod, event, sent, ignored } = anObserver();
    pod('ADDED');

    event('ADDED', aProbeEvent({ count: 1 }));
    event('MODIFIED', aProbeEvent({ count: 2, time: secondsLater(10) }));
    event('MODIFIED', aProbeEvent({ count: 2, time: secondsLater(10) }));
    event('MODIFIED', aProbeEvent({ count: 3, time: secondsLater(20) }));

    expect(sent.map((signal) => signal.numbers.failureCount)).toEqual([1, 2, 3]);
    expect(await ignored('Repeat')).toBe(1);
  });

  it('counts failures in a row across Events with different messages', () => {
    const { pod, event, sent } = anObserver();
    pod('ADDED');

    event('ADDED', aProbeEvent({ name: 'a', message: 'Liveness probe failed: 503' }));
    event(
      'ADDED',
      aProbeEvent({ name: 'b', message: 'Liveness probe failed: timeout', time: secondsLater(10) }),
    );

    expect(sent.map((signal) => signal.numbers.failureCount)).toEqual([1, 2]);
  });

  it('sends nothing for an Event that only expired', () => {
    const { pod, event, sent } = anObserver();
    pod('ADDED');

    event('DELETED', aProbeEvent());

    expect(sent).toEqual([]);
  });

  it.each([
    ['null', null],
    ['a string', 'boo'],
    ['an empty object', {}],
    ['a message of 10 MB', aProbeEvent({ message: 'x'.repeat(10 * 1024 * 1024) })],
    ['a name of 10 MB', aProbeEvent({ podName: 'x'.repeat(10 * 1024 * 1024) })],
    ['a count that is no number', { ...aProbeEvent(), count: 'many' }],
  ])('ignores %s, counted, with a bounded log line', async (_what, raw) => {
    const { event, sent, ignored, lines } = anObserver();

    event('ADDED', raw);

    expect(sent).toEqual([]);
    expect(await ignored('InvalidEvent')).toBe(1);
    expect(JSON.stringify(lines).length).toBeLessThan(4_000);
  });

  it('keeps an Event that comes before its pod, and sends it with the pod', () => {
    const { pod, event, sent } = anObserver();

    event('ADDED', aProbeEvent());
    expect(sent).toEqual([]);
    pod('ADDED');

    expect(sent).toHaveLength(1);
  });

  it('gives an Event up whose pod does not come within 2 s', async () => {
    const { pod, event, sent, time, ignored } = anObserver();
    event('ADDED', aProbeEvent());

    await time.advance(pendingEventSeconds * 1000);
    pod('ADDED');

    expect(sent).toEqual([]);
    expect(await ignored('PodUnknown')).toBe(1);
  });

  it('waits for the new pod of a name that is known for the old one', () => {
    const { pod, event, sent } = anObserver();
    pod('ADDED', aPod({ podUid: 'uid-old' }));

    event('ADDED', aProbeEvent({ podUid: 'uid-new' }));
    expect(sent).toEqual([]);
    pod('ADDED', aPod({ podUid: 'uid-new' }));

    expect(sent.map((signal) => signal.podUid)).toEqual(['uid-new']);
  });

  it('sends nothing about a pod that was replaced', async () => {
    const { pod, event, sent, time, ignored } = anObserver();
    pod('ADDED', aPod({ podUid: 'uid-new' }));
    event('ADDED', aProbeEvent({ podUid: 'uid-old' }));

    await time.advance(pendingEventSeconds * 1000);

    expect(sent).toEqual([]);
    expect(await ignored('PodReplaced')).toBe(1);
  });

  it('keeps at most 1,000 Events waiting and counts those that made room', async () => {
    const { event, time, ignored } = anObserver();

    for (let index = 0; index < maxPendingEventCount + 5; index += 1) {
      const name = String(index);
      event('ADDED', aProbeEvent({ name, podName: `p-${name}`, podUid: `u-${name}` }));
    }

    expect(await ignored('PodUnknown')).toBe(5);
    await time.advance(pendingEventSeconds * 1000);
    expect(await ignored('PodUnknown')).toBe(maxPendingEventCount + 5);
  });

  it('keeps no Event waiting that is of no interest', async () => {
    const { event, time, ignored } = anObserver();

    event('ADDED', { ...aProbeEvent(), reason: 'Pulled' });

    expect(await ignored('ReasonOfNoInterest')).toBe(1);
    expect(time.sleeperCount).toBe(0);
  });
});

describe('Observer: a list of Events', () => {
  it.each([
    ['just young enough', maxListedEventAgeSeconds, 1],
    ['one second too old', maxListedEventAgeSeconds + 1, 0],
  ])('sends an Event that is %s', (_what, ageSeconds, count) => {
    const { pod, observer, sent } = anObserver();
    pod('ADDED');

    observer.eventsListed([aProbeEvent({ time: secondsLater(-ageSeconds) })]);

    expect(sent).toHaveLength(count);
  });

  it('sends nothing about a life of the container that is over', async () => {
    const { pod, observer, sent, ignored } = anObserver();
    const [container] = aPod().containers;
    pod('ADDED', aPod({ containers: [{ ...container!, startedTime: '2026-03-01T09:59:30Z' }] }));

    observer.eventsListed([aProbeEvent({ time: secondsLater(-60) })]);

    expect(sent).toEqual([]);
    expect(await ignored('ContainerRestarted')).toBe(1);
  });

  it('sends nothing about a container that does not run', async () => {
    const { pod, observer, sent, ignored } = anObserver();
    const [container] = aPod().containers;
    pod('ADDED', aPod({ containers: [{ ...container!, running: false }] }));

    observer.eventsListed([aProbeEvent()]);

    expect(sent).toEqual([]);
    expect(await ignored('Stale')).toBe(1);
  });

  it('sends of a later list only what is new in it', () => {
    const { pod, observer, event, sent } = anObserver();
    pod('ADDED');
    event('ADDED', aProbeEvent({ name: 'a', count: 1 }));
    event('ADDED', aProbeEvent({ name: 'b', count: 4, message: 'Readiness probe failed: 503' }));

    observer.eventsListed([
      aProbeEvent({ name: 'a', count: 2, time: secondsLater(10) }),
      aProbeEvent({ name: 'b', count: 4, message: 'Readiness probe failed: 503' }),
    ]);

    expect(sent.map((signal) => [signal.reason, signal.numbers.failureCount])).toEqual([
      ['LivenessProbeFailing', 1],
      ['ReadinessProbeFailing', undefined],
      ['LivenessProbeFailing', 2],
    ]);
  });
});

describe('Observer: pods', () => {
  it('sends the beginning of a deletion once', () => {
    const { pod, sent } = anObserver();
    pod('ADDED');

    pod('MODIFIED', aPod(deleted));
    pod('MODIFIED', aPod({ ...deleted, ready: false }));
    pod('DELETED', aPod(deleted));

    expect(sent.map((signal) => signal.reason)).toEqual(['PodDeleting']);
  });

  it('finds in a list what changed, what is gone, and what was replaced', async () => {
    const { observer, metrics, pods, sent } = anObserver();
    const list = (...names: [string, string, object?][]) =>
      names.map(([podName, podUid, more]) => aPod({ podName, podUid, ...more }));
    observer.podsListed('', list(['kept', 'k'], ['gone', 'g'], ['replaced', 'old']));

    observer.podsListed('', list(['kept', 'k', deleted], ['replaced', 'new'], ['fresh', 'f']));

    expect(sent.map((signal) => [signal.podName, signal.reason])).toEqual([
      ['kept', 'PodDeleting'],
    ]);
    expect(pods.get('shop', 'gone')).toBeUndefined();
    expect(pods.get('shop', 'replaced')?.podUid).toBe('new');
    expect(await valueOf(metrics.podsCached)).toBe(3);
  });

  it('takes nothing of a replaced pod for the past of the new one', () => {
    const { pod, sent } = anObserver();
    const [container] = aPod().containers;
    pod('ADDED', aPod({ podUid: 'old' }));

    pod(
      'ADDED',
      aPod({
        podUid: 'new',
        containers: [
          {
            ...container!,
            restartCount: 7,
            lastTermination: { reason: 'OOMKilled', exitCode: 137 },
          },
        ],
      }),
    );

    expect(sent).toEqual([]);
  });

  it('counts pods beyond the bound and says so once a minute', async () => {
    const { observer, metrics, lines } = anObserver({ maxPodCount: 2 });

    observer.podsListed(
      '',
      ['a', 'b', 'c', 'd'].map((name) => aPod({ podName: name, podUid: name })),
    );

    expect(await valueOf(metrics.podsCached)).toBe(2);
    expect(await valueOf(metrics.podsRefused)).toBe(2);
    expect(lines.filter((line) => line.message.includes('too many pods'))).toHaveLength(1);
  });
});

describe('Observer: policy', () => {
  const annotated = (annotations: Record<string, string>) => aPod({ annotations });

  it('sends the policy that the annotations ask for', () => {
    const { pod, event, sent } = anObserver();
    pod('ADDED', annotated({ 'heapcatch.dev/cooldown': '20m' }));

    event('ADDED', aProbeEvent());

    expect(sent[0]?.policy?.limits.cooldownSeconds).toBe(1_200);
  });

  it('sends nothing about a pod that is disabled', async () => {
    const { pod, event, sent, metrics } = anObserver();
    pod('ADDED', annotated({ 'heapcatch.dev/enabled': 'false' }));

    event('ADDED', aProbeEvent());

    expect(sent).toEqual([]);
    expect(await valueOf(metrics.signalsIgnored, { reason: 'PolicyDisabled' })).toBe(1);
  });

  it('sends when an annotation is mistyped, without it, counts each, warns once', async () => {
    const { pod, event, sent, metrics, lines } = anObserver();
    pod('ADDED', annotated({ 'heapcatch.dev/cooldwon': '20m' }));

    event('ADDED', aProbeEvent({ count: 1 }));
    event('MODIFIED', aProbeEvent({ count: 2, time: secondsLater(10) }));

    expect(sent.map((signal) => signal.policy)).toEqual([defaultPolicy, defaultPolicy]);
    expect(await valueOf(metrics.policyFaults)).toBe(2);
    const warnings = lines.filter((line) => line.level === 'warn');
    expect(warnings).toHaveLength(1);
    expect(JSON.stringify(warnings)).toContain('heapcatch.dev/cooldwon');
  });

  it('keeps what a pod forbids when another of its annotations is mistyped', () => {
    const { pod, event, sent } = anObserver();
    pod(
      'ADDED',
      annotated({ 'heapcatch.dev/cooldwon': '20m', 'heapcatch.dev/evidence': 'threads' }),
    );

    event('ADDED', aProbeEvent());

    expect(sent.map(({ policy }) => policy)).toEqual([{ ...defaultPolicy, evidence: ['threads'] }]);
  });

  it('believes "enabled: false" whatever else is mistyped', async () => {
    const { pod, event, sent, metrics } = anObserver();
    pod('ADDED', annotated({ 'heapcatch.dev/enabled': 'false', 'heapcatch.dev/oops': '1' }));

    event('ADDED', aProbeEvent());

    expect(sent).toEqual([]);
    expect(await valueOf(metrics.policyFaults)).toBe(1);
  });
});
