import type { ServerResponse } from 'node:http';
import { ApiError } from './api-error.ts';
import { apiKinds, type ApiObject, type ResourceName } from './api-objects.ts';
import type { ObjectTable } from './object-table.ts';
import type { Selector } from './selectors.ts';
import type { HistoryEntry } from './watch-history.ts';

export interface WatchRequest {
  resource: ResourceName;
  namespace: string;
  selects: Selector;
  /** '' and '0' begin with an ADDED for every object that is there. */
  resourceVersion: string;
  bookmarks: boolean;
  timeoutSeconds: number;
}

/** A client that reads slower than this is dropped, as the real API does. */
const maxQueuedBytes = 16 * 1024 * 1024;

/** Streams changes as lines of JSON until the time is over or the client goes. */
export function streamWatch(
  table: ObjectTable,
  response: ServerResponse,
  request: WatchRequest,
  bookmarkSeconds: number,
): void {
  const write = (type: string, object: unknown): void => {
    response.write(`${JSON.stringify({ type, object })}\n`);
    if (response.writableLength > maxQueuedBytes) response.destroy();
  };
  response.writeHead(200, { 'content-type': 'application/json' });
  response.flushHeaders();
  const fromNow = request.resourceVersion === '' || request.resourceVersion === '0';
  const missed = fromNow ? [] : table.history.since(Number(request.resourceVersion));
  if (missed === 'expired') {
    write(
      'ERROR',
      new ApiError(
        410,
        'Expired',
        `too old resource version: ${request.resourceVersion} (${table.version})`,
      ).toStatus(),
    );
    response.end();
    return;
  }
  if (fromNow) {
    for (const object of table.list(request.resource, request.namespace)) {
      if (request.selects(object)) write('ADDED', object);
    }
  }
  const send = (entry: HistoryEntry): void => {
    const type = typeFor(entry, request);
    if (type) write(type, entry.object);
  };
  missed.forEach(send);
  const unsubscribe = table.history.subscribe(send);
  const bookmark = setInterval(() => {
    if (request.bookmarks) write('BOOKMARK', bookmarkOf(request.resource, table.version));
  }, bookmarkSeconds * 1_000);
  const timeout = setTimeout(() => response.end(), request.timeoutSeconds * 1_000);
  response.on('close', () => {
    unsubscribe();
    clearInterval(bookmark);
    clearTimeout(timeout);
  });
}

/** An object that leaves a selector is DELETED for this watch, one that enters it ADDED. */
function typeFor(entry: HistoryEntry, request: WatchRequest): HistoryEntry['type'] | undefined {
  if (entry.resource !== request.resource) return undefined;
  const holds = (object: ApiObject | undefined): boolean =>
    object !== undefined &&
    (request.namespace === '' || object.metadata.namespace === request.namespace) &&
    request.selects(object);
  const before = holds(entry.previous);
  const after = entry.type !== 'DELETED' && holds(entry.object);
  if (after) return before ? 'MODIFIED' : 'ADDED';
  return before ? 'DELETED' : undefined;
}

function bookmarkOf(resource: ResourceName, version: number): object {
  return {
    ...apiKinds[resource],
    metadata: { resourceVersion: String(version), creationTimestamp: null },
  };
}
