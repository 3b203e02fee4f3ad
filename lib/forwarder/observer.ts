import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { PodFacts } from '../policy/pod-facts.ts';
import type { FailureStreak } from '../signal/failure-streak.ts';
import {
  signalFromKubernetesEvent,
  signalFromPodChange,
  type EventReading,
  type IgnoredReason,
} from '../signal/from-cluster.ts';
import { parseKubernetesEvent, type KubernetesEvent } from '../signal/kubernetes-event.ts';
import { readCaptureWord, type CaptureWord } from '../signal/capture-word.ts';
import type { Signal } from '../signal/signal.ts';
import type { WatchChange } from '../signal/watch-source.ts';
import type { ForwarderMetrics } from './metrics.ts';
import { PendingEvents } from './pending-events.ts';
import type { PodCache } from './pod-cache.ts';
import type { PodPolicies } from './pod-policies.ts';
import { RecentMap } from './recent-map.ts';
import type { Time } from './time.ts';

/** Of a list of Events only those count that can still be about the trouble of right now. */
export const maxListedEventAgeSeconds = 5 * 60;
const maxRememberedEventCount = 20_000;
const maxRememberedStreakCount = 20_000;

/** Answers that a pod which is still to come can change. */
const earlyReasons: ReadonlySet<IgnoredReason> = new Set(['PodUnknown', 'PodReplaced']);

type ObjectChange<T> = Exclude<WatchChange<T>, { type: 'BOOKMARK' }>;

interface Seen {
  event: KubernetesEvent;
  /** It comes from a list, so it may be as old as the API server keeps Events: an hour and more. */
  listed: boolean;
}

export interface ObserverOptions {
  clusterName: string;
  pods: PodCache;
  policies: Pick<PodPolicies, 'of' | 'monitorOf'>;
  /** Told what the functions say on pods of their captures. */
  captureSeen?: (word: CaptureWord) => void;
  send(signal: Signal): void;
  time: Time;
  metrics: ForwarderMetrics;
  log: Logger;
  signal: AbortSignal;
}

/**
 * Turns what lists and watches say into signals with their policy. Everything that leads to none is counted with
 * its reason. A list may repeat what is known: pods are compared with the last word about them, Events by their count.
 */
export class Observer {
  readonly #options: ObserverOptions;
  readonly #pending: PendingEvents<Seen>;
  /** Highest count handled, by the uid of the Event. */
  readonly #handledCounts = new RecentMap<number>(maxRememberedEventCount);
  /** By pod uid and container name. */
  readonly #streaks = new RecentMap<FailureStreak>(maxRememberedStreakCount);
  #lastRefusalLogTime = Number.NEGATIVE_INFINITY;

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#pending = new PendingEvents({
      time: options.time,
      signal: options.signal,
      onGivenUp: (seen) => this.#guarded('events', () => this.#handleNow(seen)),
    });
  }

  /** A whole list of a namespace ('' means all): what it does not have any more is forgotten. */
  podsListed(namespace: string, listed: readonly PodFacts[]): void {
    const goneCount = this.#options.pods.retain(namespace, listed);
    if (goneCount > 0) this.#options.log.info('pods were gone from the list', { goneCount });
    for (const pod of listed) this.#guarded('pods', () => this.#podSeen(pod));
    this.#options.metrics.podsCached.set(this.#options.pods.size);
  }

  podChanged(change: ObjectChange<PodFacts>): void {
    if (change.type === 'DELETED') this.#options.pods.delete(change.object);
    else this.#podSeen(change.object);
    this.#options.metrics.podsCached.set(this.#options.pods.size);
  }

  eventsListed(listed: readonly unknown[]): void {
    for (const raw of listed) this.#guarded('events', () => this.#eventSeen(raw, true));
  }

  /** A MODIFIED Event with a higher count is a new observation; one that is deleted has only become old. */
  eventChanged(change: ObjectChange<unknown>): void {
    if (change.type !== 'DELETED') this.#eventSeen(change.object, false);
  }

  #podSeen(pod: PodFacts): void {
    const { pods, time, metrics } = this.#options;
    const change = pods.put(pod);
    if (change.outcome === 'refused') {
      metrics.podsRefused.inc();
      this.#logRefusal(pod);
      return;
    }
    const { previous, current } = change;
    for (const signal of signalFromPodChange(previous, current, time.now().toISOString())) {
      this.#observed(signal, current);
    }
    for (const key of [pod.podUid, nameKeyOf(pod.namespace, pod.podName)]) {
      for (const seen of this.#pending.release(key)) this.#handleNow(seen);
    }
  }

  #eventSeen(raw: unknown, listed: boolean): void {
    const word = readCaptureWord(raw);
    if (word !== undefined) {
      this.#options.captureSeen?.(word);
      return;
    }
    let event: KubernetesEvent;
    try {
      event = parseKubernetesEvent(raw);
    } catch (error) {
      this.#ignored('InvalidEvent');
      this.#options.log.debug('not an Event that can be read', { error: messageOf(error) });
      return;
    }
    if ((this.#handledCounts.get(event.eventUid) ?? 0) >= event.count) {
      this.#ignored('Repeat');
      return;
    }
    const { namespace, name, uid } = event.regarding;
    const seen = { event, listed };
    const reading = this.#read(event, this.#options.pods.get(namespace, name));
    // A pod that is new under a known name is not known yet either.
    const early = 'ignored' in reading && earlyReasons.has(reading.ignored);
    if (early) this.#pending.hold(uid ?? nameKeyOf(namespace, name), seen);
    else this.#handle(seen, reading);
  }

  #read(event: KubernetesEvent, pod: PodFacts | undefined): EventReading {
    const { clusterName } = this.#options;
    const streakKey = `${pod?.podUid ?? ''}/${event.regarding.containerName ?? ''}`;
    const reading = signalFromKubernetesEvent(
      event,
      pod,
      clusterName,
      this.#streaks.get(streakKey),
    );
    if ('streak' in reading) this.#streaks.set(streakKey, reading.streak);
    return reading;
  }

  /** With what is known now, be it the pod or that it never came. */
  #handleNow(seen: Seen): void {
    const { namespace, name } = seen.event.regarding;
    this.#handle(seen, this.#read(seen.event, this.#options.pods.get(namespace, name)));
  }

  #handle({ event, listed }: Seen, reading: EventReading): void {
    const { metrics, pods, time } = this.#options;
    if ('ignored' in reading) {
      this.#ignored(reading.ignored);
      return;
    }
    const { signal } = reading;
    if (event.eventUid !== '') this.#handledCounts.set(event.eventUid, event.count);
    const pod = pods.get(signal.namespace, signal.podName);
    if (pod === undefined) return;
    if (listed && !isOfNow(signal, pod, time.now())) {
      this.#ignored('Stale');
      return;
    }
    const lagSeconds = (time.now().getTime() - Date.parse(signal.observedTime)) / 1000;
    metrics.eventLagSeconds.observe(Math.max(0, lagSeconds));
    this.#observed(signal, pod);
  }

  #observed(signal: Signal, pod: PodFacts): void {
    const { metrics } = this.#options;
    metrics.signalsObserved.inc({ reason: signal.reason });
    const { policies } = this.#options;
    const policy = policies.of(pod, signal.containerName);
    const monitorName = policies.monitorOf(pod, signal.containerName)?.name;
    if (policy.enabled) {
      this.#options.send({ ...signal, ...(monitorName && { monitorName }), policy });
    } else metrics.signalsIgnored.inc({ reason: 'PolicyDisabled' });
  }

  #ignored(reason: IgnoredReason | 'InvalidEvent' | 'Repeat' | 'Stale'): void {
    this.#options.metrics.eventsIgnored.inc({ reason });
  }

  #guarded(resource: 'pods' | 'events', handle: () => void): void {
    try {
      handle();
    } catch (error) {
      this.#options.metrics.watchFaults.inc({ resource });
      this.#options.log.error('an object could not be handled', {
        resource,
        error: messageOf(error),
      });
    }
  }

  #logRefusal(pod: PodFacts): void {
    const now = this.#options.time.now().getTime();
    if (now - this.#lastRefusalLogTime < 60_000) return;
    this.#lastRefusalLogTime = now;
    this.#options.log.error(
      'too many pods, the trouble of some is not seen; name fewer namespaces',
      {
        namespace: pod.namespace,
        podName: pod.podName,
        podCount: this.#options.pods.size,
      },
    );
  }
}

function nameKeyOf(namespace: string, podName: string): string {
  return `${namespace}/${podName}`;
}

/**
 * After a start or a gap of the watch: recent, and about a container that still lives (that it is still the same life
 * was checked when the Event was read). Repeats are harmless (captureId), a flood about dead containers is not.
 */
function isOfNow(signal: Signal, pod: PodFacts, now: Date): boolean {
  const ageMilliseconds = now.getTime() - Date.parse(signal.observedTime);
  if (ageMilliseconds > maxListedEventAgeSeconds * 1000) return false;
  return pod.containers.some((one) => one.containerName === signal.containerName && one.running);
}
