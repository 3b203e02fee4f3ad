import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Endings } from '../../lib/forwarder/endings.ts';
import { createForwarderMetrics, type ForwarderMetrics } from '../../lib/forwarder/metrics.ts';
import { PodCache } from '../../lib/forwarder/pod-cache.ts';
import { PodPolicies } from '../../lib/forwarder/pod-policies.ts';
import { SignalIntake } from '../../lib/forwarder/signal-intake.ts';
import { Spool } from '../../lib/forwarder/spool.ts';
import type { Time } from '../../lib/forwarder/time.ts';
import { createLogger, type Logger } from '../../lib/log.ts';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';
import type { SignalBus } from '../../lib/signal/signal-bus.ts';
import { signalSchema, type Signal } from '../../lib/signal/signal.ts';
import type { WatchChange, WatchEnd, WatchSource } from '../../lib/signal/watch-source.ts';

export const startTime = new Date('2026-03-01T10:00:00.000Z');

/** Lets everything run that needs no timer: promises, and I/O that is already done. */
export async function turns(count = 20): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Waits for real I/O by turning the event loop, bounded. */
export async function until(what: string, met: () => boolean, boundSeconds = 20): Promise<void> {
  const end = performance.now() + boundSeconds * 1000;
  while (!met()) {
    if (performance.now() > end) throw new Error(`never happened: ${what}`);
    await turns(1);
  }
}

/** Time that stands still until it is advanced. */
export class FakeTime implements Time {
  #milliseconds = startTime.getTime();
  #sleepers: { due: number; wake: () => void }[] = [];

  now(): Date {
    return new Date(this.#milliseconds);
  }

  get sleeperCount(): number {
    return this.#sleepers.length;
  }

  async sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        this.#sleepers = this.#sleepers.filter((sleeper) => sleeper.wake !== wake);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      this.#sleepers.push({ due: this.#milliseconds + milliseconds, wake });
      signal?.addEventListener('abort', wake);
    });
  }

  async advance(milliseconds: number): Promise<void> {
    const target = this.#milliseconds + milliseconds;
    await turns();
    for (;;) {
      const next = this.#sleepers.toSorted((a, b) => a.due - b.due)[0];
      if (next === undefined || next.due > target) break;
      this.#milliseconds = Math.max(this.#milliseconds, next.due);
      next.wake();
      await turns();
    }
    this.#milliseconds = target;
    await turns();
  }
}

export interface Logged {
  level: string;
  message: string;
  [field: string]: unknown;
}

export function recordingLog(): { log: Logger; lines: Logged[] } {
  const lines: Logged[] = [];
  const write = (line: string): void => {
    lines.push(JSON.parse(line) as Logged);
  };
  return { log: createLogger('forwarder', { write }), lines };
}

type Faults = Awaited<ReturnType<SignalBus['putSignals']>>;

/** A bus that takes everything, until a test says otherwise. */
export class FakeBus implements SignalBus {
  readonly received: Signal[] = [];
  readonly calls: (readonly Signal[])[] = [];
  answer: (signals: readonly Signal[]) => Faults | Promise<Faults> = () => [];

  async putSignals(signals: readonly Signal[]): Promise<Faults> {
    this.calls.push(signals);
    const faults = await this.answer(signals);
    const refused = new Set(faults.map((fault) => fault.index));
    this.received.push(...signals.filter((_signal, index) => !refused.has(index)));
    return faults;
  }
}

export function aSignal(overrides: Partial<Signal> = {}): Signal {
  return signalSchema.parse({
    schemaVersion: 1,
    clusterName: 'test',
    namespace: 'shop',
    podName: 'cart-1',
    podUid: 'uid-1',
    containerName: 'app',
    containerID: 'containerd://abc',
    nodeName: 'node-1',
    reason: 'LivenessProbeFailing',
    observedTime: startTime.toISOString(),
    numbers: { failureCount: 1, failureThreshold: 3 },
    ...overrides,
  });
}

export function aPod(overrides: Partial<PodFacts> = {}): PodFacts {
  return {
    clusterName: 'test',
    namespace: 'shop',
    podName: 'cart-1',
    podUid: 'uid-1',
    nodeName: 'node-1',
    workload: { kind: 'Deployment', name: 'cart' },
    phase: 'Running',
    ready: true,
    terminationGracePeriodSeconds: 30,
    annotations: {},
    containers: [
      {
        containerName: 'app',
        containerID: 'containerd://abc',
        running: true,
        ready: true,
        started: true,
        restartCount: 0,
        startedTime: '2026-03-01T09:00:00Z',
        livenessProbe: {
          periodSeconds: 10,
          timeoutSeconds: 1,
          failureThreshold: 3,
          initialDelaySeconds: 0,
        },
        hasPreStop: false,
        readOnlyRootFilesystem: false,
        volumeMounts: [
          { volumeName: 'data', mountPath: '/data', readOnly: false, volumeType: 'emptyDir' },
        ],
      },
    ],
    ...overrides,
  };
}

/** A core/v1 Event of a failing liveness probe, as the kubelet writes it. */
export function aProbeEvent(
  overrides: {
    name?: string;
    podName?: string;
    podUid?: string;
    count?: number;
    time?: Date;
    message?: string;
  } = {},
): Record<string, unknown> {
  const time = (overrides.time ?? startTime).toISOString().replace('.000Z', 'Z');
  const name = overrides.name ?? 'cart-1.18a';
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name, namespace: 'shop', uid: `event-${name}`, creationTimestamp: time },
    involvedObject: {
      kind: 'Pod',
      apiVersion: 'v1',
      namespace: 'shop',
      name: overrides.podName ?? 'cart-1',
      uid: overrides.podUid ?? 'uid-1',
      fieldPath: 'spec.containers{app}',
    },
    reason: 'Unhealthy',
    message: overrides.message ?? 'Liveness probe failed: HTTP probe failed with statuscode: 503',
    source: { component: 'kubelet', host: 'node-1' },
    firstTimestamp: time,
    lastTimestamp: time,
    count: overrides.count ?? 1,
    type: 'Warning',
    eventTime: null,
    reportingComponent: 'kubelet',
    reportingInstance: 'node-1',
  };
}

interface OpenWatch<T> {
  resourceVersion: string;
  change(change: WatchChange<T>): void;
  end(end: WatchEnd): void;
  fail(error: Error): void;
  aborted(): boolean;
}

/** One resource of a fake cluster: a test sets what a list answers, and speaks through the open watch. */
export class FakeResource<T> {
  items: readonly T[] = [];
  resourceVersion = '1';
  listCount = 0;
  list: () => Promise<{ items: readonly T[]; resourceVersion: string }> = () =>
    Promise.resolve({ items: this.items, resourceVersion: this.resourceVersion });
  readonly watches: OpenWatch<T>[] = [];

  get open(): OpenWatch<T> {
    const last = this.watches.at(-1);
    if (last === undefined) throw new Error('no watch is open');
    return last;
  }

  answerList(): Promise<{ items: readonly T[]; resourceVersion: string }> {
    this.listCount += 1;
    return this.list();
  }

  watch(
    resourceVersion: string,
    onChange: (change: WatchChange<T>) => void,
    signal: AbortSignal,
  ): Promise<WatchEnd> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => resolve('closed'));
      this.watches.push({
        resourceVersion,
        change: onChange,
        end: resolve,
        fail: reject,
        aborted: () => signal.aborted,
      });
    });
  }
}

export class FakeCluster implements WatchSource {
  readonly pods = new FakeResource<PodFacts>();
  readonly events = new FakeResource<unknown>();

  listPods: WatchSource['listPods'] = () => this.pods.answerList();
  listEvents: WatchSource['listEvents'] = () => this.events.answerList();
  watchPods: WatchSource['watchPods'] = (_namespace, resourceVersion, onChange, signal) =>
    this.pods.watch(resourceVersion, onChange, signal);
  watchEvents: WatchSource['watchEvents'] = (_namespace, resourceVersion, onChange, signal) =>
    this.events.watch(resourceVersion, onChange, signal);
}

/** An intake that knows these pods, and what it sent. */
export function anIntake(
  pods: readonly PodFacts[],
  options: { metrics?: ForwarderMetrics; log?: Logger } = {},
) {
  const { metrics = createForwarderMetrics(), log = recordingLog().log } = options;
  const known = new PodCache();
  for (const pod of pods) known.put(pod);
  const sent: Signal[] = [];
  const intake = new SignalIntake({
    clusterName: 'test',
    pods: known,
    policies: new PodPolicies({ metrics, log }),
    send: (signal) => sent.push(signal),
    metrics,
    endings: new Endings({ pods: known }),
  });
  return { intake, pods: known, sent };
}

/** A folder that is gone when the test is over. */
export function temporaryDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'heapcatch-forwarder-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export async function openSpool(
  directory: string,
  options: { time?: FakeTime; maxBytes?: number } = {},
) {
  const { log, lines } = recordingLog();
  const metrics = createForwarderMetrics();
  const time = options.time ?? new FakeTime();
  const maxBytes = options.maxBytes ?? 1024 * 1024;
  const spool = await Spool.open({ directory, maxBytes, time, metrics, log });
  return { spool, time, metrics, log, lines };
}

/** The value of one sample of a metric; 0 when it was never set. */
export async function valueOf(
  metric: { get(): Promise<{ values: { value: number; labels: object }[] }> },
  labels: Record<string, string> = {},
): Promise<number> {
  const { values } = await metric.get();
  return values
    .filter((sample) =>
      Object.entries(labels).every(
        ([name, value]) => (sample.labels as Record<string, unknown>)[name] === value,
      ),
    )
    .reduce((sum, sample) => sum + sample.value, 0);
}
