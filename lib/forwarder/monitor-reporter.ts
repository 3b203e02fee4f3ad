import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { JvmMonitorApi, MonitorEvent } from '../policy/monitor-api.ts';
import {
  maxLastCaptureCount,
  nextStatus,
  rfc3339,
  type JvmMonitorStatus,
  type LastCapture,
  type MonitorFacts,
} from '../policy/monitor-status.ts';
import type { CaptureWord } from '../signal/capture-word.ts';
import type { Signal } from '../signal/signal.ts';
import type { JvmMonitors, KnownMonitor } from './jvm-monitors.ts';
import type { PodCache } from './pod-cache.ts';
import { RecentMap } from './recent-map.ts';
import type { Time } from './time.ts';

/** One monitor's status is written no more often than this, after the first word about a change. */
export const statusPeriodSeconds = 5;
const failurePeriodSeconds = 30;
const maxWritesPerRound = 10;
const maxEventsPerMinute = 30;
const countPeriodSeconds = 5;
const maxRememberedPodCount = 5_000;
/** Skips that are limits of the policy; others say nothing about how often. */
const throttlingReasons: ReadonlySet<string> = new Set(['Cooldown', 'RateLimited', 'LockHeld']);

export interface MonitorReporterOptions {
  monitors: JvmMonitors;
  pods: Pick<PodCache, 'all' | 'get'>;
  api: Pick<JvmMonitorApi, 'patchStatus' | 'postMonitorEvent'>;
  time: Time;
  log: Logger;
}

interface Account {
  uid: string;
  lastCaptures: LastCapture[];
  lastTrigger?: JvmMonitorStatus['lastTrigger'];
  throttled?: { reason: string; message: string; untilMilliseconds: number };
  trouble?: MonitorFacts['trouble'];
  matchedPodCount: number;
  overriddenPodCount: number;
  nextWriteMilliseconds: number;
  /** The last one written; the watch shows it a moment later. */
  written?: JvmMonitorStatus;
}

/**
 * What is told about JvmMonitors: their status and Events on them. Words are taken in at all times, so that a new leader knows
 * them; `round` alone writes. A status that cannot be written is tried again; an Event that cannot is lost.
 */
export class MonitorReporter {
  readonly #options: MonitorReporterOptions;
  readonly #accounts = new Map<string, Account>();
  /** By pod uid: the monitor of its last signal. A pod can be gone when its capture is sealed. */
  readonly #monitorOfPod = new RecentMap<string>(maxRememberedPodCount);
  #countedChange = -1;
  #nextCountMilliseconds = 0;
  #eventMinute = 0;
  #eventCount = 0;
  #lastFaultLogMilliseconds = Number.NEGATIVE_INFINITY;

  constructor(options: MonitorReporterOptions) {
    this.#options = options;
  }

  /** A signal went out by the policy of a monitor. */
  signalSent({ namespace, podName, podUid, monitorName, reason, observedTime }: Signal): void {
    if (monitorName === undefined) return;
    if (podUid !== undefined) this.#monitorOfPod.set(podUid, monitorName);
    const account = this.#accountOf(this.#options.monitors.get(namespace, monitorName));
    if (account !== undefined) account.lastTrigger = { reason, podName, time: observedTime };
  }

  captureSeen(word: CaptureWord): void {
    const { namespace, podName, podUid, captureId, reason, message, time } = word;
    const pod = this.#options.pods.get(namespace, podName);
    const container = pod?.podUid === podUid ? pod.containers[0] : undefined;
    const name =
      this.#monitorOfPod.get(podUid) ??
      (pod && container && this.#options.monitors.governing(pod, container.containerName)?.name);
    const known = name === undefined ? undefined : this.#options.monitors.get(namespace, name);
    const account = this.#accountOf(known);
    if (account === undefined) return;
    if (reason === 'HeapDumpSkipped') {
      this.#skipped(account, word, known?.monitor?.spec.limits.cooldownSeconds ?? 0);
      return;
    }
    const before = account.lastCaptures.find((capture) => capture.captureId === captureId);
    // The words of one capture can come in any order, and come again with each list.
    if (before !== undefined && (reason === 'HeapDumpStarted' || before.state === reason)) return;
    delete account.throttled;
    const { indexKey } = word;
    const capture = { captureId, podName, state: reason, time, message: message.slice(0, 300) };
    account.lastCaptures = [
      { ...capture, ...(indexKey === undefined ? {} : { indexKey }) },
      ...account.lastCaptures.filter((one) => one.captureId !== captureId),
    ]
      .toSorted((a, b) => b.time.localeCompare(a.time))
      .slice(0, maxLastCaptureCount);
  }

  /** What keeps a monitor from seeing what it shall see; `undefined` when nothing does any more. */
  troubled(known: KnownMonitor, trouble: MonitorFacts['trouble']): void {
    const account = this.#accountOf(known);
    if (account === undefined) return;
    if (trouble !== undefined && account.trouble?.reason !== trouble.reason) {
      this.tell(known, { type: 'Warning', ...trouble, identity: rfc3339(this.#now()) });
    }
    if (trouble === undefined) delete account.trouble;
    else account.trouble = trouble;
  }

  /** Posts an Event on a monitor, at most 30 a minute of all. */
  tell(known: KnownMonitor, event: MonitorEvent): void {
    const minute = Math.floor(this.#now().getTime() / 60_000);
    if (minute !== this.#eventMinute) this.#eventCount = 0;
    this.#eventMinute = minute;
    this.#eventCount += 1;
    if (this.#eventCount > maxEventsPerMinute) return;
    this.#options.api.postMonitorEvent(known, event).catch((error: unknown) => {
      this.#logFault('an Event of a JvmMonitor was not posted', known, error);
    });
  }

  /** Writes what has changed, within the bounds. */
  async round(): Promise<void> {
    const { monitors } = this.#options;
    this.#forgetGone();
    this.#count();
    const now = this.#now();
    const due: (() => Promise<void>)[] = [];
    for (const known of monitors.all()) {
      const account = this.#accountOf(known);
      if (account === undefined || account.nextWriteMilliseconds > now.getTime()) continue;
      const before = account.written ?? known.status;
      const status = nextStatus(before, this.#factsOf(known, account, now), now);
      // Both have their fields in one order: that of the schema, by which it is read.
      if (JSON.stringify(status) === JSON.stringify(before)) continue;
      due.push(() => this.#write(known, account, status));
      if (due.length >= maxWritesPerRound) break;
    }
    await Promise.all(due.map((write) => write()));
  }

  async #write(known: KnownMonitor, account: Account, status: JvmMonitorStatus): Promise<void> {
    const now = this.#now().getTime();
    account.nextWriteMilliseconds = now + statusPeriodSeconds * 1_000;
    try {
      await this.#options.api.patchStatus(known, status);
      account.written = status;
    } catch (error) {
      account.nextWriteMilliseconds = now + failurePeriodSeconds * 1_000;
      this.#logFault('the status of a JvmMonitor was not written', known, error);
    }
  }

  #factsOf(known: KnownMonitor, account: Account, now: Date): MonitorFacts {
    const { throttled, matchedPodCount, overriddenPodCount, lastCaptures } = account;
    if (throttled !== undefined && throttled.untilMilliseconds <= now.getTime()) {
      delete account.throttled;
    }
    return {
      generation: known.generation,
      fault: known.fault,
      enabled: known.monitor?.spec.enabled ?? false,
      trouble: account.trouble,
      throttled: account.throttled && {
        reason: account.throttled.reason,
        message: account.throttled.message,
      },
      lastTrigger: account.lastTrigger,
      ...{ matchedPodCount, overriddenPodCount, lastCaptures },
    };
  }

  /** A skip's message begins with its reason (lib/capture/capture-events.ts). */
  #skipped(account: Account, { message, time }: CaptureWord, cooldownSeconds: number): void {
    const [, reason = '', why = ''] = /^([A-Za-z]{1,64}): (.*)$/s.exec(message) ?? [];
    if (!throttlingReasons.has(reason)) return;
    const untilMilliseconds = Date.parse(time) + Math.max(60, cooldownSeconds) * 1_000;
    if (untilMilliseconds <= this.#now().getTime()) return;
    account.throttled = { reason, message: why, untilMilliseconds };
  }

  #count(): void {
    const { monitors, pods, time } = this.#options;
    const now = time.now().getTime();
    const changed = monitors.changeCount !== this.#countedChange;
    if (monitors.count === 0 || (!changed && now < this.#nextCountMilliseconds)) return;
    this.#countedChange = monitors.changeCount;
    this.#nextCountMilliseconds = now + countPeriodSeconds * 1_000;
    for (const account of this.#accounts.values()) {
      account.matchedPodCount = 0;
      account.overriddenPodCount = 0;
    }
    for (const pod of pods.all()) {
      const governing = new Set<string>();
      const selecting = new Set<string>();
      for (const { containerName } of pod.containers) {
        for (const { name } of monitors.selecting(pod, containerName)) selecting.add(name);
        const governor = selecting.size > 0 && monitors.governing(pod, containerName);
        if (governor) governing.add(governor.name);
      }
      for (const name of selecting) {
        const account = this.#accountOf(monitors.get(pod.namespace, name));
        if (account === undefined) continue;
        if (governing.has(name)) account.matchedPodCount += 1;
        else account.overriddenPodCount += 1;
      }
    }
  }

  #accountOf(known: KnownMonitor | undefined): Account | undefined {
    if (known === undefined) return undefined;
    const key = `${known.namespace}/${known.name}`;
    const account = this.#accounts.get(key);
    if (account?.uid === known.uid) return account;
    const { lastCaptures = [], lastTrigger } = known.status ?? {};
    const fresh: Account = {
      uid: known.uid,
      lastCaptures: [...lastCaptures],
      ...(lastTrigger === undefined ? {} : { lastTrigger }),
      matchedPodCount: 0,
      overriddenPodCount: 0,
      nextWriteMilliseconds: 0,
    };
    this.#accounts.set(key, fresh);
    return fresh;
  }

  #forgetGone(): void {
    for (const key of this.#accounts.keys()) {
      const [namespace = '', name = ''] = key.split('/');
      if (this.#options.monitors.get(namespace, name) === undefined) this.#accounts.delete(key);
    }
  }

  #logFault(message: string, { namespace, name }: KnownMonitor, error: unknown): void {
    const now = this.#now().getTime();
    if (now - this.#lastFaultLogMilliseconds < 60_000) return;
    this.#lastFaultLogMilliseconds = now;
    this.#options.log.warn(message, { namespace, monitorName: name, error: messageOf(error) });
  }

  #now(): Date {
    return this.#options.time.now();
  }
}
