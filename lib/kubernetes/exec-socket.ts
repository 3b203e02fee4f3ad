import { WebSocket, type RawData } from 'ws';
import type { ClusterApi, ExecResult } from '../capture/ports.ts';
import { CaptureError, messageOf } from '../errors.ts';
import {
  describe,
  faultOf,
  statusOf,
  unavailable,
  type ApiCall,
  type ApiStatus,
} from './api-call.ts';
import type { ClusterConnection } from './connection.ts';

/**
 * The first byte of every binary frame. Source: k8s.io/kubernetes, staging/src/k8s.io/apimachinery/pkg/util/
 * remotecommand. Version 5 added `close`, the half close that gives the command its end of input.
 */
export const channels = { stdin: 0, stdout: 1, stderr: 2, status: 3, close: 255 } as const;
export const halfCloseProtocol = 'v5.channel.k8s.io';
export const execProtocols = [halfCloseProtocol, 'v4.channel.k8s.io'];

const maxOutputBytes = 64 * 1024;
/** The API sends frames of at most 32 KiB. */
const maxFrameBytes = 1024 * 1024;
/** After the status the server closes by itself; output that is still on its way comes before that. */
const closeGraceMilliseconds = 1_000;
const maxRefusalBytes = 64 * 1024;

/**
 * Runs a command in a container. Ends at the status, at a dropped connection or at the deadline, whichever is
 * first; the socket is closed in every case, but the command runs on if it wants to: nothing can stop it from here.
 * With a server that knows no half close (before Kubernetes 1.30) a command that reads its input must stop at a
 * line break by itself.
 * @throws CaptureError ClusterUnavailable (retryable), ClusterForbidden; AgentStartFailed when there is no such
 *   pod, container or command.
 */
export async function execInContainer(
  connection: ClusterConnection,
  target: { namespace: string; podName: string; containerName: string },
  command: readonly string[],
  options: Parameters<ClusterApi['exec']>[2],
): Promise<ExecResult & { droppedBytes: number }> {
  const { stdin, deadlineSeconds, onStdout } = options;
  const call: ApiCall = {
    verb: 'create',
    resource: 'pods/exec',
    namespace: target.namespace,
    name: target.podName,
    query: {
      container: target.containerName,
      command,
      stdin: stdin !== undefined,
      stdout: true,
      stderr: true,
      tty: false,
    },
  };
  const socket = await createSocket(connection, call);
  // Before the opening: the first frames can arrive in one packet with the server's answer.
  const conversation = new Conversation(socket, onStdout);
  try {
    await opened(socket, call, connection.timeouts.requestMilliseconds);
    return await conversation.finish(call, stdin, deadlineSeconds);
  } finally {
    socket.terminate();
  }
}

async function createSocket(connection: ClusterConnection, call: ApiCall): Promise<WebSocket> {
  const url = connection.urlOf(call);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return new WebSocket(url, execProtocols, {
    ...(await connection.authenticate(call)),
    handshakeTimeout: connection.timeouts.requestMilliseconds,
    maxPayload: maxFrameBytes,
    perMessageDeflate: false,
  });
}

function opened(socket: WebSocket, call: ApiCall, milliseconds: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve());
    // Stays: an error after the opening is followed by `close`, which the conversation answers.
    socket.on('error', (error) => reject(unavailable(call, messageOf(error), error)));
    socket.once('unexpected-response', (request, response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (text.length < maxRefusalBytes) text += chunk;
      });
      response.on('error', () => request.destroy());
      response.on('close', () => {
        const answer = { status: response.statusCode ?? 0, body: parseStatus(text) };
        reject(faultOf(call, answer) ?? notStarted(call, statusOf(answer.body)));
      });
      response.setTimeout(milliseconds, () => request.destroy());
    });
  });
}

/** What came over one socket until its end. */
class Conversation {
  readonly #socket: WebSocket;
  readonly #taker: OutputTaker | undefined;
  readonly #stdout = new BoundedOutput();
  readonly #stderr = new BoundedOutput();
  readonly #closed: Promise<void>;
  #status: { body: unknown } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket, onStdout?: (piece: Uint8Array) => Promise<void>) {
    this.#socket = socket;
    this.#taker = onStdout && new OutputTaker(socket, onStdout);
    socket.on('message', (data: RawData) => this.#receive(data as Buffer));
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  async finish(
    call: ApiCall,
    stdin: string | Uint8Array | undefined,
    deadlineSeconds: number,
  ): Promise<ExecResult & { droppedBytes: number }> {
    if (!this.#status) this.#terminateAfter(deadlineSeconds * 1_000);
    if (stdin !== undefined) this.#send(stdin);
    await this.#closed;
    clearTimeout(this.#timer);
    await this.#taker?.taken();
    const [stdout, stderr] = [this.#stdout, this.#stderr];
    const droppedBytes = stdout.droppedBytes + stderr.droppedBytes;
    const output = { stdout: stdout.text(), stderr: stderr.text(), droppedBytes };
    const ending = exitCodeOf(this.#status?.body);
    if (ending !== 'notStarted') return { exitCode: ending, ...output };
    // A command that has said something has begun, whatever the status calls its end.
    const spoke = output.stdout !== '' || output.stderr !== '' || this.#taker?.tookAny === true;
    if (spoke) return { exitCode: undefined, ...output };
    throw notStarted(call, statusOf(this.#status?.body));
  }

  #receive(frame: Buffer): void {
    if (frame[0] === channels.stdout) (this.#taker ?? this.#stdout).add(frame);
    else if (frame[0] === channels.stderr) this.#stderr.add(frame);
    else if (frame[0] === channels.status && frame.length > 1) {
      this.#status ??= { body: parseStatus(frame.toString('utf8', 1)) };
      this.#terminateAfter(closeGraceMilliseconds);
    }
  }

  #send(stdin: string | Uint8Array): void {
    // Over a socket that is closing already it goes nowhere, and says so to the callback only.
    const ignore = (): void => undefined;
    this.#socket.send(Buffer.concat([Buffer.of(channels.stdin), toBytes(stdin)]), ignore);
    if (this.#socket.protocol === halfCloseProtocol) {
      this.#socket.send(Buffer.of(channels.close, channels.stdin), ignore);
    }
  }

  #terminateAfter(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#socket.terminate(), milliseconds);
  }
}

/** `undefined` when the status is none: a connection that ended early, or words that do not parse. */
function exitCodeOf(body: unknown): number | 'notStarted' | undefined {
  const outcome = (body as { status?: unknown } | null | undefined)?.status;
  if (outcome === 'Success') return 0;
  if (outcome !== 'Failure') return undefined;
  const { reason, causes } = statusOf(body);
  if (reason !== 'NonZeroExitCode') return 'notStarted';
  const code = Number(causes.find((cause) => cause.reason === 'ExitCode')?.message);
  return Number.isInteger(code) ? code : undefined;
}

function notStarted(call: ApiCall, { message }: ApiStatus): CaptureError {
  const container = String(call.query?.['container']);
  return new CaptureError(
    'AgentStartFailed',
    `Cannot ${describe(call)}, container "${container}": ${message || 'no reason given'}`,
  );
}

function toBytes(stdin: string | Uint8Array): Uint8Array {
  return typeof stdin === 'string' ? Buffer.from(stdin) : stdin;
}

function parseStatus(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Hands output on, piece by piece, and lets the server wait while a piece is taken. */
class OutputTaker {
  tookAny = false;
  readonly #socket: WebSocket;
  readonly #take: (piece: Uint8Array) => Promise<void>;
  #waiting = 0;
  #tail: Promise<void> = Promise.resolve();
  #failure: { error: unknown } | undefined;

  constructor(socket: WebSocket, take: (piece: Uint8Array) => Promise<void>) {
    this.#socket = socket;
    this.#take = take;
  }

  /** Adds a frame without its channel byte. */
  add(frame: Buffer): void {
    if (frame.length === 1) return;
    this.tookAny = true;
    this.#waiting += 1;
    this.#socket.pause();
    this.#tail = this.#tail.then(() => this.#next(frame.subarray(1)));
  }

  async #next(piece: Uint8Array): Promise<void> {
    try {
      if (this.#failure === undefined) await this.#take(piece);
    } catch (error) {
      this.#failure = { error };
      this.#socket.terminate();
    }
    this.#waiting -= 1;
    if (this.#waiting === 0) this.#socket.resume();
  }

  /** Resolves when all that came is taken. @throws what the taker threw. */
  async taken(): Promise<void> {
    await this.#tail;
    if (this.#failure) throw this.#failure.error;
  }
}

/** Keeps the first 64 KiB and counts the rest, so that a flood costs no memory. */
class BoundedOutput {
  droppedBytes = 0;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  /** Adds a frame without its channel byte. */
  add(frame: Buffer): void {
    const kept = Math.min(frame.length - 1, maxOutputBytes - this.#bytes);
    this.droppedBytes += frame.length - 1 - kept;
    if (kept === 0) return;
    // A copy: a slice would keep the whole network buffer alive.
    this.#chunks.push(Buffer.from(frame.subarray(1, 1 + kept)));
    this.#bytes += kept;
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}
