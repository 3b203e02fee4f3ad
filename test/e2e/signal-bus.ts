import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { signalSchema, type Signal } from '../../lib/signal/signal.ts';

/** EventBridge as the forwarder sees it (PutEvents, JSON 1.1), where pods reach it. */
export interface ReceivingBus {
  endpoint: string;
  /** In the order in which they came, repeats included. */
  received: { signal: Signal; timeMilliseconds: number }[];
  close(): Promise<void>;
}

export async function startReceivingBus(host: string): Promise<ReceivingBus> {
  const received: ReceivingBus['received'] = [];
  const put = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = Buffer.concat((await request.toArray()) as Buffer[]).toString('utf8');
    const { Entries } = JSON.parse(body) as { Entries: { Detail: string }[] };
    for (const { Detail } of Entries) {
      const signal = signalSchema.parse(JSON.parse(Detail));
      received.push({ signal, timeMilliseconds: Date.now() });
    }
    response.setHeader('content-type', 'application/x-amz-json-1.1');
    const results = Entries.map((_, index) => ({ EventId: String(index) }));
    response.end(JSON.stringify({ FailedEntryCount: 0, Entries: results }));
  };
  const server = createServer((request, response) => {
    put(request, response).catch(() => response.writeHead(500).end());
  });
  server.listen(0, host);
  await once(server, 'listening');
  return {
    endpoint: `http://${host}:${(server.address() as AddressInfo).port}`,
    received,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
