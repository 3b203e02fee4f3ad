import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runCapture } from '../../lib/agent/capture.ts';
import { manifestSchema, type Manifest } from '../../lib/capture/manifest.ts';
import type { Ticket } from '../../lib/capture/ticket.ts';
import { createLogger } from '../../lib/log.ts';
import { endArtifacts } from '../../lib/policy/policy.ts';
import { FakeBucket } from './fake-bucket.ts';
import { ProcFolder } from './proc-folder.ts';
import { ticketFor } from './tickets.ts';

const startedTime = '2026-03-01T11:00:00Z';
const finishedTime = '2026-03-01T12:00:00Z';
const crash =
  '#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n#  SIGSEGV (0xb) at pc=0x7f, pid=1, tid=7\n#\n# Problematic frame:\n# C  [libz.so+0x1]\n';

let proc: ProcFolder;
let bucket: FakeBucket;
let folder: string;

beforeEach(async () => {
  proc = new ProcFolder();
  bucket = await FakeBucket.start();
  folder = proc.add({ pid: 7, uid: process.getuid!() });
  mkdirSync(join(folder, 'fd'), { recursive: true });
  mkdirSync(join(folder, 'root/logs'), { recursive: true });
  rmSync(join(folder, 'cwd'), { recursive: true });
  symlinkSync('/logs/app', join(folder, 'cwd'));
});
afterEach(async () => {
  proc.remove();
  await bucket.stop();
});

/** Puts a file into the container, last written so many seconds before the life's end. */
function leave(path: string, text: string, secondsBefore = 10): string {
  const real = join(folder, 'root', path);
  mkdirSync(dirname(real), { recursive: true });
  writeFileSync(real, text);
  const time = Date.parse(finishedTime) / 1_000 - secondsBefore;
  utimesSync(real, time, time);
  return real;
}

const options = (...words: string[]): void =>
  writeFileSync(join(folder, 'cmdline'), ['java', ...words, 'Main', ''].join('\0'));

async function collect(order: Partial<NonNullable<Ticket['leftovers']>> = {}): Promise<Manifest> {
  const leftovers = {
    directories: [{ path: '/logs', outlivesPod: false }],
    termination: { reason: 'Error', exitCode: 134, startedTime, finishedTime },
    ...order,
  };
  const evidence = endArtifacts.map((artifact) => ({
    artifact,
    putUrl: bucket.url(`/${artifact}.txt`),
  }));
  const change = { evidence, leftovers };
  const ticket = ticketFor(bucket, { directories: ['/logs'], change });
  await runCapture({
    ticket,
    procRoot: proc.path,
    log: createLogger('agent', { write: () => undefined }),
  });
  return manifestSchema.parse(bucket.json('/manifest.json'));
}

const stored = (manifest: Manifest): string[] =>
  manifest.evidence.map(({ artifact }) => artifact).sort();
const text = (name: string): string => bucket.objects.get(`/${name}.txt`)!.toString();

describe('the agent, of the logs that an ended life left', () => {
  it('stores the crash log and says what its head says, stores the GC log, and removes neither', async () => {
    options('-Xlog:gc*:file=/logs/gc.log');
    const paths = [
      leave('logs/app/hs_err_pid1.log', crash),
      leave('logs/gc.log.0', '[0.1s][info][gc] old\n', 30),
      leave('logs/gc.log.1', '[0.1s][info][gc] last\n', 5),
    ];

    const manifest = await collect();

    expect(manifest.faults).toEqual([]);
    expect(stored(manifest)).toEqual(['crashLog', 'gcLog']);
    expect(manifest.crash).toEqual({
      kind: 'signal',
      cause: 'SIGSEGV (0xb) at pc=0x7f, pid=1, tid=7',
      frame: 'C  [libz.so+0x1]',
    });
    expect([text('crashLog'), text('gcLog')]).toEqual([crash, '[0.1s][info][gc] last\n']);
    expect(paths.filter((path) => !existsSync(path))).toEqual([]);
  });

  it('finds the crash log where -XX:ErrorFile puts it', async () => {
    options('-XX:ErrorFile=/logs/deep/error-%p.txt');
    leave('logs/deep/error-1.txt', crash);

    expect(stored(await collect())).toEqual(['crashLog']);
  });

  it.each([
    ['of an earlier life', 3_700],
    ['of the life that runs now', -60],
  ])('leaves files %s alone', async (_whose, secondsBefore) => {
    options('-Xlog:gc:file=/logs/gc.log');
    leave('logs/hs_err_pid1.log', crash, secondsBefore);
    leave('logs/gc.log', 'x', secondsBefore);

    const manifest = await collect();

    expect([stored(manifest), manifest.crash, manifest.faults]).toEqual([[], undefined, []]);
  });

  it('follows no link out of the volume, and takes no other text for a crash log', async () => {
    options();
    symlinkSync('/etc/passwd', join(folder, 'root/logs/hs_err_pid1.log'));
    leave('logs/hs_err_pid2.log', 'root:x:0:0\n');

    expect(stored(await collect())).toEqual([]);
  });

  it('names core files and replays, and takes none', async () => {
    options();
    leave('logs/core.1', 'memory');
    leave('logs/replay_pid1.log', 'replay');

    const manifest = await collect();

    expect(stored(manifest)).toEqual([]);
    expect(manifest.faults).toMatchObject([{ code: 'LeftoverStays' }]);
    expect(manifest.faults[0]?.message).toMatch(/core\.1 \(6 bytes\)/);
    expect(manifest.faults[0]?.message).toContain('replay_pid1.log');
  });

  it('cuts a long crash log at its end and a long GC log at its begin, and says so', async () => {
    options('-Xlog:gc:file=/logs/gc.log');
    leave('logs/hs_err_pid1.log', crash.padEnd(3 * 1024 * 1024, '.'));
    leave('logs/gc.log', `${'.'.repeat(5 * 1024 * 1024)}the end`);

    await collect();

    expect(text('crashLog').startsWith(crash)).toBe(true);
    expect(text('crashLog')).toMatch(/\[cut: only the first 2097152 bytes\]\n$/);
    expect(text('gcLog').startsWith('\n[cut: only the last 4194304 bytes]\n.')).toBe(true);
    expect(text('gcLog').endsWith('.the end')).toBe(true);
  });

  it('looks into no place that is not in a volume', async () => {
    options('-Xlog:gc:file=/other/gc.log', '-XX:ErrorFile=/other/e.log');
    leave('other/gc.log', 'x');
    leave('other/e.log', crash);

    expect(stored(await collect())).toEqual([]);
  });
});
