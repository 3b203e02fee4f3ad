import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** What the bucket does instead of storing. `stall` never answers; `reset` cuts the connection in the body. */
export type Fault = { status: number; body: string } | 'reset' | 'stall';

export interface PutRequest {
  readonly path: string;
  /** 1 for the first PUT of this path. */
  readonly attempt: number;
}

/** S3's XML for an error. */
export function s3Error(status: number, code: string, message = ''): Fault {
  return { status, body: `<Error><Code>${code}</Code><Message>${message}</Message></Error>` };
}

/** The little of S3 that presigned URLs reach: GET and PUT with Content-MD5, and faults at will. */
export class FakeBucket {
  readonly objects = new Map<string, Buffer>();
  /** Paths of stored objects, in the order in which they became durable. */
  readonly stored: string[] = [];
  readonly requests: IncomingMessage[] = [];
  /** Decides about a PUT before its body is read; a promise holds it back. */
  onPut: (put: PutRequest) => Fault | undefined | Promise<Fault | undefined> = () => undefined;
  onStored: (path: string) => void = () => undefined;
  readonly #attempts = new Map<string, number>();
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  #port = 0;

  constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(): Promise<FakeBucket> {
    const bucket = new FakeBucket();
    await new Promise<void>((resolve) => bucket.#server.listen(0, '127.0.0.1', resolve));
    return bucket;
  }

  url(path: string): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://127.0.0.1:${port}${path}?X-Amz-Signature=secret`;
  }

  attempts(path: string): number {
    return this.#attempts.get(path) ?? 0;
  }

  json(path: string): unknown {
    const text = this.objects.get(path)?.toString();
    return text === undefined ? undefined : JSON.parse(text);
  }

  /** Stored parts under a prefix, in the order of their numbers. */
  parts(prefix: string): Buffer[] {
    return [...this.objects]
      .filter(([path]) => path.startsWith(prefix))
      .map(([path, body]) => [Number(path.slice(prefix.length)), body] as const)
      .sort(([one], [other]) => one - other)
      .map(([, body]) => body);
  }

  /** The network is away: connections break, new ones are refused. */
  async goAway(): Promise<void> {
    const { port } = this.#server.address() as AddressInfo;
    this.#port = port;
    await this.stop();
  }

  async comeBack(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, '127.0.0.1', resolve));
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests.push(request);
    request.on('error', () => undefined);
    const path = (request.url ?? '').split('?')[0] ?? '';
    if (request.method === 'GET') {
      const body = this.objects.get(path);
      response.writeHead(body ? 200 : 404, body && { etag: eTagOf(body) }).end(body);
      return;
    }
    const attempt = this.attempts(path) + 1;
    this.#attempts.set(path, attempt);
    const fault = await this.onPut({ path, attempt });
    if (fault === 'stall') return;
    if (fault === 'reset') {
      request.once('data', () => request.socket.destroy());
      return;
    }
    const body = await readAll(request);
    if (body === undefined) return;
    if (fault) response.writeHead(fault.status).end(fault.body);
    else this.#store(path, body, request, response);
  }

  #store(path: string, body: Buffer, request: IncomingMessage, response: ServerResponse): void {
    const md5 = createHash('md5').update(body).digest();
    if (request.headers['content-md5'] !== md5.toString('base64')) {
      response.writeHead(400).end('<Error><Code>BadDigest</Code></Error>');
      return;
    }
    this.objects.set(path, body);
    this.stored.push(path);
    response.writeHead(200, { etag: `"${md5.toString('hex')}"` }).end();
    this.onStored(path);
  }
}

function eTagOf(body: Buffer): string {
  return `"${createHash('md5').update(body).digest('hex')}"`;
}

async function readAll(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
  } catch {
    return undefined;
  }
  return Buffer.concat(chunks);
}
