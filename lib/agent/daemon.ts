import { chmod, mkdir, unlink } from 'node:fs/promises';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Ticket } from '../capture/ticket.ts';
import { CaptureError, messageOf } from '../errors.ts';
import { withoutSecrets, type Logger } from '../log.ts';

/** Why a start was refused. Normal answers, never errors. */
export const refusalReasons = [
  'TicketExpired',
  'InvalidTicket',
  'InvalidRequest',
  'TicketUnavailable',
  'Busy',
  'Stopping',
  'AgentUnavailable',
] as const;
export type RefusalReason = (typeof refusalReasons)[number];

/** The line that `start` prints. */
export type StartAnswer =
  | { outcome: 'accepted'; captureId: string }
  | { outcome: 'refused'; reason: RefusalReason; message: string };

export interface DaemonOptions {
  readonly socketPath: string;
  /** 1..10 captures at once. */
  readonly maxCaptures: number;
  readonly healthPort?: number;
  readonly log: Logger;
  /** Fetches and checks a ticket; throws CaptureError InvalidTicket, TicketExpired, ObjectStoreUnavailable. */
  readonly fetchTicket: (ticketUrl: string) => Promise<Ticket>;
  /** Prometheus text for /metrics. */
  readonly metricsText: () => string;
  /** Runs a capture to its end. */
  readonly run: (ticket: Ticket) => Promise<unknown>;
}

export interface Daemon {
  /** Where /healthz and /metrics answer, if a port was given (0 picks one). */
  readonly healthPort?: number;
  /** Accepts nothing more and waits for what runs: each capture ends by its own deadline. */
  stop(): Promise<void>;
}

/** A presigned URL in JSON. */
const maxRequestBytes = 8 * 1024;
const requestTimeoutMilliseconds = 5_000;
const rememberedCount = 100;

/** Listens for tickets on a unix socket that only the agent's own user can open. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const captures = new Captures(options);
  await mkdir(dirname(options.socketPath), { recursive: true });
  // Of an agent that was killed; a running one would be another container with its own file system.
  await unlink(options.socketPath).catch(() => undefined);
  const server = createServer((socket) => answer(socket, captures, options.log));
  await listen(server, { path: options.socketPath });
  await chmod(options.socketPath, 0o600);
  const health =
    options.healthPort === undefined
      ? undefined
      : await serveHealth(options.healthPort, captures, options.metricsText);
  const address = health?.address();
  options.log.info('agent listens', { maxCaptures: options.maxCaptures });
  return {
    ...(typeof address === 'object' && address && { healthPort: address.port }),
    stop: async () => {
      captures.stopping = true;
      server.close();
      await captures.settle();
      health?.close();
    },
  };
}

/** The captures of one daemon: how many may run, which run, which ran. */
class Captures {
  readonly #options: DaemonOptions;
  readonly #running = new Map<string, Promise<unknown>>();
  readonly #known = new Set<string>();
  stopping = false;

  constructor(options: DaemonOptions) {
    this.#options = options;
  }

  get runningCount(): number {
    return this.#running.size;
  }

  /** A repeat of a capture that runs or ran here is accepted and changes nothing: deliveries repeat. */
  async start(ticketUrl: string): Promise<StartAnswer> {
    const { maxCaptures, fetchTicket, log } = this.#options;
    if (this.stopping) return refused('Stopping', 'the agent is being stopped');
    const ticket = await fetchTicket(ticketUrl);
    const { captureId, fencingToken } = ticket;
    const key = `${captureId}/${fencingToken}`;
    if (this.#known.has(key)) {
      log.info('repeated ticket', { captureId, fencingToken });
      return { outcome: 'accepted', captureId };
    }
    if (this.#running.size >= maxCaptures) {
      return refused(
        'Busy',
        `${this.#running.size} captures run already; accepted are ${maxCaptures}`,
      );
    }
    this.#remember(key);
    this.#running.set(key, this.#run(key, ticket));
    log.info('capture accepted', { captureId, fencingToken });
    return { outcome: 'accepted', captureId };
  }

  async settle(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  async #run(key: string, ticket: Ticket): Promise<void> {
    const { run, log } = this.#options;
    try {
      await run(ticket);
    } catch (error) {
      log.error('capture failed', { captureId: ticket.captureId, error });
    } finally {
      this.#running.delete(key);
    }
  }

  #remember(key: string): void {
    this.#known.add(key);
    for (const old of this.#known) {
      if (this.#known.size <= rememberedCount) return;
      if (!this.#running.has(old)) this.#known.delete(old);
    }
  }
}

function answer(socket: Socket, captures: Captures, log: Logger): void {
  let text = '';
  let asked = false;
  socket.setEncoding('utf8');
  socket.setTimeout(requestTimeoutMilliseconds, () => {
    if (!asked) socket.destroy();
  });
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: string) => {
    if (asked) return;
    text += chunk;
    const lineEnd = text.indexOf('\n');
    if (lineEnd === -1 && text.length <= maxRequestBytes) return;
    asked = true;
    void answerLine(lineEnd === -1 ? '' : text.slice(0, lineEnd), captures).then((reply) => {
      if (reply.outcome === 'refused') log.warn('start refused', { ...reply });
      socket.end(`${JSON.stringify(reply)}\n`);
    });
  });
}

async function answerLine(line: string, captures: Captures): Promise<StartAnswer> {
  const ticketUrl = ticketUrlOf(line);
  if (ticketUrl === undefined) {
    return refused('InvalidRequest', 'accepted is one line {"ticketUrl": "…"} up to 8 KiB');
  }
  try {
    return await captures.start(ticketUrl);
  } catch (error) {
    return refused(refusalReasonOf(error), messageOf(error));
  }
}

/** The URL of a request line; `undefined` when it is not such a line. */
export function ticketUrlOf(line: string): string | undefined {
  try {
    const request = JSON.parse(line) as { ticketUrl?: unknown } | null;
    return typeof request?.ticketUrl === 'string' ? request.ticketUrl : undefined;
  } catch {
    return undefined;
  }
}

function refusalReasonOf(error: unknown): RefusalReason {
  const code = error instanceof CaptureError ? error.code : undefined;
  return code === 'TicketExpired' || code === 'InvalidTicket' ? code : 'TicketUnavailable';
}

export function refused(reason: RefusalReason, message: string): StartAnswer {
  return { outcome: 'refused', reason, message: withoutSecrets(message) };
}

async function serveHealth(
  port: number,
  captures: Captures,
  metricsText: () => string,
): Promise<HttpServer> {
  const limits = { headersTimeout: 5_000, requestTimeout: 5_000, keepAliveTimeout: 5_000 };
  const server = createHttpServer(limits, (request, response) => {
    request.resume();
    if (request.url === '/metrics') {
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
      response.end(metricsText());
      return;
    }
    const found = request.url === '/healthz';
    response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' });
    response.end(found ? JSON.stringify({ runningCaptureCount: captures.runningCount }) : '{}');
  });
  server.maxConnections = 64;
  await listen(server, { port });
  return server;
}

function listen(
  server: Server | HttpServer,
  where: { path: string } | { port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}
