import { timingSafeEqual } from 'node:crypto';
import http from 'node:http';
import type { Duplex } from 'node:stream';
import { ApiError, notFound, notSupported } from './api-error.ts';
import { apiKinds, type ApiObject, type ResourceName } from './api-objects.ts';
import { parseRoute, type ApiRoute } from './api-route.ts';
import type { ObjectTable } from './object-table.ts';
import { parseSelectors } from './selectors.ts';
import { streamWatch } from './watch-response.ts';

/** What the API does beyond reading: each answers the object as it is afterwards. */
export interface ApiWrites {
  create(resource: ResourceName, namespace: string, body: unknown): ApiObject;
  remove(resource: ResourceName, namespace: string, name: string, options: unknown): ApiObject;
  patchEphemeralContainers(namespace: string, name: string, body: unknown): ApiObject;
  readLog(namespace: string, name: string, containerName: string | null): Promise<string>;
  /** Takes the socket over, or throws an ApiError before it has. */
  exec(route: ApiRoute, request: http.IncomingMessage, socket: Duplex, head: Buffer): void;
}

export interface ApiServerOptions {
  table: ObjectTable;
  token: string;
  writes: ApiWrites;
  bookmarkSeconds: number;
}

const maxBodyBytes = 3 * 1024 * 1024;
const maxWatchSeconds = 3_600;

/** The HTTP API: bearer token, list with pages, get, watch, create, delete, the pod's subresources. */
export function createApiServer(options: ApiServerOptions): http.Server {
  const server = http.createServer((request, response) => {
    answer(options, request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendError(response, error);
    });
  });
  server.on('upgrade', (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    try {
      authorize(options.token, request);
      const route = parseRoute(request.url ?? '/');
      if (route.resource !== 'pods' || route.subresource !== 'exec')
        throw notSupported('this upgrade');
      options.writes.exec(route, request, socket, head);
    } catch (error) {
      refuseUpgrade(socket, error);
    }
  });
  return server;
}

async function answer(
  options: ApiServerOptions,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  authorize(options.token, request);
  const route = parseRoute(request.url ?? '/');
  const { resource, namespace, name, subresource } = route;
  const { writes, table } = options;
  if (request.method === 'GET') {
    await read(options, route, response);
  } else if (request.method === 'POST' && name === undefined) {
    if (namespace === '') throw new ApiError(400, 'BadRequest', 'a namespace is required');
    sendJson(response, 201, writes.create(resource, namespace, await readJson(request)));
  } else if (request.method === 'DELETE' && name !== undefined && subresource === undefined) {
    table.require(resource, namespace, name);
    const deleteOptions = {
      ...Object.fromEntries(route.query),
      ...((await readJson(request)) as object | undefined),
    };
    sendJson(response, 200, writes.remove(resource, namespace, name, deleteOptions));
  } else if (
    request.method === 'PATCH' &&
    resource === 'pods' &&
    name !== undefined &&
    subresource === 'ephemeralcontainers'
  ) {
    const body = await readJson(request);
    sendJson(response, 200, writes.patchEphemeralContainers(namespace, name, body));
  } else {
    throw notSupported(`${request.method ?? ''} ${request.url ?? ''}`);
  }
}

async function read(
  { table, writes, bookmarkSeconds }: ApiServerOptions,
  { resource, namespace, name, subresource, query }: ApiRoute,
  response: http.ServerResponse,
): Promise<void> {
  if (name !== undefined && subresource === 'log' && resource === 'pods') {
    response.writeHead(200, { 'content-type': 'text/plain' });
    response.end(await writes.readLog(namespace, name, query.get('container')));
    return;
  }
  if (subresource !== undefined) throw notFound(resource, `${name ?? ''}/${subresource}`);
  if (name !== undefined) {
    sendJson(response, 200, table.require(resource, namespace, name));
    return;
  }
  const selects = parseSelectors(
    query.get('labelSelector') ?? '',
    query.get('fieldSelector') ?? '',
  );
  if (!['1', 'true'].includes(query.get('watch') ?? '')) {
    const objects = table.list(resource, namespace).filter(selects);
    sendJson(response, 200, pageOf(resource, objects, table.version, query));
    return;
  }
  const seconds = Number(query.get('timeoutSeconds') ?? maxWatchSeconds);
  streamWatch(
    table,
    response,
    {
      resource,
      namespace,
      selects,
      resourceVersion: query.get('resourceVersion') ?? '',
      bookmarks: query.get('allowWatchBookmarks') === 'true',
      timeoutSeconds: Math.min(Math.max(seconds, 1), maxWatchSeconds),
    },
    bookmarkSeconds,
  );
}

/**
 * One page. The real API reads all pages from one version; here the later ones are read as they are now, under the
 * first one's version: a watch from it repeats changes, and misses none.
 */
function pageOf(
  resource: ResourceName,
  objects: readonly ApiObject[],
  version: number,
  query: URLSearchParams,
): object {
  const limit = Number(query.get('limit') ?? 0) || objects.length;
  const token = query.get('continue') ?? '';
  const [firstVersion = String(version), after = ''] = token === '' ? [] : token.split(':');
  const keyOf = ({ metadata }: ApiObject): string => `${metadata.namespace}/${metadata.name}`;
  const left = objects.filter((object) => keyOf(object) > after);
  const items = left.slice(0, limit);
  const last = items.at(-1);
  const more = last !== undefined && left.length > items.length;
  const { apiVersion, kind } = apiKinds[resource];
  return {
    apiVersion,
    kind: `${kind}List`,
    metadata: {
      resourceVersion: firstVersion,
      ...(more && { continue: `${firstVersion}:${keyOf(last)}` }),
    },
    items,
  };
}

function authorize(token: string, request: http.IncomingMessage): void {
  const expected = Buffer.from(`Bearer ${token}`);
  const given = Buffer.from(request.headers.authorization ?? '');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw new ApiError(401, 'Unauthorized', 'Unauthorized');
  }
}

async function readJson(request: http.IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) {
      throw new ApiError(413, 'RequestEntityTooLarge', `the limit is ${maxBodyBytes} bytes`);
    }
    chunks.push(chunk);
  }
  if (bytes === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    throw new ApiError(400, 'BadRequest', 'the body is not JSON');
  }
}

function sendJson(response: http.ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof URIError) return new ApiError(400, 'BadRequest', 'the path is not valid');
  return new ApiError(500, 'InternalError', error instanceof Error ? error.message : String(error));
}

function sendError(response: http.ServerResponse, error: unknown): void {
  const fault = asApiError(error);
  // What is left of a body that was too large is not read: the connection cannot carry another request.
  if (fault.status === 413) response.setHeader('connection', 'close');
  sendJson(response, fault.status, fault.toStatus());
}

function refuseUpgrade(socket: Duplex, error: unknown): void {
  const fault = asApiError(error);
  const body = JSON.stringify(fault.toStatus());
  socket.end(
    `HTTP/1.1 ${fault.status} ${fault.reason}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
