import { afterAll, afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { build, stop as stopEsbuild } from 'esbuild';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { aProbeEvent, temporaryDirectory, until, type Logged } from './fakes.ts';

// Programs start slowly on a busy machine; nothing here depends on how slowly.
jest.setTimeout(120_000);

const program = resolve(import.meta.dirname, '../../lib/forwarder/main.ts');
const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'shop', name: 'cart-1', uid: 'uid-1', resourceVersion: '5' },
  spec: {
    nodeName: 'node-1',
    terminationGracePeriodSeconds: 30,
    containers: [{ name: 'app', livenessProbe: { httpGet: { port: 80 }, periodSeconds: 10 } }],
  },
  status: {
    phase: 'Running',
    containerStatuses: [
      {
        name: 'app',
        containerID: 'containerd://abc',
        ready: true,
        started: true,
        restartCount: 0,
        state: { running: { startedAt: '2026-01-01T00:00:00Z' } },
      },
    ],
  },
};

/** An API server with one pod and one failing probe, and a bus, behind one port. */
class Outside {
  readonly details: { reason: string; podName: string }[] = [];
  busStatus = 200;
  readonly #server: Server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://outside');
    if (request.method === 'POST') void this.#put(request, response);
    else if (url.searchParams.has('watch')) response.writeHead(200).flushHeaders();
    else {
      const items = url.pathname.endsWith('/pods') ? [pod] : [aProbeEvent({ time: new Date() })];
      response.end(JSON.stringify({ kind: 'List', metadata: { resourceVersion: '9' }, items }));
    }
  });

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #put(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await request.toArray()).toString();
    const { Entries } = JSON.parse(body) as { Entries: { Detail: string }[] };
    response.setHeader('content-type', 'application/x-amz-json-1.1');
    if (this.busStatus !== 200) {
      response.writeHead(this.busStatus).end('{"__type":"AccessDeniedException"}');
      return;
    }
    this.details.push(...Entries.map((entry) => JSON.parse(entry.Detail) as never));
    response.end(
      JSON.stringify({ FailedEntryCount: 0, Entries: Entries.map(() => ({ EventId: 'e' })) }),
    );
  }
}

let directory: ReturnType<typeof temporaryDirectory>;
let outside: Outside;
let child: ChildProcess | undefined;
beforeEach(() => {
  directory = temporaryDirectory();
  outside = new Outside();
});
afterEach(() => {
  child?.kill('SIGKILL');
  child = undefined;
  outside.stop();
  directory.remove();
});

// Its child process would keep the test worker alive.
afterAll(() => stopEsbuild());

async function start(file: string) {
  const url = await outside.start();
  const kubeconfig = join(directory.path, 'kubeconfig');
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      clusters: [{ name: 'c', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'u', user: { token: 'secret-token' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
  );
  return spawned(file, {
    HEAPCATCH_CLUSTER_NAME: 'test',
    HEAPCATCH_EVENT_BUS_NAME: 'heapcatch',
    HEAPCATCH_SPOOL_DIR: join(directory.path, 'spool'),
    HEAPCATCH_HTTP_PORT: '0',
    HEAPCATCH_KUBECONFIG: kubeconfig,
    AWS_REGION: 'us-east-1',
    AWS_ENDPOINT_URL: url,
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  });
}

function spawned(file: string, env: Record<string, string>) {
  const lines: Logged[] = [];
  const process_ = spawn(process.execPath, [file], {
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  child = process_;
  createInterface(process_.stderr).on('line', (line) => {
    if (line.startsWith('{')) lines.push(JSON.parse(line) as Logged);
  });
  const exited = once(process_, 'exit') as Promise<[number | null]>;
  return { process: process_, lines, exited };
}

const logged = (lines: readonly Logged[], message: string) =>
  lines.some((line) => line.message === message);

describe('the forwarder program', () => {
  it('runs as one bundled file: finds the trouble of right now, sends it, ends with 0 on SIGTERM', async () => {
    const bundle = join(directory.path, 'forwarder.mjs');
    await build({
      entryPoints: [program],
      outfile: bundle,
      bundle: true,
      platform: 'node',
      target: 'node24',
      format: 'esm',
      logLevel: 'error',
      banner: {
        js: "import{createRequire}from'node:module';const require=createRequire(import.meta.url);",
      },
    });
    const { process: forwarder, lines, exited } = await start(bundle);
    await until('the signal is on the bus', () => outside.details.length > 0, 60);

    forwarder.kill('SIGTERM');

    expect((await exited)[0]).toBe(0);
    expect(outside.details).toEqual([
      expect.objectContaining({ reason: 'LivenessProbeFailing', podName: 'cart-1' }),
    ]);
    expect(JSON.stringify(lines)).not.toContain('secret-token');
    expect(logged(lines, 'stopped')).toBe(true);
  });

  it('runs from source, and leaves on disk what the bus refuses', async () => {
    outside.busStatus = 403;
    const { process: forwarder, lines, exited } = await start(program);
    await until('the bus is found out', () => logged(lines, 'the bus is out, spooling'), 60);

    forwarder.kill('SIGTERM');

    expect((await exited)[0]).toBe(0);
    const files = readdirSync(join(directory.path, 'spool'));
    expect(files.filter((name) => name.endsWith('.json'))).toHaveLength(1);
  });

  it('ends with 1 and one line that names every fault of its environment', async () => {
    const { lines, exited } = spawned(program, { HEAPCATCH_HTTP_PORT: 'eighty' });

    expect((await exited)[0]).toBe(1);
    expect(lines).toHaveLength(1);
    expect(lines[0]?.['error']).toMatch(/HEAPCATCH_CLUSTER_NAME.*HEAPCATCH_HTTP_PORT is "eighty"/);
  });
});
