import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

const script = path.resolve(import.meta.dirname, '../../infra/kubernetes/prestop.sh');
const found = (name: string): string | undefined =>
  ['/bin', '/usr/bin', '/usr/local/bin'].map((folder) => path.join(folder, name)).find(existsSync);
const present = (names: readonly string[]) =>
  names.flatMap((name) => {
    const file = found(name);
    return file === undefined ? [] : [[name, file] as const];
  });

const [bash, busybox] = [found('bash'), found('busybox')];
const shells: (readonly [name: string, ...command: string[]])[] = [
  ...present(['dash']),
  ...(bash === undefined ? [] : [['bash --posix', bash, '--posix'] as const]),
  ...(busybox === undefined ? [] : [['busybox sh', busybox, 'sh'] as const]),
];
const tools = present(['curl', 'wget', 'bash', 'busybox']);
const [, ...anyShell] = shells[0] ?? ['sh', '/bin/sh'];
const anyTool = tools[0]?.[0] ?? 'curl';

let folder: string;
let server: Server;
let requests: { method: string; url: string; token: string | undefined }[] = [];
let answer: (response: ServerResponse, count: number) => void;

const say = (response: ServerResponse, status: number, body: object): void => {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { 'content-length': text.length }).end(text);
};
const releases = (response: ServerResponse): void =>
  say(response, 200, { hold: false, reason: 'Captured' });
const holds = (response: ServerResponse): void => say(response, 200, { hold: true, reason: 'X' });

beforeAll(async () => {
  server = createServer((request: IncomingMessage, response) => {
    const { method = '', url = '', headers } = request;
    requests.push({ method, url, token: headers.authorization });
    answer(response, requests.length);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-prestop-'));
  requests = [];
  answer = releases;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A folder of programs as an image has them; nobody sleeps in it, and each look at the clock finds it some seconds on. */
function image(tool: string | undefined, clockSeconds: number): string {
  for (const [name, file] of present(['head', 'tr'])) symlinkSync(file, path.join(folder, name));
  if (tool === 'busybox') symlinkSync(busybox!, path.join(folder, 'wget'));
  else if (tool !== undefined) symlinkSync(found(tool)!, path.join(folder, tool));
  const program = (name: string, text: string) =>
    writeFileSync(path.join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  // What bounds a request sleeps for longer than a second, and has to.
  const slept = path.join(folder, 'slept');
  program('sleep', `[ "$1" = 1 ] || PATH=/bin:/usr/bin exec sleep "$1"; echo >>${slept}`);
  const clock = path.join(folder, 'clock');
  writeFileSync(clock, '1000\n');
  program(
    'date',
    `read -r time <${clock}; echo $((time + ${clockSeconds})) >${clock}; echo "$time"`,
  );
  return folder;
}

async function run(
  options: {
    shell?: readonly string[];
    tool?: string | undefined;
    env?: Record<string, string>;
    token?: string;
    args?: readonly string[];
    clockSeconds?: number;
  } = {},
) {
  const { shell = anyShell, env = {}, token = 'ey.J-_1\n', args = [], clockSeconds = 2 } = options;
  const tool = 'tool' in options ? options.tool : anyTool;
  const [log, tokenFile] = [path.join(folder, 'log'), path.join(folder, 'token')];
  writeFileSync(tokenFile, token);
  const [command = '', ...rest] = shell;
  const child = spawn(command, [...rest, script, ...args], {
    stdio: 'ignore',
    env: {
      PATH: image(tool, clockSeconds),
      HEAPCATCH_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      ...{ HEAPCATCH_TOKEN_FILE: tokenFile, HEAPCATCH_LOG: log },
      // Nobody is there.
      http_proxy: 'http://127.0.0.1:9',
      ...env,
    },
  });
  const [exitCode] = (await once(child, 'close')) as [number | null];
  return { exitCode, log: existsSync(log) ? readFileSync(log, 'utf8') : '' };
}

describe('prestop.sh', () => {
  it('is tried in a shell, with a tool', () => {
    expect([shells.length, tools.length]).not.toContain(0);
  });

  // BusyBox's shell takes its own applets before all others, its sleep too.
  const ways = shells.flatMap(([name, ...shell]) =>
    tools
      .filter(([tool]) => tool === 'busybox' || !name.startsWith('busybox'))
      .map(([tool]) => [name, tool, shell] as const),
  );
  it.each(ways)('under %s, with %s, asks until it may end', async (_name, tool, shell) => {
    answer = (response, count) => (count < 3 ? holds(response) : releases(response));

    const { exitCode, log } = await run({ shell, tool, args: ['app'] });

    expect(exitCode).toBe(0);
    expect(requests.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'POST /v1/pre-stop?wait=0&container=app',
      'POST /v1/pre-stop?wait=20&container=app',
      'POST /v1/pre-stop?wait=20&container=app',
    ]);
    expect(new Set(requests.map(({ token }) => token))).toEqual(new Set(['Bearer ey.J-_1']));
    expect(log).toMatch(/^heapcatch preStop: holds: .*\nheapcatch preStop: lets go: .*Captured/);
    expect(log).not.toContain('ey.J');
  });

  it.each(tools)('with %s, ends at a refusal', async (tool) => {
    answer = (response) => say(response, 403, { hold: false, error: 'no' });

    const { exitCode, log } = await run({ tool });

    expect([exitCode, requests.length]).toEqual([0, 1]);
    expect(log).toMatch(/lets go|refused/);
  });

  it.each<[string, typeof answer]>([
    ['of a server that is not ready', (response) => say(response, 503, { error: 'later' })],
    ['that is empty', (response) => response.end()],
    ['that is garbage', (response) => response.end(Buffer.alloc(300_000, '\0\x1b[2J$(id)`'))],
    ['that is cut off', (response) => response.destroy()],
  ])('gives up soon after an answer %s', async (_name, wrong) => {
    for (const [tool] of tools) {
      rmSync(folder, { recursive: true });
      folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-prestop-'));
      answer = wrong;
      const { exitCode, log } = await run({ tool });

      expect(exitCode).toBe(0);
      expect(log).toMatch(/^heapcatch preStop: gives up: [\x20-\x7e]{0,500}\n$/);
    }
  });

  it('goes on after a moment in which nobody answered', async () => {
    answer = (response, count) => {
      if (count === 2) response.destroy();
      else if (count < 4) holds(response);
      else releases(response);
    };

    const { exitCode, log } = await run();

    expect([exitCode, requests.length]).toEqual([0, 4]);
    expect(log).toContain('lets go: {"hold":false');
  });

  it.each(tools)('with %s, looks for the forwarder that leads without a rest', async (tool) => {
    const leads = { error: 'another forwarder leads and judges this' };
    answer = (response, count) => (count < 5 ? say(response, 503, leads) : releases(response));

    const { exitCode } = await run({ tool, clockSeconds: 0 });

    expect([exitCode, requests.length]).toEqual([0, 5]);
    expect(existsSync(path.join(folder, 'slept'))).toBe(false);
  });

  it('gives up soon when nobody is there', async () => {
    const { exitCode, log } = await run({ env: { HEAPCATCH_URL: 'http://127.0.0.1:1' } });

    expect(exitCode).toBe(0);
    expect(log).toContain('gives up');
  });

  it('is over when its time is, whatever it is told', async () => {
    answer = holds;

    const { exitCode, log } = await run({ env: { HEAPCATCH_HOLD_SECONDS: '40' } });

    expect(exitCode).toBe(0);
    expect(requests.length).toBeLessThan(12);
    expect(log).toContain('its 40 s are over');
  });

  it.each<[string, Parameters<typeof run>[0], string]>([
    ['without a tool', { tool: undefined }, 'neither curl nor wget nor bash'],
    ['without a token', { token: '' }, 'holds no token'],
    ['with a token that is none', { token: 'a"\nurl = b' }, 'holds no token'],
    ['for what is no name', { args: ['a&pod=b'] }, 'no name of a container'],
    [
      'over https without curl',
      { tool: 'bash', env: { HEAPCATCH_URL: 'https://x' } },
      'needs curl',
    ],
    ['by another protocol', { env: { HEAPCATCH_URL: 'file:///x' } }, 'accepted is http'],
  ])('asks nobody %s, and says so', async (_name, options, words) => {
    const { exitCode, log } = await run(options);

    expect([exitCode, requests.length]).toEqual([0, 0]);
    expect(log).toContain(words);
  });

  it('takes its default for a time that is no number', async () => {
    const { exitCode, log } = await run({ env: { HEAPCATCH_HOLD_SECONDS: '5m; exit 3' } });

    expect([exitCode, requests.length]).toEqual([0, 1]);
    expect(log).toContain('300 is taken');
  });
});
