import { setMaxListeners } from 'node:events';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { NamespaceSource, Pace, WatchSource } from '../signal/watch-source.ts';
import type { ForwarderMetrics } from './metrics.ts';
import type { MonitorPart } from './monitor-part.ts';
import type { Observer } from './observer.ts';
import type { Time } from './time.ts';
import type { WatchHealth } from './watch-health.ts';
import { watchForever } from './watcher.ts';

/** Opted in by label; each costs three watches. */
export const maxOptedInCount = 500;

/** Namespaces that opt in by a label, and the selector in words. */
export interface OptIn {
  readonly selector: string;
  readonly source: NamespaceSource;
}

export interface WatchedNamespacesOptions {
  /** By name, for good; '' means all. */
  readonly namespaces: readonly string[];
  readonly optIn?: OptIn;
  readonly source: WatchSource;
  readonly health: WatchHealth;
  readonly metrics: ForwarderMetrics;
  readonly time: Time;
  readonly random: () => number;
  readonly log: Logger;
}

/** Whom the watches tell. */
export interface Listeners {
  /** Behind whom the watches wait. */
  readonly pace: Pace;
  readonly observer: Observer;
  readonly monitorPart: MonitorPart;
}

interface Watched {
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

/**
 * The namespaces that are watched: those of the list, and those that have opted in by a label, from when they get it to when they
 * lose it. Of one that is not watched any more nothing is known. Beyond 500 of the latter those that come last are left out, counted.
 */
export class WatchedNamespaces {
  readonly #options: WatchedNamespacesOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #refused = new Set<string>();
  /** Watches that were told to end, so that none of the same namespace begins before. */
  readonly #ending = new Map<string, Promise<void>>();

  constructor(options: WatchedNamespacesOptions) {
    this.#options = options;
  }

  /** Whether the pods of a namespace are watched. */
  watches(namespace: string): boolean {
    const { namespaces } = this.#options;
    return [namespace, ''].some((name) => namespaces.includes(name) || this.#watched.has(name));
  }

  /** Ends after the abort. */
  async run(listeners: Listeners, signal: AbortSignal): Promise<void> {
    const { namespaces, optIn, health } = this.#options;
    for (const namespace of namespaces) this.#begin(namespace, listeners, signal);
    if (optIn !== undefined) {
      await watchForever<string>({
        ...this.#options,
        ...{ resource: 'namespaces', namespace: '', signal },
        list: () => optIn.source.listNamespaces(),
        watch: (from, onChange, ended) => optIn.source.watchNamespaces(from, onChange, ended),
        onList: (names) => this.#listed(names, listeners, signal),
        onChange: ({ type, object }) => {
          if (type === 'DELETED') {
            this.#end(object, listeners);
            const [next] = this.#refused;
            if (next !== undefined) this.#optedIn(next, listeners, signal);
          } else this.#optedIn(object, listeners, signal);
        },
        onContact: health.watcher('namespaces'),
      });
    }
    await Promise.all([...this.#watched.values()].map(({ ended }) => ended));
    await Promise.all(this.#ending.values());
  }

  #listed(names: readonly string[], listeners: Listeners, signal: AbortSignal): void {
    const listed = new Set(names);
    for (const name of [...this.#watched.keys(), ...this.#refused]) {
      if (!listed.has(name)) this.#end(name, listeners);
    }
    for (const name of names) this.#optedIn(name, listeners, signal);
  }

  #optedIn(namespace: string, listeners: Listeners, signal: AbortSignal): void {
    const { log, metrics } = this.#options;
    if (this.watches(namespace)) return;
    if (this.#watched.size >= maxOptedInCount) {
      if (!this.#refused.has(namespace)) {
        log.error('too many namespaces have opted in, this one is not watched', {
          ...{ namespace, maxOptedInCount },
        });
      }
      this.#refused.add(namespace);
      metrics.namespacesRefused.set(this.#refused.size);
      return;
    }
    this.#refused.delete(namespace);
    log.info('a namespace has opted in', { namespace });
    this.#begin(namespace, listeners, signal);
  }

  #begin(namespace: string, listeners: Listeners, signal: AbortSignal): void {
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    setMaxListeners(0, either);
    const before = this.#ending.get(namespace) ?? Promise.resolve();
    const ended = before.then(() =>
      watchNamespace({ ...this.#options, ...listeners, namespace, signal: either }),
    );
    this.#watched.set(namespace, { stop, ended });
    this.#report();
  }

  /** Of one that was never watched nothing is to be done; of one of the list neither. */
  #end(namespace: string, { observer, monitorPart }: Listeners): void {
    if (this.#options.namespaces.includes(namespace)) return;
    this.#refused.delete(namespace);
    const watched = this.#watched.get(namespace);
    this.#watched.delete(namespace);
    this.#report();
    if (watched === undefined) return;
    const { log, health } = this.#options;
    log.info('a namespace has not opted in any more', { namespace });
    watched.stop.abort();
    observer.podsListed(namespace, []);
    monitorPart.monitors.listed(namespace, []);
    for (const resource of ['pods', 'events']) health.forget(`${resource} ${namespace}`);
    const ended = watched.ended
      .catch((error: unknown) => log.error('a watch failed', { error: messageOf(error) }))
      .finally(() => {
        if (this.#ending.get(namespace) === ended) this.#ending.delete(namespace);
      });
    this.#ending.set(namespace, ended);
  }

  #report(): void {
    const { namespacesWatched, namespacesRefused } = this.#options.metrics;
    namespacesWatched.set(this.#watched.size);
    namespacesRefused.set(this.#refused.size);
  }
}

/** Pods and Events of a namespace, and its JvmMonitors. Ends after the abort. */
async function watchNamespace(
  options: Omit<WatchedNamespacesOptions, 'namespaces'> &
    Listeners & { namespace: string; signal: AbortSignal },
): Promise<void> {
  if (options.signal.aborted) return;
  const { source, namespace, observer, health, signal } = options;
  const monitors = options.monitorPart.watch(namespace, signal);
  const podsKnown = Promise.withResolvers<undefined>();
  signal.addEventListener('abort', () => podsKnown.resolve(undefined), { once: true });
  const onEventsContact = health.watcher(`events ${namespace}`);
  const pods = watchForever({
    ...options,
    resource: 'pods',
    list: () => source.listPods(namespace),
    watch: (from, onChange, ...rest) => source.watchPods(namespace, from, onChange, ...rest),
    onList: (items) => {
      observer.podsListed(namespace, items);
      podsKnown.resolve(undefined);
    },
    onChange: (change) => observer.podChanged(change),
    onContact: health.watcher(`pods ${namespace}`),
  });
  await podsKnown.promise;
  const events = watchForever({
    ...options,
    resource: 'events',
    list: () => source.listEvents(namespace),
    watch: (from, onChange, ...rest) => source.watchEvents(namespace, from, onChange, ...rest),
    onList: (items) => observer.eventsListed(items),
    onChange: (change) => observer.eventChanged(change),
    onContact: onEventsContact,
  });
  await Promise.all([monitors, pods, events]);
}
