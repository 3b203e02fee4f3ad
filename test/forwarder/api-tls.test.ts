import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { copyFileSync, cpSync, readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { startApi, type Api, type Caller, type Route } from '../../lib/forwarder/api.ts';
import { followTls, readTls } from '../../lib/forwarder/tls-files.ts';
import { FakeTime, recordingLog, temporaryDirectory, until } from './fakes.ts';

const { path: folder, remove } = temporaryDirectory();
const file = (name: string): string => join(folder, name);
const pem = (name: string): string => readFileSync(file(name), 'utf8');
const files = { cert: file('server.crt'), key: file('server.key'), clientCa: file('ca.crt') };
let api: Api;
const callers: Caller[] = [];
let trusted: string[];

beforeAll(() => {
  cpSync(join(import.meta.dirname, 'fixtures/tls'), folder, { recursive: true });
  trusted = [pem('server.crt'), pem('server-2.crt')];
});
afterAll(remove);
afterEach(async () => {
  callers.length = 0;
  await api.close();
});

async function start(): Promise<void> {
  const route: Route = {
    method: 'POST',
    path: '/v1/words',
    maxBodyBytes: 16,
    admit: (caller) => {
      callers.push(caller);
      return Promise.resolve(undefined);
    },
    handle: () => Promise.resolve({ status: 200, body: {} }),
  };
  const { log } = recordingLog();
  api = await startApi({ port: 0, routes: [route], tls: await readTls(files), log });
}

/** The name in the certificate that the server showed. */
async function post(client?: string): Promise<string> {
  const own = client === undefined ? {} : { cert: pem(`${client}.crt`), key: pem(`${client}.key`) };
  const asked = request({
    ...{ host: '127.0.0.1', port: api.port, path: '/v1/words', method: 'POST', agent: false },
    ...own,
    ca: trusted,
  });
  asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  if (!(response.socket instanceof TLSSocket)) throw new Error('no TLS');
  const { CN } = response.socket.getPeerCertificate().subject;
  response.resume();
  await once(response, 'end');
  return String(CN);
}

describe('the API over TLS', () => {
  it('tells a caller with a certificate of the client CA from one with another, and one with none', async () => {
    await start();

    await post('client');
    await post('stranger');
    await post();

    expect(callers.map(({ clientCertified }) => clientCertified)).toEqual([true, false, false]);
  });

  it('serves a renewed certificate, and the last good one where the new one is not of its key', async () => {
    await start();
    const time = new FakeTime();
    const stop = new AbortController();
    const { log, lines } = recordingLog();
    const first = await readTls(files);
    const renew = api.renewTls.bind(api);
    const followed = followTls({ files, first, renew, time, signal: stop.signal, log });
    expect(await post()).toBe('server');

    copyFileSync(file('server.crt'), file('kept.crt'));
    copyFileSync(file('server-2.crt'), file('server.crt'));
    await time.advance(60_000);
    // The new certificate with the old key.
    await until('a warning', () => lines.some(({ level }) => level === 'warn'));
    expect(await post()).toBe('server');
    copyFileSync(file('server-2.key'), file('server.key'));
    await until('a wait', () => time.sleeperCount > 0);
    await time.advance(60_000);
    await until('a renewal', () => lines.some(({ level }) => level === 'info'));
    expect(await post()).toBe('server-2');

    stop.abort();
    await followed;
  });
});
