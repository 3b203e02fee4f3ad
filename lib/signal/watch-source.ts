import type { PodFacts } from '../policy/pod-facts.ts';

export type WatchChange<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T; resourceVersion: string }
  | { type: 'BOOKMARK'; resourceVersion: string };

/** `expired`: the resourceVersion is too old (410 Gone), list again; `closed`: resume from the last one seen. */
export type WatchEnd = 'closed' | 'expired';

/** Asked after each change: `undefined` to read on, or what to wait for first. */
export type Pace = () => Promise<void> | undefined;

/**
 * Port to list and watch. A namespace of '' means all. Events are the API's raw JSON (core/v1 Event), validated by
 * lib/signal; pods are projected at once, so that a watcher keeps little.
 * @throws CaptureError ClusterUnavailable (retryable), ClusterForbidden.
 */
export interface WatchSource {
  listPods(namespace: string): Promise<{ items: readonly PodFacts[]; resourceVersion: string }>;
  listEvents(namespace: string): Promise<{ items: readonly unknown[]; resourceVersion: string }>;
  watchPods(
    namespace: string,
    resourceVersion: string,
    onChange: (change: WatchChange<PodFacts>) => void,
    signal: AbortSignal,
    pace?: Pace,
  ): Promise<WatchEnd>;
  watchEvents(
    namespace: string,
    resourceVersion: string,
    onChange: (change: WatchChange<unknown>) => void,
    signal: AbortSignal,
    pace?: Pace,
  ): Promise<WatchEnd>;
}

/**
 * Port to list and watch the names of the namespaces that have opted in. One that has not any more is DELETED.
 * @throws CaptureError ClusterUnavailable (retryable), ClusterForbidden.
 */
export interface NamespaceSource {
  listNamespaces(): Promise<{ items: readonly string[]; resourceVersion: string }>;
  watchNamespaces(
    resourceVersion: string,
    onChange: (change: WatchChange<string>) => void,
    signal: AbortSignal,
  ): Promise<WatchEnd>;
}
