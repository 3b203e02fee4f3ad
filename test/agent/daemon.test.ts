import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { startDaemon, type Daemon } from '../../lib/agent/daemon.ts';
import { startCapture } from '../../lib/agent/start.ts';
import type { Ticket } from '../../lib/capture/ticket.ts';
import { CaptureError } from '../../lib/errors.ts';
import { createLogger } from '../../lib/log.ts';
import { captureId } from './tickets.ts';

let folder: string;
let socketPath: string;
let daemon: Daemon;
let ran: string[];
let lines: string[];
let endCapture: (() => void)[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'heapcatch-daemon-'));
  socketPath = join(folder, 'run/agent.sock');
  ran = [];
  lines = [];
  endCapture = [];
  daemon = await start();
});
afterEach(async () => {
  endCapture.forEach((end) => end());
  await daemon.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A ticket URL's path is `<captureId>/<token>`, or the code of the error that fetching it throws. */
function start(): Promise<Daemon> {
  return startDaemon({
    ...{ socketPath, maxCaptures: 2, healthPort: 0 },
    metricsText: () => 'heapcatch_agent_captures_running 0\n',
    log: createLogger('agent', { write: (line) => lines.push(line) }),
    fetchTicket: (ticketUrl) => {
      const [id = '', token = '1'] = new URL(ticketUrl).pathname.slice(1).split('/');
      return id === 'TicketExpired' || id === 'ObjectStoreUnavailable'
        ? Promise.reject(new CaptureError(id, `no ticket at ${ticketUrl}`))
        : Promise.resolve({ captureId: id, fencingToken: Number(token) } as Ticket);
    },
    run: (ticket) => {
      ran.push(`${ticket.captureId}/${ticket.fencingToken}`);
      return new Promise((resolve) => endCapture.push(() => resolve(undefined)));
    },
  });
}

function ask(path: string) {
  const line = JSON.stringify({ ticketUrl: `http://bucket/${path}?X-Amz-Signature=secret` });
  return startCapture(Readable.from([`${line}\n`]), socketPath);
}

describe('the agent of a node', () => {
  it('answers once the ticket was accepted, and does not wait for the capture', async () => {
    expect(await ask(captureId)).toEqual({ outcome: 'accepted', captureId });
    expect(ran).toEqual([`${captureId}/1`]);
  });

  it('lets only its own user reach the socket', () => {
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
  });

  it('accepts a repeat of a capture that runs or ran, and starts nothing', async () => {
    await ask(captureId);

    expect(await ask(captureId)).toEqual({ outcome: 'accepted', captureId });
    endCapture[0]?.();
    expect(await ask(captureId)).toEqual({ outcome: 'accepted', captureId });
    expect(ran).toEqual([`${captureId}/1`]);
  });

  it('takes the same capture with a new fencing token for a new one', async () => {
    await ask(captureId);
    await ask(`${captureId}/2`);

    expect(ran).toEqual([`${captureId}/1`, `${captureId}/2`]);
  });

  it('refuses more captures than it may run, and takes one again when one has ended', async () => {
    await ask('first');
    await ask('second');

    expect(await ask('third')).toMatchObject({ outcome: 'refused', reason: 'Busy' });
    endCapture[0]?.();
    await new Promise((resolve) => setImmediate(resolve));
    expect(await ask('third')).toMatchObject({ outcome: 'accepted' });
  });

  it.each([
    ['TicketExpired', 'TicketExpired'],
    ['ObjectStoreUnavailable', 'TicketUnavailable'],
  ])('refuses after %s with the reason %s, and shows no secret', async (path, reason) => {
    const answer = await ask(path);

    expect(answer).toMatchObject({ outcome: 'refused', reason });
    expect(JSON.stringify(answer) + lines.join('')).not.toContain('secret');
  });

  it('refuses a request that is too long or none, without ending', async () => {
    const raw = (text: string): Promise<string> =>
      new Promise((resolve) => {
        let answer = '';
        const socket = connect({ path: socketPath }, () => socket.write(text));
        socket.on('data', (chunk) => (answer += chunk.toString()));
        socket.on('close', () => resolve(answer));
        socket.on('error', () => undefined);
      });

    expect(await raw('not json\n')).toContain('InvalidRequest');
    expect(await raw('null\n')).toContain('InvalidRequest');
    expect(await raw('x'.repeat(10_000))).toContain('InvalidRequest');
    expect(await ask(captureId)).toMatchObject({ outcome: 'accepted' });
  });

  it('stops when what runs has ended, and accepts nothing meanwhile', async () => {
    await ask(captureId);
    let stopped = false;
    const stopping = daemon.stop().then(() => (stopped = true));

    expect(await ask('other')).toMatchObject({ outcome: 'refused', reason: 'AgentUnavailable' });
    expect(stopped).toBe(false);
    endCapture[0]?.();
    await stopping;
    expect(stopped).toBe(true);
  });

  it('replaces the socket of an agent that was killed', async () => {
    await daemon.stop();
    writeFileSync(socketPath, '');

    daemon = await start();

    expect(await ask(captureId)).toMatchObject({ outcome: 'accepted' });
  });

  it('answers /healthz', async () => {
    const answer = await fetch(`http://127.0.0.1:${daemon.healthPort}/healthz`);

    expect([answer.status, await answer.json()]).toEqual([200, { runningCaptureCount: 0 }]);
  });
});

describe('the agent’s HTTP port', () => {
  it('answers /metrics as Prometheus text, and nothing else', async () => {
    const answer = await fetch(`http://127.0.0.1:${daemon.healthPort}/metrics`);
    const other = await fetch(`http://127.0.0.1:${daemon.healthPort}/`);

    expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await answer.text()).toBe('heapcatch_agent_captures_running 0\n');
    expect([other.status, await other.text()]).toEqual([404, '{}']);
  });
});

describe('start', () => {
  it.each(['', '\n', 'no json\n', '{"ticketUrl": 7}\n', 'x'.repeat(20_000)])(
    'refuses %j on its standard input',
    async (text) => {
      const input = Readable.from(text === '' ? [] : [text]);

      expect(await startCapture(input, socketPath)).toMatchObject({ reason: 'InvalidRequest' });
    },
  );

  it('says that the agent does not run', async () => {
    const line = Readable.from(['{"ticketUrl": "http://bucket/x"}\n']);

    expect(await startCapture(line, join(folder, 'none.sock'))).toMatchObject({
      reason: 'AgentUnavailable',
    });
  });
});
