import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { closeServer, listen } from './http.ts';

/** Who asks. */
export interface Caller {
  /** What follows `Bearer ` in the Authorization header. Never to be logged. */
  readonly bearerToken?: string;
  /** The caller's address as the socket has it. */
  readonly remoteAddress: string;
  /** It showed a certificate of the configured client CA. */
  readonly clientCertified: boolean;
}

/** A request of a route, read whole. */
export interface ApiRequest extends Caller {
  readonly query: URLSearchParams;
  readonly body: Buffer;
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
  /** Asked before the body is read; an answer refuses the request, and the body stays unread. */
  admit?(caller: Caller): Promise<ApiAnswer | undefined>;
  handle(request: ApiRequest): Promise<ApiAnswer>;
}

export interface ApiOptions {
  readonly port: number;
  readonly routes: readonly Route[];
  /** Serves TLS; with a client CA a caller may show a certificate, and a route may ask for one. */
  readonly tls?: ApiTls;
  readonly log: Logger;
}

/** PEM. */
export interface ApiTls {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string;
}

export interface Api {
  /** The port that was bound. */
  readonly port: number;
  /** For connections from now on; nothing without TLS. @throws Error of OpenSSL for a key that is none. */
  renewTls(tls: ApiTls): void;
  close: () => Promise<void>;
}

const maxConnectionCount = 256;
const bodyDeadlineMilliseconds = 10_000;

/**
 * Serves what others may ask of the forwarder, on a port of its own beside health and metrics, so that a NetworkPolicy can
 * tell them apart. Answers 404, 405, 413, and 500 when a route throws: its message goes to the log only.
 * @throws Error of Node (EADDRINUSE, EACCES) when the port cannot be bound; of OpenSSL for a key that is none.
 */
export async function startApi(options: ApiOptions): Promise<Api> {
  const stop = new AbortController();
  const server = serverOf(options, (request, response) => {
    void answer(options, request, response, stop.signal).catch((error: unknown) => {
      options.log.error('a request could not be answered', { error: messageOf(error) });
      if (!response.headersSent) send(response, { status: 500, body: { error: 'internal' } });
      else response.destroy();
    });
  });
  server.maxConnections = maxConnectionCount;
  // Node's own closeAllConnections() does not know those in the middle of a TLS handshake, and close() waits for them.
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await listen(server, options.port);
  const { port } = server.address() as AddressInfo;
  return {
    port,
    renewTls: (tls) => {
      if ('setSecureContext' in server) server.setSecureContext(secureContextOf(tls));
    },
    close: () => {
      stop.abort();
      const closed = closeServer(server);
      for (const socket of sockets) socket.destroy();
      return closed;
    },
  };
}

function serverOf({ tls }: ApiOptions, listener: RequestListener): Server | TlsServer {
  const limits = {
    maxHeaderSize: 16 * 1024,
    headersTimeout: 5_000,
    requestTimeout: bodyDeadlineMilliseconds,
    keepAliveTimeout: 5_000,
  };
  if (tls === undefined) return createServer(limits, listener);
  // A caller without a certificate can still have a token: each route decides.
  const mutual = { requestCert: tls.clientCa !== undefined, rejectUnauthorized: false };
  const handshake = { handshakeTimeout: 5_000, minVersion: 'TLSv1.2' as const };
  return createTlsServer({ ...limits, ...handshake, ...mutual, ...secureContextOf(tls) }, listener);
}

function secureContextOf({ cert, key, clientCa }: ApiTls) {
  return { cert, key, ...(clientCa === undefined ? {} : { ca: clientCa }) };
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
  const caller = callerOf(request);
  const refusal = await route.admit?.(caller);
  const body = refusal ?? (await readBody(request, route.maxBodyBytes));
  if (!Buffer.isBuffer(body)) {
    response.setHeader('connection', 'close');
    const tooLarge = { status: 413, body: { error: `accepted are ${route.maxBodyBytes} bytes` } };
    send(response, body ?? tooLarge);
    return;
  }
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const reply = await route.handle({
    ...caller,
    query: url.searchParams,
    body,
    signal: AbortSignal.any([gone.signal, stopped]),
  });
  if (!response.destroyed) send(response, reply);
}

function callerOf({ headers, socket }: IncomingMessage): Caller {
  const bearerToken = /^Bearer ([\x21-\x7e]+)$/i.exec(headers.authorization ?? '')?.[1];
  return {
    ...(bearerToken === undefined ? {} : { bearerToken }),
    remoteAddress: socket.remoteAddress ?? '',
    clientCertified: socket instanceof TLSSocket && socket.authorized,
  };
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
