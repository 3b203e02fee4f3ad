import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { build, stop } from 'esbuild';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentVersion } from '../../lib/agent/version.ts';
import { FakeBucket } from './fake-bucket.ts';
import { ProcFolder } from './proc-folder.ts';
import { ticketFor } from './tickets.ts';

const root = join(import.meta.dirname, '../..');
let folder: string;
let program: string;
let inputs: string[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'heapcatch-program-'));
  program = join(folder, 'agent.mjs');
  const result = await build({
    entryPoints: [join(root, 'lib/agent/main.ts')],
    outfile: program,
    ...{ bundle: true, platform: 'node', format: 'esm', target: 'node24', metafile: true },
  });
  inputs = Object.keys(result.metafile.inputs);
  await stop();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(
  command: string,
  options: { env?: Record<string, string>; input?: string } = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [program, command], { env: options.env ?? {} });
  child.stdin.end(options.input ?? '');
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

describe('the bundled agent', () => {
  it('holds no package but zod', () => {
    const packages = inputs
      .map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1])
      .filter((name) => name !== undefined);

    expect([...new Set(packages)]).toEqual(['zod']);
  });

  it('has the version of the package', () => {
    const text = readFileSync(join(root, 'package.json'), 'utf8');
    const { version } = JSON.parse(text) as { version: string };

    expect(agentVersion).toBe(version);
  });

  it('ends `start` with 3 and one line when it is refused', async () => {
    const { code, stdout } = await run('start', {
      env: { HEAPCATCH_SOCKET: join(folder, 'none.sock') },
      input: '{"ticketUrl":"http://127.0.0.1:9/?X-Amz-Signature=secret"}\n',
    });

    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ outcome: 'refused', reason: 'AgentUnavailable' });
  });

  it('ends `capture` with 4 when there is no JVM, and says so in the manifest', async () => {
    const bucket = await FakeBucket.start();
    const proc = new ProcFolder();
    try {
      const ticket = ticketFor(bucket, { directories: ['/tmp'] });
      bucket.objects.set('/ticket', Buffer.from(JSON.stringify(ticket)));

      const { code, stderr } = await run('capture', {
        env: { HEAPCATCH_TICKET_URL: bucket.url('/ticket'), HEAPCATCH_PROC_ROOT: proc.path },
      });

      expect([code, stderr]).toEqual([4, expect.not.stringContaining('secret')]);
      expect(bucket.json('/manifest.json')).toMatchObject({
        evidence: [],
        faults: [{ code: 'JvmNotFound' }],
      });
    } finally {
      await bucket.stop();
      proc.remove();
    }
  });

  it.each([
    ['capture', {}, 1],
    ['serve', { HEAPCATCH_MAX_CAPTURES: '11' }, 1],
    ['dance', {}, 2],
  ])('ends `%s` with a clear line when its settings are wrong', async (command, env, expected) => {
    const { code, stderr } = await run(command, { env });

    expect([code, stderr.trim().split('\n').length]).toEqual([expected, 1]);
  });

  it('ends `serve` with 0 on SIGTERM', async () => {
    const env = { HEAPCATCH_SOCKET: join(folder, 'agent.sock') };
    const child = spawn(process.execPath, [program, 'serve'], { env });
    const ended = new Promise((resolve) => child.once('close', resolve));
    await new Promise((resolve) => child.stderr.once('data', resolve));

    child.kill('SIGTERM');

    expect(await ended).toBe(0);
  });
});
