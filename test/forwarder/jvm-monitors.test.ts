import { describe, expect, it } from '@jest/globals';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { boundedGet } from '../../lib/forwarder/bounded-get.ts';
import { isAddressOfPod } from '../../lib/forwarder/metric-sources.ts';
import { createForwarderMetrics } from '../../lib/forwarder/metrics.ts';
import { MonitorPart } from '../../lib/forwarder/monitor-part.ts';
import { statusPeriodSeconds } from '../../lib/forwarder/monitor-reporter.ts';
import { PodCache } from '../../lib/forwarder/pod-cache.ts';
import { PodPolicies } from '../../lib/forwarder/pod-policies.ts';
import { SignalIntake } from '../../lib/forwarder/signal-intake.ts';
import type { JvmMonitorApi, MonitorEvent } from '../../lib/policy/monitor-api.ts';
import type { JvmMonitorStatus } from '../../lib/policy/monitor-status.ts';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';
import type { CaptureWord } from '../../lib/signal/capture-word.ts';
import { readCaptureWord } from '../../lib/signal/capture-word.ts';
import type { Signal } from '../../lib/signal/signal.ts';
import { aPod, FakeTime, recordingLog, startTime } from './fakes.ts';

interface Written {
  name: string;
  status: JvmMonitorStatus;
}

function aPart(options: { prometheusUrl?: string } = {}) {
  const time = new FakeTime();
  const { log } = recordingLog();
  const metrics = createForwarderMetrics();
  const pods = new PodCache();
  const written: Written[] = [];
  const told: MonitorEvent[] = [];
  const sent: Signal[] = [];
  let refuse = false;
  const monitorApi: JvmMonitorApi = {
    listMonitors: () => Promise.resolve({ items: [], resourceVersion: '1' }),
    watchMonitors: () => Promise.resolve('closed'),
    patchStatus: ({ name }, status) => {
      if (refuse) return Promise.reject(new Error('refused'));
      written.push({ name, status });
      return Promise.resolve();
    },
    postMonitorEvent: (_monitor, event) => {
      told.push(event);
      return Promise.resolve();
    },
  };
  const part = new MonitorPart({
    ...{ monitorApi, pods, time, metrics, log, random: () => 0.5 },
    ...options,
  });
  const policies = new PodPolicies({ metrics, log, monitors: part.monitors });
  const send = part.hearing((signal) => sent.push(signal));
  const intake = new SignalIntake({ clusterName: 'test', pods, policies, send, metrics });
  const controller = part.controller({ intake, policies });
  const apply = (name: string, spec: object, generation = 1): void =>
    part.monitors.changed({
      type: 'MODIFIED',
      resourceVersion: '1',
      object: {
        metadata: { name, namespace: 'shop', uid: `uid-${name}`, generation },
        spec: { selector: { matchLabels: { app: 'cart' } }, ...spec },
      },
    });
  const lastOf = (name: string) => written.findLast((one) => one.name === name)?.status;
  const outage = (is: boolean): void => {
    refuse = is;
  };
  return {
    ...{
      part,
      pods,
      policies,
      intake,
      controller,
      time,
      written,
      told,
      sent,
      apply,
      lastOf,
      outage,
    },
  };
}

const cart = (changes: Partial<PodFacts> = {}): PodFacts =>
  aPod({ labels: { app: 'cart' }, podIP: '10.0.0.7', ...changes });
const condition = (status: JvmMonitorStatus | undefined, type: string) =>
  status?.conditions.find((one) => one.type === type);
const word = (changes: Partial<CaptureWord> = {}): CaptureWord => ({
  ...{ namespace: 'shop', podName: 'cart-1', podUid: 'uid-1', captureId: 'a'.repeat(32) },
  ...{ reason: 'HeapDumpSaved', message: 'saved', time: startTime.toISOString() },
  ...changes,
});

describe('JvmMonitors in the forwarder', () => {
  it('govern the policy of pods as soon as they are seen, changed, or gone', () => {
    const { part, pods, policies, apply } = aPart();
    pods.put(cart());
    const cooldown = () => policies.of(cart(), 'app').limits.cooldownSeconds;

    expect(cooldown()).toBe(600);
    apply('a', { limits: { cooldownSeconds: 60 } });
    expect(cooldown()).toBe(60);
    apply('a', { limits: { cooldownSeconds: 90 } }, 2);
    expect(cooldown()).toBe(90);
    part.monitors.listed('', []);
    expect(cooldown()).toBe(600);
  });

  it('name themselves in the signals that their policy is in', () => {
    const { pods, intake, apply, sent } = aPart();
    pods.put(cart());
    apply('a', { evidence: ['threads'] });

    intake.submit({
      ...{ namespace: 'shop', podName: 'cart-1', reason: 'GcStorm' },
      observedTime: startTime.toISOString(),
    });

    expect(sent).toMatchObject([{ monitorName: 'a', policy: { evidence: ['threads'] } }]);
  });

  it('let pass only the alerts that they name', () => {
    const { pods, intake, apply } = aPart();
    pods.put(cart());
    apply('a', { triggers: { alerts: ['JvmHeapHigh'], preStop: false } });
    const submit = (reason: 'AlertFiring' | 'PreStop', alertName?: string) =>
      intake.submit({
        ...{ namespace: 'shop', podName: 'cart-1', reason },
        ...(alertName && { alertName }),
        observedTime: startTime.toISOString(),
      });

    expect(submit('AlertFiring', 'JvmHeapHigh')).toMatchObject({ outcome: 'sent' });
    expect(submit('AlertFiring', 'Other')).toMatchObject({ reason: 'NotTriggered' });
    expect(submit('PreStop')).toMatchObject({ reason: 'NotTriggered' });
  });
});

describe('the status of a JvmMonitor', () => {
  it('counts the pods that it governs, and those that another one does', async () => {
    const { pods, controller, time, apply, lastOf } = aPart();
    pods.put(cart());
    pods.put(cart({ podName: 'other', podUid: 'uid-2', labels: {} }));
    apply('a', {});
    apply('b', { priority: 1 });

    controller.start();
    await time.advance(1_000);

    expect(lastOf('b')).toMatchObject({ matchedPodCount: 1, overriddenPodCount: 0 });
    expect(lastOf('a')).toMatchObject({ matchedPodCount: 0, overriddenPodCount: 1 });
    expect(condition(lastOf('b'), 'Ready')).toMatchObject({ status: 'True', reason: 'Watching' });
    await controller.stop();
  });

  it('says why a resource cannot be read', async () => {
    const { controller, time, apply, lastOf } = aPart();
    apply('a', { redact: 'everything' }, 4);

    controller.start();
    await time.advance(1_000);

    expect(lastOf('a')?.observedGeneration).toBe(4);
    expect(condition(lastOf('a'), 'Ready')).toMatchObject({
      status: 'False',
      reason: 'InvalidSpec',
      message: expect.stringContaining('redact') as unknown,
    });
    await controller.stop();
  });

  it('shows the last captures, newest first, each once, and what throttles', async () => {
    const { part, pods, controller, time, apply, lastOf } = aPart();
    pods.put(cart());
    apply('a', {});
    controller.start();
    await time.advance(1_000);

    part.captureSeen(word({ reason: 'HeapDumpStarted' }));
    part.captureSeen(word({ indexKey: 'index/1-a.json' }));
    part.captureSeen(word({ reason: 'HeapDumpStarted' }));
    part.captureSeen(
      word({ captureId: 'b'.repeat(32), reason: 'HeapDumpSkipped', message: 'Cooldown: until 10' }),
    );
    await time.advance(statusPeriodSeconds * 1_000);

    expect(lastOf('a')?.lastCaptures).toEqual([
      expect.objectContaining({ state: 'HeapDumpSaved', indexKey: 'index/1-a.json' }),
    ]);
    expect(condition(lastOf('a'), 'Throttled')).toMatchObject({
      ...{ status: 'True', reason: 'Cooldown', message: 'until 10' },
    });
    await time.advance(700_000);
    expect(condition(lastOf('a'), 'Throttled')).toMatchObject({ status: 'False' });
    await controller.stop();
  });

  it('is written at most once in five seconds, not without a change, and again after a refusal', async () => {
    const { part, pods, controller, time, written, apply, outage } = aPart();
    pods.put(cart());
    apply('a', {});
    controller.start();
    await time.advance(60_000);
    expect(written).toHaveLength(1);

    for (let second = 0; second < 10; second += 1) {
      const at = new Date(startTime.getTime() + second * 1_000).toISOString();
      part.captureSeen(word({ captureId: `${'c'.repeat(31)}${second}`, time: at }));
      await time.advance(1_000);
    }
    expect(written.length).toBeLessThanOrEqual(4);

    outage(true);
    apply('a', { enabled: false }, 2);
    await time.advance(10_000);
    outage(false);
    await time.advance(60_000);
    expect(condition(written.at(-1)?.status, 'Ready')).toMatchObject({ reason: 'Disabled' });
    await controller.stop();
  });
});

describe('what a JvmMonitor asks for by time', () => {
  it('is one ready pod of each workload at each minute of its schedule, and nothing once it does not lead', async () => {
    const { pods, controller, time, apply, sent } = aPart();
    pods.put(cart());
    pods.put(cart({ podName: 'cart-2', podUid: 'uid-2' }));
    pods.put(cart({ podName: 'cart-0', podUid: 'uid-0', ready: false }));
    apply('a', { triggers: { schedules: ['1-2 10 * * *'] } });

    controller.start();
    await time.advance(240_000);
    expect(sent.map(({ podName, reason }) => [podName, reason])).toEqual([
      ['cart-1', 'Scheduled'],
      ['cart-1', 'Scheduled'],
    ]);

    await controller.stop();
    apply('a', { triggers: { schedules: ['* * * * *'] } }, 2);
    await time.advance(240_000);
    expect(sent).toHaveLength(2);
  });

  it.each<[string, object, Partial<PodFacts['containers'][number]>, number]>([
    [
      'an OOMKill',
      { oomKilled: { afterSeconds: 30 } },
      { lastTermination: { reason: 'OOMKilled', exitCode: 137 } },
      1,
    ],
    [
      'another end',
      { oomKilled: { afterSeconds: 30 } },
      { lastTermination: { reason: 'Error', exitCode: 1 } },
      0,
    ],
    ['two restarts', { restarts: { count: 2, afterSeconds: 30 } }, { restartCount: 2 }, 1],
    ['one restart of two', { restarts: { count: 2, afterSeconds: 30 } }, { restartCount: 1 }, 0],
  ])('is the life after %s, once', async (_case, triggers, changes, count) => {
    const { pods, controller, time, apply, sent } = aPart();
    pods.put(cart());
    apply('a', { triggers });
    controller.start();
    await time.advance(2_000);

    const startedTime = new Date(startTime.getTime() + 3_000).toISOString();
    const container = { ...aPod().containers[0]!, containerID: 'containerd://next', startedTime };
    pods.put(cart({ containers: [{ ...container, ...changes }] }));
    await time.advance(20_000);
    expect(sent).toHaveLength(0);
    await time.advance(300_000);

    expect(sent).toHaveLength(count);
    await controller.stop();
  });
});

describe('metrics that the sensor does not bring', () => {
  const page = (used: number): string =>
    `jvm_memory_used_bytes{area="heap"} ${used}\njvm_memory_max_bytes{area="heap"} 100\n`;
  const serve = async (answer: (url: string) => { status?: number; body: string }) => {
    const urls: string[] = [];
    const server = createServer((request, response) => {
      urls.push(request.url ?? '');
      const { status = 200, body } = answer(request.url ?? '');
      response.writeHead(status, { location: 'http://169.254.169.254/' }).end(body);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    return { urls, port, close: () => new Promise((resolve) => server.close(resolve)) };
  };
  const get = (port: number, maxBytes = 1_000): Promise<string> =>
    boundedGet(new URL(`http://127.0.0.1:${port}/metrics`), {
      ...{ maxBytes, deadlineSeconds: 10, accept: 'text/plain' },
      signal: new AbortController().signal,
    });

  it('are read up to a bound, and no redirect is followed', async () => {
    let answer: { status?: number; body: string } = { body: page(50) };
    const server = await serve(() => answer);

    expect(await get(server.port)).toBe(page(50));
    answer = { status: 302, body: '' };
    await expect(get(server.port)).rejects.toThrow('HTTP 302');
    answer = { body: 'x'.repeat(2_000) };
    await expect(get(server.port)).rejects.toThrow('larger than 1000 bytes');
    await server.close();
  });

  it.each([
    '127.0.0.1',
    '169.254.169.254',
    '0.0.0.0',
    '::1',
    'fe80::1',
    '::ffff:10.0.0.1',
    '',
    'evil.example',
    '10.0.0.7/x',
  ])('are never asked for at %j', (address) => {
    expect(isAddressOfPod(address)).toBe(false);
  });
  it.each(['10.0.0.7', '192.168.1.1', '2001:db8::7', 'fd00::1'])(
    'are asked for at %j',
    (address) => {
      expect(isAddressOfPod(address)).toBe(true);
    },
  );

  it('come from Prometheus for the pods of the namespace, and lead to a signal once until they are re-armed', async () => {
    let value = 80;
    const result = (number: number) => [
      { metric: { namespace: 'shop', pod: 'cart-1' }, value: [1, String(number)] },
    ];
    const server = await serve(() => ({
      body: JSON.stringify({
        ...{ status: 'success', data: { resultType: 'vector', result: result(value) } },
      }),
    }));
    const prometheusUrl = `http://127.0.0.1:${server.port}/prefix/`;
    const { pods, controller, time, apply, sent, lastOf } = aPart({ prometheusUrl });
    pods.put(cart());
    apply('a', {
      metrics: { source: 'prometheus', prometheus: { queries: { heapUsedPercent: 'q{}' } } },
      triggers: { heapNearLimit: [{ metric: 'heapUsedPercent', above: 85, rearm: 70 }] },
    });
    controller.start();
    const polled = async (count: number): Promise<void> => {
      while (server.urls.length < count) await time.advance(1_000);
      for (let turn = 0; turn < 5; turn += 1) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        await time.advance(0);
      }
    };

    await polled(1);
    expect(sent).toHaveLength(0);
    value = 91;
    await polled(2);
    await polled(3);

    expect(server.urls[0]).toContain('/prefix/api/v1/query?query=q%7B%7D');
    expect(sent).toMatchObject([
      { reason: 'HeapNearLimit', monitorName: 'a', numbers: { heapUsedPercent: 91 } },
    ]);
    await time.advance(6_000);
    expect(condition(lastOf('a'), 'Degraded')).toMatchObject({ status: 'False' });
    await controller.stop();
    await server.close();
  });

  it('that cannot be read make the monitor Degraded, with an Event on it', async () => {
    const { pods, controller, time, apply, told, lastOf } = aPart();
    pods.put(cart({ podIP: '127.0.0.1' }));
    apply('a', { metrics: { source: 'scrape', scrape: { port: 9404 } } });
    controller.start();
    await time.advance(30_000);

    expect(condition(lastOf('a'), 'Degraded')).toMatchObject({
      ...{ status: 'True', reason: 'ScrapeFailing' },
      message: '1 of 1 pods are not read; cart-1: no address of its own',
    });
    expect(told).toMatchObject([{ type: 'Warning', reason: 'ScrapeFailing' }]);
    await controller.stop();
  });
});

describe('an Event of heapcatch on a pod', () => {
  const event = {
    metadata: {
      annotations: {
        'heapcatch.dev/capture-id': 'a'.repeat(32),
        'heapcatch.dev/index-key': `index/8204570000000-${'a'.repeat(32)}.json`,
      },
    },
    involvedObject: { kind: 'Pod', namespace: 'shop', name: 'cart-1', uid: 'uid-1' },
    source: { component: 'heapcatch' },
    ...{ reason: 'HeapDumpSaved', message: 'all well', lastTimestamp: '2026-03-01T10:00:00Z' },
  };

  it('is read, and every other is not', () => {
    expect(readCaptureWord(event)).toMatchObject({
      ...{ podUid: 'uid-1', reason: 'HeapDumpSaved' },
      indexKey: `index/8204570000000-${'a'.repeat(32)}.json`,
    });
    expect(readCaptureWord({ ...event, source: { component: 'kubelet' } })).toBeUndefined();
    expect(readCaptureWord({ ...event, reason: 'Unhealthy' })).toBeUndefined();
    expect(readCaptureWord(null)).toBeUndefined();
  });
});
