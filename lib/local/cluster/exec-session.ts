import type { ChildProcess } from 'node:child_process';
import type http from 'node:http';
import { constants } from 'node:os';
import type { Duplex, Readable } from 'node:stream';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import { channels, execProtocols, halfCloseProtocol } from '../../kubernetes/exec-socket.ts';
import { messageOf } from '../../errors.ts';

export interface ExecRequest {
  stdin: boolean;
  start: () => Promise<ChildProcess>;
}

/** The API sends frames of at most 32 KiB. */
const maxFrameBytes = 32 * 1024;
const maxQueuedBytes = 1024 * 1024;

const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: 1024 * 1024,
  handleProtocols: (offered) => execProtocols.find((protocol) => offered.has(protocol)) ?? false,
});

/**
 * Runs a command over a websocket, as `pods/exec` does: channels in, channels out, a status at the end. A client
 * that goes does not stop the command; it only ends its input.
 */
export function serveExec(
  request: http.IncomingMessage,
  socket: Duplex,
  head: Buffer,
  exec: ExecRequest,
): void {
  sockets.handleUpgrade(request, socket, head, (client) => {
    client.on('error', () => client.terminate());
    // The real server opens its channels with an empty frame.
    client.send(Buffer.of(channels.stdout));
    const early: Buffer[] = [];
    const keep = (data: RawData): unknown => early.push(data as Buffer);
    client.on('message', keep);
    exec.start().then(
      (child) => {
        client.off('message', keep);
        connect(client, child, exec.stdin, early);
      },
      (error: unknown) => finish(client, notStarted(messageOf(error))),
    );
  });
}

function connect(
  client: WebSocket,
  child: ChildProcess,
  hasStdin: boolean,
  early: readonly Buffer[],
): void {
  const { stdin } = child;
  stdin?.on('error', () => undefined);
  if (!hasStdin) stdin?.end();
  const receive = (frame: Buffer): void => {
    if (frame[0] === channels.stdin) stdin?.write(frame.subarray(1));
    if (frame[0] === channels.close && client.protocol === halfCloseProtocol) stdin?.end();
  };
  early.forEach(receive);
  client.on('message', (data: RawData) => receive(data as Buffer));
  client.on('close', () => stdin?.end());
  forward(client, channels.stdout, child.stdout);
  forward(client, channels.stderr, child.stderr);
  child.once('close', (code, signal) => {
    finish(client, statusOf(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}

/** Sends output in frames, and reads no further while the client does not keep up. */
function forward(client: WebSocket, channel: number, stream: Readable | null): void {
  stream?.on('data', (chunk: Buffer) => {
    if (client.readyState !== client.OPEN) return;
    for (let start = 0; start < chunk.length; start += maxFrameBytes) {
      const part = chunk.subarray(start, start + maxFrameBytes);
      client.send(Buffer.concat([Buffer.of(channel), part]), () => {
        if (client.bufferedAmount < maxQueuedBytes) stream.resume();
      });
    }
    if (client.bufferedAmount >= maxQueuedBytes) stream.pause();
  });
}

function finish(client: WebSocket, status: object): void {
  if (client.readyState !== client.OPEN) return;
  const frame = Buffer.concat([Buffer.of(channels.status), Buffer.from(JSON.stringify(status))]);
  client.send(frame, () => client.close(1000));
}

function statusOf(exitCode: number): object {
  if (exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: command terminated with exit code ${exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
}

function notStarted(why: string): object {
  const message = `error executing command in container: failed to exec in container: ${why}`;
  return {
    metadata: {},
    status: 'Failure',
    message: `Internal error occurred: ${message}`,
    reason: 'InternalError',
    details: { causes: [{ message }] },
    code: 500,
  };
}
