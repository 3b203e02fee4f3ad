import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export interface SeenRequest {
  method: string;
  /** With the query. */
  url: string;
  contentType: string | undefined;
  authorization: string | undefined;
  body: string;
}

/** An API server that answers as the test says, and remembers what it was asked. */
export interface FakeApi {
  kubeconfig: string;
  requests: SeenRequest[];
  server: http.Server;
  close(): Promise<void>;
}

export async function startFakeApi(
  answer: (request: SeenRequest, response: http.ServerResponse) => void,
  port = 0,
): Promise<FakeApi> {
  const requests: SeenRequest[] = [];
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const seen = {
        method: request.method!,
        url: request.url!,
        contentType: request.headers['content-type'],
        authorization: request.headers.authorization,
        body: Buffer.concat(chunks).toString(),
      };
      requests.push(seen);
      answer(seen, response);
    });
  });
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const bound = server.address() as AddressInfo;
  return {
    kubeconfig: kubeconfigFor(`http://127.0.0.1:${bound.port}`),
    requests,
    server,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        // Also those that were upgraded, which the server has let go of.
        for (const socket of sockets) socket.destroy();
      }),
  };
}

export function kubeconfigFor(server: string, token = 'secret-token'): string {
  return JSON.stringify({
    clusters: [{ name: 'a', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'b', user: { token } }],
    contexts: [{ name: 'c', context: { cluster: 'a', user: 'b' } }],
    'current-context': 'c',
  });
}

export function sendJson(response: http.ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

export function sendStatus(response: http.ServerResponse, code: number, message: string): void {
  sendJson(response, code, { kind: 'Status', status: 'Failure', message, code });
}
