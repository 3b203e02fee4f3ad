import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { CaptureError } from '../../errors.ts';
import { installedPython } from '../python-venv.ts';

/** A local AWS account: CloudFormation, Lambda, EventBridge, SNS, SQS, S3, DynamoDB, SSM, IAM, KMS. */
export interface LocalAws {
  endpoint: string;
  /** What a client or a child process needs to talk to it. */
  env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

const here = import.meta.dirname;
const requirements = path.join(here, 'requirements.txt');
const startDeadlineSeconds = 60;

/**
 * Starts the local AWS of the demo and the e2e suite (ministack, pinned with hashes, in a venv of our own
 * under the user's cache folder), on a free port unless one is given. It ends when this process does.
 * @throws CaptureError NotSupported when there is no usable Python; InvalidConfiguration when it does not start.
 */
export async function startLocalAws(options: {
  /** Folder for its log and temporary files. */
  stateFolder: string;
  bindAddress?: string;
  /** Folder that holds the `node` that runs the functions. */
  nodeFolder?: string;
  report?: (line: string) => void;
}): Promise<LocalAws> {
  const bindAddress = options.bindAddress ?? '127.0.0.1';
  const python = installedPython({
    name: 'local-aws',
    what: 'the local AWS',
    requirements,
    ...(options.report === undefined ? {} : { report: options.report }),
  });
  const port = await freePort(bindAddress);
  mkdirSync(path.join(options.stateFolder, 'tmp'), { recursive: true });
  const logFile = path.join(options.stateFolder, 'local-aws.log');
  const log = openSync(logFile, 'a');
  const endpoint = `http://${bindAddress}:${port}`;
  const child = spawn(python, [path.join(here, 'local_aws.py')], {
    detached: true,
    stdio: ['pipe', log, log],
    env: {
      ...process.env,
      PATH: `${options.nodeFolder ?? path.dirname(process.execPath)}:${process.env['PATH'] ?? ''}`,
      BIND_HOST: bindAddress,
      GATEWAY_PORT: String(port),
      // What the functions are given, and the host in the URLs of queues.
      AWS_ENDPOINT_URL: endpoint,
      MINISTACK_HOST: bindAddress,
      MINISTACK_REGION: 'us-east-1',
      AUTH: 'true',
      TMPDIR: path.join(options.stateFolder, 'tmp'),
      NODE_NO_WARNINGS: '1',
      END_WITH_STDIN: '1',
    },
  });
  const close = (): Promise<void> => endGroup(child);
  try {
    await answers(`${endpoint}/_ministack/health`, child, logFile);
  } catch (error) {
    await close();
    throw error;
  }
  const env = {
    AWS_ENDPOINT_URL: endpoint,
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
    AWS_REGION: 'us-east-1',
  };
  return { endpoint, env, close };
}

/** A port nobody listens on now. */
export function freePort(address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, address, () => {
      const bound = server.address();
      const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
      server.close(() => resolve(port));
    });
  });
}

async function answers(url: string, child: ChildProcess, logFile: string): Promise<void> {
  const end = Date.now() + startDeadlineSeconds * 1000;
  while (Date.now() < end && child.exitCode === null) {
    const reply = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
    if (reply?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new CaptureError(
    'InvalidConfiguration',
    `the local AWS did not answer within ${startDeadlineSeconds} s; its log is ${logFile}`,
  );
}

async function endGroup(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    try {
      process.kill(-child.pid, signal);
    } catch {
      return;
    }
    const timer = new Promise((resolve) => setTimeout(resolve, 3_000, 'late').unref());
    if ((await Promise.race([ended, timer])) !== 'late') return;
  }
}
