import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { messageOf } from '../errors.ts';
import type { ForwarderMetrics } from './metrics.ts';

export interface HttpOptions {
  port: number;
  metrics: ForwarderMetrics;
  /** Why the forwarder is not ready; empty when it is. */
  unreadyReasons(): readonly string[];
}

/**
 * Serves `/healthz` (200 whenever the event loop turns: the answer is the proof), `/readyz` (503 with the reasons
 * until ready) and `/metrics` (Prometheus text). GET and HEAD only; nothing of a request is read but its line.
 * @returns the port that was bound and how to stop.
 * @throws Error of Node (EADDRINUSE, EACCES) when the port cannot be bound.
 */
export async function startHttp(
  options: HttpOptions,
): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer(
    {
      maxHeaderSize: 8 * 1024,
      headersTimeout: 5_000,
      requestTimeout: 5_000,
      keepAliveTimeout: 5_000,
    },
    (request, response) => {
      request.resume();
      answer(options, request.method ?? '', request.url ?? '', response).catch((error: unknown) => {
        if (!response.headersSent) send(response, 500, messageOf(error, 200));
        else response.destroy();
      });
    },
  );
  server.maxConnections = 64;
  await listen(server, options.port);
  const { port } = server.address() as AddressInfo;
  return { port, close: () => closeServer(server) };
}

async function answer(
  options: HttpOptions,
  method: string,
  url: string,
  response: ServerResponse,
): Promise<void> {
  const path = url.split('?', 1)[0] ?? '';
  if (path !== '/healthz' && path !== '/readyz' && path !== '/metrics') {
    send(response, 404, 'not found; there are /healthz, /readyz and /metrics\n');
    return;
  }
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    send(response, 405, 'method not allowed; accepted are GET and HEAD\n');
    return;
  }
  if (path === '/healthz') send(response, 200, 'ok\n');
  else if (path === '/readyz') {
    const reasons = options.unreadyReasons();
    send(response, reasons.length === 0 ? 200 : 503, `${reasons.join('\n') || 'ok'}\n`);
  } else {
    const { registry } = options.metrics;
    const text = await registry.metrics();
    response.setHeader('content-type', registry.contentType);
    send(response, 200, text);
  }
}

function send(response: ServerResponse, status: number, text: string): void {
  if (!response.hasHeader('content-type')) {
    response.setHeader('content-type', 'text/plain; charset=utf-8');
  }
  response.setHeader('content-length', Buffer.byteLength(text));
  // Node leaves the body out by itself when the request was HEAD.
  response.writeHead(status).end(text);
}

/** Binds; rejects with Node's error where it cannot. */
export async function listen(server: Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Ends what is open, also requests under way. */
export async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
