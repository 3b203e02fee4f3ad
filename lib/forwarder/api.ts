import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { closeServer, listen } from './http.ts';

/** A request of a route, read whole. */
export interface ApiRequest {
  readonly query: URLSearchParams;
  /** What follows `Bearer ` in the Authorization header. Never to be logged. */
  readonly bearerToken?: string;
  readonly body: Buffer;
  /** The caller's address as the socket has it. */
  readonly remoteAddress: string;
  /** Aborted when the caller goes or the server stops. */
  readonly signal: AbortSignal;
}

export interface ApiAnswer {
  readonly status: number;
  /** Sent as JSON. */
  readonly body: unknown;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  /** Exact. */
  readonly path: string;
  /** Larger bodies are answered with 413, unread. */
  readonly maxBodyBytes: number;
  handle(request: ApiRequest): Promise<ApiAnswer>;
}

export interface ApiOptions {
  readonly port: number;
  readonly routes: readonly Route[];
  readonly log: Logger;
}

const maxConnectionCount = 256;
const bodyDeadlineMilliseconds = 10_000;

/**
 * Serves what others may ask of the forwarder, on a port of its own beside health and metrics, so that a NetworkPolicy can
 * tell them apart. Answers 404, 405, 413, and 500 when a route throws: its message goes to the log only.
 * @returns the port that was bound and how to stop.
 * @throws Error of Node (EADDRINUSE, EACCES) when the port cannot be bound.
 */
export async function startApi(
  options: ApiOptions,
): Promise<{ port: number; close(): Promise<void> }> {
  const stop = new AbortController();
  const server = createServer(
    {
      maxHeaderSize: 16 * 1024,
      headersTimeout: 5_000,
      requestTimeout: bodyDeadlineMilliseconds,
      keepAliveTimeout: 5_000,
    },
    (request, response) => {
      void answer(options, request, response, stop.signal).catch((error: unknown) => {
        options.log.error('a request could not be answered', { error: messageOf(error) });
        if (!response.headersSent) send(response, { status: 500, body: { error: 'internal' } });
        else response.destroy();
      });
    },
  );
  server.maxConnections = maxConnectionCount;
  await listen(server, options.port);
  const { port } = server.address() as AddressInfo;
  return {
    port,
    close: () => {
      stop.abort();
      return closeServer(server);
    },
  };
}

async function answer(
  { routes }: ApiOptions,
  request: IncomingMessage,
  response: ServerResponse,
  stopped: AbortSignal,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://forwarder');
  const here = routes.filter((route) => route.path === url.pathname);
  const route = here.find(({ method }) => method === request.method);
  if (route === undefined) {
    request.resume();
    const methods = here.map(({ method }) => method).join(', ');
    if (methods === '') send(response, { status: 404, body: { error: 'not found' } });
    else
      send(response.setHeader('allow', methods), {
        status: 405,
        body: { error: `accepted: ${methods}` },
      });
    return;
  }
  const body = await readBody(request, route.maxBodyBytes);
  if (body === undefined) {
    response.setHeader('connection', 'close');
    send(response, { status: 413, body: { error: `accepted are ${route.maxBodyBytes} bytes` } });
    return;
  }
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const bearerToken = /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const reply = await route.handle({
    query: url.searchParams,
    ...(bearerToken === undefined ? {} : { bearerToken }),
    body,
    remoteAddress: request.socket.remoteAddress ?? '',
    signal: AbortSignal.any([gone.signal, stopped]),
  });
  if (!response.destroyed) send(response, reply);
}

/** `undefined` when it is larger than accepted; what is too much is not read. */
async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return undefined;
  const chunks: Buffer[] = [];
  let byteCount = 0;
  for await (const chunk of request) {
    byteCount += (chunk as Buffer).length;
    if (byteCount > maxBytes) return undefined;
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

function send(response: ServerResponse, { status, body }: ApiAnswer): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
