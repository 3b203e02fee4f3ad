import type { IncomingMessage } from 'node:http';
import type { Logger } from '../log.ts';
import { messageOf } from '../errors.ts';
import type { PodFacts } from '../policy/pod-facts.ts';
import type { Pace, WatchChange, WatchEnd, WatchSource } from '../signal/watch-source.ts';
import { bodyOf, refused, statusOf, unavailable, type ApiCall } from './api-call.ts';
import { ClusterConnection } from './connection.ts';
import { readJsonLines } from './json-lines.ts';
import { guessWorkload } from './owner-walk.ts';
import { podFactsOf } from './pod-facts.ts';
import { isPodObject } from './pod-object.ts';

const pageLimit = 500;
export const jvmMonitorApiVersion = 'heapcatch.dev/v1alpha1';
/** 100,000 objects; what is beyond is left out of the list and said in the log. */
const maxPageCount = 200;
export const defaultWatchSeconds = 240;
/** The server ends the watch by itself; a stream that is silent for longer than that is dead. */
const idleMarginSeconds = 15;

type ResourceName = 'pods' | 'events' | 'namespaces' | 'jvmmonitors';
const apiVersions: Readonly<Record<ResourceName, string>> = {
  pods: 'v1',
  events: 'v1',
  namespaces: 'v1',
  jvmmonitors: jvmMonitorApiVersion,
};

/**
 * List and watch over raw requests: a projection of a pod is kept a twentieth of the size that the client
 * library's informer keeps. A pod's workload is told by its owner's name here, without a call
 * (a ReplicaSet of a Deployment by its pod-template-hash); ready replicas are not known.
 * A watch ends `closed` at its time, at a dropped connection, at a line that is not understood and at the signal.
 * An exception of onChange ends it and is passed on.
 * @throws CaptureError InvalidConfiguration when the kubeconfig is not valid.
 */
export function createWatchSource(options: {
  kubeconfig: string;
  clusterName: string;
  /** How long the server keeps a watch open, 1..3600 s. */
  watchSeconds?: number;
  logger?: Logger;
}): WatchSource {
  const connection = new ClusterConnection(options.kubeconfig);
  const { logger, watchSeconds = defaultWatchSeconds } = options;
  const project = (object: unknown): PodFacts | undefined =>
    isPodObject(object)
      ? podFactsOf(object, options.clusterName, { workload: guessWorkload(object.metadata) })
      : undefined;
  const asIs = (object: unknown): unknown => object;
  return {
    listPods: (namespace) => listAll(connection, 'pods', namespace, project, logger),
    listEvents: (namespace) => listAll(connection, 'events', namespace, asIs, logger),
    watchPods: (namespace, resourceVersion, onChange, signal, pace) =>
      watchResource(
        connection,
        { resource: 'pods', namespace, resourceVersion, watchSeconds },
        project,
        { onChange, signal, pace, logger },
      ),
    watchEvents: (namespace, resourceVersion, onChange, signal, pace) =>
      watchResource(
        connection,
        { resource: 'events', namespace, resourceVersion, watchSeconds },
        asIs,
        { onChange, signal, pace, logger },
      ),
  };
}

/** All pages of a resource, up to the bound. */
export async function listAll<T>(
  connection: ClusterConnection,
  resource: ResourceName,
  namespace: string,
  project: (object: unknown) => T | undefined,
  logger: Logger | undefined,
  selection: Selection = {},
): Promise<{ items: readonly T[]; resourceVersion: string }> {
  const items: T[] = [];
  let resourceVersion = '';
  let next: string | undefined = '';
  for (let page = 0; page < maxPageCount && next !== undefined; page++) {
    const query = { ...selection, limit: pageLimit, ...(next && { continue: next }) };
    const call: ApiCall = {
      verb: 'list',
      apiVersion: apiVersions[resource],
      resource,
      namespace,
      query,
    };
    const answer = await connection.request(call);
    if (answer.status === 410)
      throw unavailable(call, 'the list changed too much between its pages');
    const body = bodyOf(call, answer) as {
      metadata: { resourceVersion: string; continue?: string };
      items: unknown[];
    };
    for (const object of body.items) {
      const item = project(object);
      if (item !== undefined) items.push(item);
    }
    // All pages are of the same version; the first one's is kept, which can only repeat changes, not miss them.
    resourceVersion ||= body.metadata.resourceVersion;
    next = body.metadata.continue || undefined;
  }
  if (next !== undefined) {
    logger?.warn('the list is longer than its bound', { resource, namespace, kept: items.length });
  }
  return { items, resourceVersion };
}

/** What of a resource is asked for; all of it by default. */
export interface Selection {
  labelSelector?: string;
}

interface WatchTarget {
  resource: ResourceName;
  namespace: string;
  selection?: Selection;
  resourceVersion: string;
  watchSeconds: number;
}

interface Listener<T> {
  onChange: (change: WatchChange<T>) => void;
  signal: AbortSignal;
  pace?: Pace | undefined;
  logger: Logger | undefined;
}

/** One watch of a resource, until it ends or the signal comes. */
export async function watchResource<T>(
  connection: ClusterConnection,
  { resource, namespace, selection, resourceVersion, watchSeconds }: WatchTarget,
  project: (object: unknown) => T | undefined,
  listener: Listener<T>,
): Promise<WatchEnd> {
  const call: ApiCall = {
    verb: 'watch',
    apiVersion: apiVersions[resource],
    resource,
    namespace,
    query: {
      ...selection,
      watch: true,
      allowWatchBookmarks: true,
      resourceVersion,
      timeoutSeconds: watchSeconds,
    },
  };
  if (listener.signal.aborted) return 'closed';
  let opened: Awaited<ReturnType<ClusterConnection['openStream']>>;
  try {
    opened = await connection.openStream(call, listener.signal);
  } catch (error) {
    if (isAborted(listener.signal)) return 'closed';
    throw error;
  }
  if ('answer' in opened) {
    if (opened.answer.status === 410) return 'expired';
    throw refused(call, opened.answer);
  }
  return follow(opened.stream, watchSeconds + idleMarginSeconds, project, listener);
}

/** Behind a call, since the compiler takes the earlier look at the flag for the last word. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

async function follow<T>(
  stream: IncomingMessage,
  idleSeconds: number,
  project: (object: unknown) => T | undefined,
  { onChange, signal, pace, logger }: Listener<T>,
): Promise<WatchEnd> {
  stream.setTimeout(idleSeconds * 1_000, () => stream.destroy(new Error('the watch is silent')));
  const lines = readJsonLines(stream as AsyncIterable<Buffer>);
  try {
    for (;;) {
      let line: IteratorResult<unknown>;
      try {
        line = await lines.next();
      } catch (error) {
        if (!isAborted(signal)) logger?.info('a watch broke off', { reason: messageOf(error) });
        return 'closed';
      }
      if (line.done === true || isAborted(signal)) return 'closed';
      const change = changeOf(line.value, project);
      if (change === 'closed' || change === 'expired') return change;
      onChange(change);
      // Nothing is read meanwhile: what comes waits in the sockets, and then in the API server.
      const full = pace?.();
      if (full !== undefined) await full;
    }
  } finally {
    stream.destroy();
  }
}

function changeOf<T>(
  line: unknown,
  project: (object: unknown) => T | undefined,
): WatchChange<T> | WatchEnd {
  const { type, object } = (line ?? {}) as { type?: unknown; object?: unknown };
  if (type === 'ERROR') return statusOf(object).code === 410 ? 'expired' : 'closed';
  const resourceVersion = (object as { metadata?: { resourceVersion?: unknown } } | undefined)
    ?.metadata?.resourceVersion;
  if (typeof resourceVersion !== 'string') return 'closed';
  if (type === 'BOOKMARK') return { type, resourceVersion };
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED') return 'closed';
  const projected = project(object);
  return projected === undefined ? 'closed' : { type, object: projected, resourceVersion };
}
