import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Pace, WatchChange, WatchEnd } from '../signal/watch-source.ts';
import type { ForwarderMetrics } from './metrics.ts';
import { createBackoff, type Backoff, type Time } from './time.ts';

/** A list of the API that does not answer within this is tried again. */
export const listDeadlineSeconds = 60;
/**
 * A watch that says nothing, not even a bookmark, for this long is taken for dead and listed anew. The API server
 * sends a bookmark about once a minute; a connection that was cut without a word would otherwise stay silent.
 */
export const watchIdleTimeoutSeconds = 150;
/** A watch that closes sooner than this without having said anything counts as a failed one. */
const shortestGoodWatchSeconds = 5;
/** After so many failed watches from one version it is listed again: something at that version may be unreadable. */
const maxFruitlessWatchCount = 3;

export interface WatcherOptions<T> {
  resource: 'pods' | 'events' | 'namespaces' | 'jvmmonitors';
  namespace: string;
  list(): Promise<{ items: readonly T[]; resourceVersion: string }>;
  watch(
    resourceVersion: string,
    onChange: (change: WatchChange<T>) => void,
    signal: AbortSignal,
    pace?: Pace,
  ): Promise<WatchEnd>;
  /** Behind whom the watch waits. */
  pace?: Pace;
  onList(items: readonly T[]): void;
  onChange(change: Exclude<WatchChange<T>, { type: 'BOOKMARK' }>): void;
  /** Called at each proof that the API server speaks to us. */
  onContact(): void;
  time: Time;
  random: () => number;
  metrics: ForwarderMetrics;
  log: Logger;
  signal: AbortSignal;
}

/**
 * Lists once, then watches until the abort, whatever fails. A closed or broken watch resumes from the last
 * resourceVersion seen, bookmarks included; an expired (410) or silent one is listed again, so `onList` must
 * find out by itself what has changed and what is gone. Waits between failures double up to 30 s.
 * An object that the handlers cannot stand is logged and counted; it does not end the watch.
 */
export async function watchForever<T>(options: WatcherOptions<T>): Promise<void> {
  const { resource, namespace, metrics, time, signal } = options;
  const log = options.log.with({ resource, namespace: namespace === '' ? '(all)' : namespace });
  const backoff = createBackoff({
    baseMilliseconds: 250,
    maxMilliseconds: 30_000,
    random: options.random,
  });
  let resourceVersion: string | undefined;
  let watchCount = 0;
  let fruitlessCount = 0;
  while (!signal.aborted) {
    try {
      const fromList = resourceVersion === undefined;
      if (resourceVersion === undefined) {
        const listed = await listOnce(options);
        if (listed === undefined) return;
        guarded(options, log, () => options.onList(listed.items));
        resourceVersion = listed.resourceVersion;
        options.onContact();
        log.info('listed', { itemCount: listed.items.length });
      }
      if (watchCount > 0) metrics.watchRestarts.inc({ resource });
      watchCount += 1;
      const watched: Watched = await watchOnce(
        options,
        log,
        { resourceVersion, fromList },
        backoff,
      );
      resourceVersion = watched.resourceVersion;
      if (watched.idle)
        log.warn('the watch was silent, listing again', { watchIdleTimeoutSeconds });
      fruitlessCount = watched.fruitless ? fruitlessCount + 1 : 0;
      if (fruitlessCount === maxFruitlessWatchCount) {
        fruitlessCount = 0;
        resourceVersion = undefined;
      }
      if (watched.fruitless) await time.sleep(backoff.next(), signal);
    } catch (error) {
      if (isAborted(signal)) return;
      const waitMilliseconds = Math.round(backoff.next());
      log.warn('list or watch failed, trying again', {
        error: messageOf(error),
        waitMilliseconds,
      });
      await time.sleep(waitMilliseconds, signal);
    }
  }
}

/** Read anew after each await: the compiler would hold on to what it knew before. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

async function listOnce<T>(
  options: WatcherOptions<T>,
): Promise<{ items: readonly T[]; resourceVersion: string } | undefined> {
  const waiting = new AbortController();
  const either = AbortSignal.any([options.signal, waiting.signal]);
  try {
    const listed = await Promise.race([
      options.list(),
      options.time.sleep(listDeadlineSeconds * 1000, either),
    ]);
    if (options.signal.aborted) return undefined;
    if (listed === undefined) throw new Error(`no answer within ${listDeadlineSeconds} s`);
    return listed;
  } finally {
    waiting.abort();
  }
}

interface Watched {
  /** Where to resume; `undefined` when it must be listed again. */
  resourceVersion: string | undefined;
  idle: boolean;
  /** It ended at once and said nothing: wait before the next. */
  fruitless: boolean;
}

async function watchOnce<T>(
  options: WatcherOptions<T>,
  log: Logger,
  from: { resourceVersion: string; fromList: boolean },
  backoff: Backoff,
): Promise<Watched> {
  const { time, metrics, resource } = options;
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const startedMilliseconds = time.now().getTime();
  let { resourceVersion } = from;
  const heard = { spoke: false, lastMilliseconds: startedMilliseconds };

  const onChange = (change: WatchChange<T>): void => {
    // A source may still call back after its end was seen here; such a word must not move us back.
    if (signal.aborted) return;
    heard.lastMilliseconds = time.now().getTime();
    heard.spoke = true;
    backoff.reset();
    options.onContact();
    if (change.type !== 'BOOKMARK') guarded(options, log, () => options.onChange(change));
    if (change.resourceVersion !== '') resourceVersion = change.resourceVersion;
  };

  try {
    const end = await Promise.race([
      options.watch(from.resourceVersion, onChange, signal, options.pace),
      silence(time, heard, signal),
    ]);
    if (end === 'silent') return { resourceVersion: undefined, idle: true, fruitless: false };
    if (end === 'aborted') return { resourceVersion, idle: false, fruitless: false };
    options.onContact();
    const lasted = time.now().getTime() - startedMilliseconds;
    const fruitless = !heard.spoke && lasted < shortestGoodWatchSeconds * 1000;
    if (!fruitless) backoff.reset();
    if (end === 'expired') {
      metrics.watchExpired.inc({ resource });
      log.info('resourceVersion expired, listing again', { resourceVersion });
      // Only a list that is too old as soon as it is there must wait; any other gap is closed at once.
      return { resourceVersion: undefined, idle: false, fruitless: fruitless && from.fromList };
    }
    return { resourceVersion, idle: false, fruitless };
  } catch (error) {
    // What was seen before the break still counts.
    if (heard.spoke) return { resourceVersion, idle: false, fruitless: logged(log, error) };
    throw error;
  } finally {
    stop.abort();
  }
}

function logged(log: Logger, error: unknown): true {
  log.warn('the watch broke, resuming', { error: messageOf(error) });
  return true;
}

/** Ends with `silent` when nothing was heard for the idle timeout, with `aborted` on the abort. */
async function silence(
  time: Time,
  heard: { lastMilliseconds: number },
  signal: AbortSignal,
): Promise<'silent' | 'aborted'> {
  const timeout = watchIdleTimeoutSeconds * 1000;
  for (;;) {
    const quiet = time.now().getTime() - heard.lastMilliseconds;
    if (signal.aborted) return 'aborted';
    if (quiet >= timeout) return 'silent';
    await time.sleep(timeout - quiet, signal);
  }
}

function guarded<T>(options: WatcherOptions<T>, log: Logger, handle: () => void): void {
  try {
    handle();
  } catch (error) {
    options.metrics.watchFaults.inc({ resource: options.resource });
    log.error('an object could not be handled', { error: messageOf(error) });
  }
}
