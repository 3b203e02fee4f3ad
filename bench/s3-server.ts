import { spawn } from 'node:child_process';
import { accessSync, constants, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { createS3ObjectStore } from '../lib/aws/s3-object-store.ts';
import type { ObjectStore } from '../lib/capture/ports.ts';
import { startLocalObjectStore } from '../lib/local/object-store/object-store.ts';
import { say } from './settings.ts';

export interface S3Server {
  readonly objects: ObjectStore;
  /** Its own process; absent where it lives in this one. */
  readonly pid?: number;
  close(): Promise<void>;
}

const bucketName = 'bench';
const credentials = { accessKeyId: 'bench', secretAccessKey: 'bench-secret' };

/**
 * An S3 server on this machine with its objects in `folder`: versitygw (HEAPCATCH_VERSITYGW, or of that name on the
 * PATH), a process of its own; else the project's local object store inside this process. Says which.
 */
export async function startS3Server(folder: string): Promise<S3Server> {
  const program = findVersitygw();
  if (program === undefined) {
    say(
      'S3 is the local object store in this process: versitygw is neither HEAPCATCH_VERSITYGW nor on the PATH',
    );
    const store = await startLocalObjectStore({ folder });
    return { objects: createS3ObjectStore(store), close: () => store.close() };
  }
  say(`S3 is ${program}`);
  const root = join(folder, 's3');
  mkdirSync(join(root, bucketName), { recursive: true });
  const port = await freePort();
  const child = spawn(
    'nice',
    // In the place of S3 it would take no CPU time of this machine.
    [
      '-n',
      '19',
      program,
      '--port',
      `127.0.0.1:${port}`,
      '--quiet',
      '--health',
      '/health',
      'posix',
      root,
    ],
    {
      env: {
        ROOT_ACCESS_KEY: credentials.accessKeyId,
        ROOT_SECRET_KEY: credentials.secretAccessKey,
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const endpoint = `http://127.0.0.1:${port}`;
  await answers(`${endpoint}/health`);
  return {
    ...(child.pid !== undefined && { pid: child.pid }),
    objects: createS3ObjectStore({ endpoint, bucketName, region: 'us-east-1', credentials }),
    async close() {
      child.kill();
      await ended;
    },
  };
}

function findVersitygw(): string | undefined {
  const given = process.env['HEAPCATCH_VERSITYGW'];
  if (given !== undefined && given !== '') return given;
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((directory) => join(directory, 'versitygw'))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

async function answers(url: string): Promise<void> {
  const end = Date.now() + 10_000;
  for (;;) {
    const reply = await fetch(url).catch(() => undefined);
    if (reply?.ok) return;
    if (Date.now() > end) throw new Error(`${url} does not answer within 10 s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
