import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { build, stop, type Metafile } from 'esbuild';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { agentVersion } from '../../lib/agent/version.ts';
import { FakeBucket } from './fake-bucket.ts';
import { ProcFolder } from './proc-folder.ts';
import { ticketFor } from './tickets.ts';

const root = join(import.meta.dirname, '../..');
let folder: string;
let program: string;
let metafile: Metafile;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'heapcatch-program-'));
  const result = await build({
    entryPoints: [join(root, 'lib/agent/main.ts')],
    // As the image has it (infra/images/build.ts).
    ...{ outdir: folder, splitting: true, outExtension: { '.js': '.mjs' } },
    ...{ bundle: true, platform: 'node', format: 'esm', target: 'node24', metafile: true },
  });
  metafile = result.metafile;
  program = join(folder, 'main.mjs');
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

function packagesOf(paths: readonly string[]): string[] {
  const packages = paths
    .map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1])
    .filter((name) => name !== undefined);
  return [...new Set(packages)];
}

/** Sources of what the program loads before it has looked at its command. */
function loadedAtFirst(): string[] {
  const outputs = new Map(
    Object.entries(metafile.outputs).map(([path, output]) => [basename(path), output]),
  );
  const loaded = new Set(['main.mjs']);
  for (const name of loaded) {
    for (const { path, kind } of outputs.get(name)?.imports ?? []) {
      if (kind === 'import-statement' && outputs.has(basename(path))) loaded.add(basename(path));
    }
  }
  return [...loaded].flatMap((name) => Object.keys(outputs.get(name)?.inputs ?? {}));
}

describe('the bundled agent', () => {
  it('holds no package but zod', () => {
    expect(packagesOf(Object.keys(metafile.inputs))).toEqual(['zod']);
  });

  it('begins without any package, and without what a capture needs: two of it must fit into a pod', () => {
    const loaded = loadedAtFirst();

    expect(packagesOf(loaded)).toEqual([]);
    expect(loaded).toContain('lib/agent/attacher.ts');
    expect(loaded).not.toContain('lib/agent/capture.ts');
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

  it('goes on as the attacher alone, with the uploader’s ticket, where it cannot see that there is room for two', async () => {
    const bucket = await FakeBucket.start();
    const proc = new ProcFolder();
    const volume = mkdtempSync(join(tmpdir(), 'heapcatch-volume-'));
    try {
      bucket.objects.set(
        '/ticket',
        Buffer.from(JSON.stringify(ticketFor(bucket, { directories: ['/tmp'] }))),
      );
      const shared = {
        HEAPCATCH_ATTACHER_KEY: 'a1'.repeat(32),
        HEAPCATCH_ATTACHER_DIRECTORIES: volume,
        HEAPCATCH_CONTAINER_ID: 'containerd://gone',
        HEAPCATCH_DEADLINE_TIME: new Date(Date.now() + 60_000).toISOString(),
        HEAPCATCH_PROC_ROOT: proc.path,
      };

      const [uploader, attacher] = await Promise.all([
        run('capture', { env: { ...shared, HEAPCATCH_TICKET_URL: bucket.url('/ticket') } }),
        run('attach', { env: shared }),
      ]);

      expect([uploader.code, attacher.code]).toEqual([0, 4]);
      expect(uploader.stderr + attacher.stderr).not.toMatch(/secret|a1a1a1/);
      expect(bucket.json('/manifest.json')).toMatchObject({
        layout: { layout: 'single' },
        faults: [{ code: 'JvmNotFound' }],
      });
      expect(readdirSync(volume)).toEqual([]);
    } finally {
      await bucket.stop();
      proc.remove();
      rmSync(volume, { recursive: true });
    }
  });

  it.each([
    ['capture', {}, 1],
    ['attach', {}, 1],
    ['attach', { HEAPCATCH_ATTACHER_KEY: 'short' }, 1],
    ['attach', { HEAPCATCH_ATTACHER_KEY: 'a'.repeat(64) }, 1],
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
