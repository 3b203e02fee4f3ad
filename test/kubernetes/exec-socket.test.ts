import { afterEach, describe, expect, it } from '@jest/globals';
import { WebSocketServer, type WebSocket } from 'ws';
import { ClusterConnection } from '../../lib/kubernetes/connection.ts';
import { channels, execInContainer } from '../../lib/kubernetes/exec-socket.ts';
import { sendStatus, startFakeApi, type FakeApi } from './fake-api.ts';

const target = { namespace: 'shop', podName: 'cart-1', containerName: 'app' };
const success = '{"status":"Success"}';

let fake: FakeApi;
afterEach(() => fake.close());

/** What the server does with the socket; `frames` are what came in so far. */
type Serve = (socket: WebSocket, frames: Buffer[]) => void;

async function exec(
  serve: Serve | number,
  options: {
    stdin?: string;
    deadlineSeconds?: number;
    protocol?: string;
    onStdout?: (piece: Uint8Array) => Promise<void>;
  } = {},
) {
  const { protocol = 'v5.channel.k8s.io', stdin, deadlineSeconds = 10, onStdout } = options;
  fake = await startFakeApi((_request, response) => response.end());
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => protocol });
  fake.server.on('upgrade', (request, socket, head) => {
    if (typeof serve === 'number') {
      socket.end(`HTTP/1.1 ${serve} No\r\nconnection: close\r\n\r\n{"message":"because"}`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (client) => {
      const frames: Buffer[] = [];
      client.on('message', (data) => frames.push(data as Buffer));
      client.on('error', () => undefined);
      serve(client, frames);
    });
  });
  const timeouts = { connectMilliseconds: 10_000, requestMilliseconds: 10_000 };
  const result = await execInContainer(
    new ClusterConnection(fake.kubeconfig, timeouts),
    target,
    ['agent', 'start', 'a&b'],
    { deadlineSeconds, ...(stdin !== undefined && { stdin }), ...(onStdout && { onStdout }) },
  );
  return result;
}

function send(socket: WebSocket, channel: number, text: string): void {
  socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(text)]));
}

describe('exec', () => {
  it('keeps frames that arrive together with the answer of the handshake', async () => {
    const result = await exec((socket) => {
      send(socket, channels.stdout, 'early');
      send(socket, channels.status, success);
      socket.close();
    });

    expect(result).toEqual({ exitCode: 0, stdout: 'early', stderr: '', droppedBytes: 0 });
  });

  it.each([
    ['v5.channel.k8s.io', ['00 70 69 6e 67', 'ff 00']],
    ['v4.channel.k8s.io', ['00 70 69 6e 67']],
  ])('over %s sends its input, and ends it where that can be said', async (protocol, expected) => {
    const seen: string[] = [];
    await exec(
      (socket, frames) => {
        socket.on('message', () => {
          if (frames.length < expected.length) return;
          seen.push(...frames.map((frame) => frame.toString('hex').replace(/..(?=.)/g, '$& ')));
          send(socket, channels.status, success);
          socket.close();
        });
      },
      { stdin: 'ping', protocol },
    );

    expect(seen).toEqual(expected);
  });

  it('reads the exit code from the status', async () => {
    const causes = [{ reason: 'ExitCode', message: '42' }];
    const result = await exec((socket) => {
      const status = { status: 'Failure', reason: 'NonZeroExitCode', details: { causes } };
      send(socket, channels.status, JSON.stringify(status));
      socket.close();
    });

    expect(result.exitCode).toBe(42);
  });

  it.each<[string, Serve]>([
    ['hangs', (): void => undefined],
    ['closes without a status', (socket) => socket.close()],
    ['drops the connection', (socket) => socket.terminate()],
    [
      'sends a status that does not parse',
      (socket) => {
        send(socket, channels.status, '{"status":');
        socket.close();
      },
    ],
    ['sends text', (socket) => socket.close(1000, 'text')],
    ['sends a frame of 2 MiB', (socket) => socket.send(Buffer.alloc(2 ** 21))],
    [
      'sends channels that nobody knows',
      (socket) => {
        send(socket, 77, 'x');
        socket.close();
      },
    ],
  ])('leaves the exit code open when the server %s', async (_case, serve) => {
    const result = await exec(serve, { deadlineSeconds: 0.3 });

    expect(result.exitCode).toBeUndefined();
  });

  it('does not wait for a server that gives the status and stays', async () => {
    const result = await exec((socket) => send(socket, channels.status, success), {
      deadlineSeconds: 600,
    });

    expect(result.exitCode).toBe(0);
  });

  it('keeps what fits of a flood and counts the rest', async () => {
    const frame = 'x'.repeat(32 * 1024);
    const result = await exec((socket) => {
      for (let sent = 0; sent < 64; sent++) send(socket, channels.stderr, frame);
      send(socket, channels.status, success);
      socket.close();
    });

    expect(result.stderr).toHaveLength(64 * 1024);
    expect(result.droppedBytes).toBe(62 * 32 * 1024);
  });

  it('hands output on instead, one piece after the other, and lets the server wait meanwhile', async () => {
    const frame = Buffer.concat([Buffer.of(channels.stdout), Buffer.alloc(32 * 1024)]);
    const frameCount = 2_000;
    let [takenBytes, taking, together, mostWaiting] = [0, 0, 0, 0];
    let server: WebSocket | undefined;
    const result = await exec(
      (socket) => {
        server = socket;
        for (let sent = 0; sent < frameCount; sent++) socket.send(frame);
        send(socket, channels.status, success);
        socket.close();
      },
      {
        onStdout: async (piece) => {
          taking += 1;
          together = Math.max(together, taking);
          // The first piece is held until nothing more is on its way.
          for (let rest = 0; takenBytes === 0 && rest < 200; rest++) {
            const { bufferedAmount } = server!;
            await new Promise((next) => setImmediate(next));
            if (server!.bufferedAmount !== bufferedAmount) rest = 0;
            mostWaiting = server!.bufferedAmount;
          }
          takenBytes += piece.length;
          taking -= 1;
        },
      },
    );

    expect(result).toEqual({ exitCode: 0, stdout: '', stderr: '', droppedBytes: 0 });
    expect([takenBytes, together]).toEqual([frameCount * 32 * 1024, 1]);
    expect(mostWaiting).toBeGreaterThan(16 * 1024 * 1024);
  });

  it('closes the connection and throws when the taker of output does', async () => {
    const closed: unknown[] = [];
    const failure = exec(
      (socket) => {
        socket.on('close', () => closed.push(true));
        send(socket, channels.stdout, 'x');
        send(socket, channels.stdout, 'y');
      },
      { deadlineSeconds: 600, onStdout: () => Promise.reject(new Error('no more')) },
    );

    await expect(failure).rejects.toThrow('no more');
    while (closed.length === 0) await new Promise((next) => setImmediate(next));
  });

  it('encodes the command', async () => {
    let url = '';
    await exec((socket) => socket.close()).catch(() => undefined);
    fake.server.on('upgrade', (request) => (url = request.url!));
    await execInContainer(new ClusterConnection(fake.kubeconfig), target, ['agent', 'a&b'], {
      deadlineSeconds: 1,
    }).catch(() => undefined);

    expect(url).toBe(
      '/api/v1/namespaces/shop/pods/cart-1/exec?container=app&command=agent&command=a%26b' +
        '&stdin=false&stdout=true&stderr=true&tty=false',
    );
  });

  it('knows a command that never began from one that was cut off', async () => {
    const status = JSON.stringify({
      status: 'Failure',
      reason: 'InternalError',
      message: 'no such',
    });
    const never = exec((socket) => {
      send(socket, channels.status, status);
      socket.close();
    });
    await expect(never).rejects.toMatchObject({
      code: 'AgentStartFailed',
      message: expect.stringContaining('no such') as unknown,
    });

    await fake.close();
    const cutOff = await exec((socket) => {
      send(socket, channels.stdout, '{"outcome":"accepted"}\n');
      send(socket, channels.status, status);
      socket.close();
    });
    expect(cutOff).toMatchObject({ exitCode: undefined, stdout: '{"outcome":"accepted"}\n' });
  });

  it.each([
    [400, 'AgentStartFailed', false],
    [404, 'AgentStartFailed', false],
    [403, 'ClusterForbidden', false],
    [500, 'ClusterUnavailable', true],
  ])('turns a handshake refused with %i into %s', async (status, code, retryable) => {
    const failure = exec(status);

    await expect(failure).rejects.toMatchObject({ code, retryable });
    await expect(failure).rejects.toThrow(/pods\/exec "cart-1".*because/);
  });

  it('gives up on a handshake that is not answered', async () => {
    fake = await startFakeApi((_request, response) => sendStatus(response, 500, 'x'));
    fake.server.on('upgrade', () => undefined);
    const timeouts = { connectMilliseconds: 100, requestMilliseconds: 100 };

    await expect(
      execInContainer(new ClusterConnection(fake.kubeconfig, timeouts), target, ['true'], {
        deadlineSeconds: 600,
      }),
    ).rejects.toMatchObject({ code: 'ClusterUnavailable', retryable: true });
  });
});
