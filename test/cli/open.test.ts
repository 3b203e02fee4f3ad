import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { open, type OpenIo } from '../../lib/cli/open/command.ts';
import { findViewer } from '../../lib/cli/open/viewers.ts';
import { MemoryObjectStore } from '../capture/memory-object-store.ts';
import { captureId, FakeIo, noisyDump, storeCapture } from './capture-fixture.ts';

describe('heapcatch open', () => {
  let folder: string;
  let objects: MemoryObjectStore;
  let fake: FakeIo;
  let io: OpenIo;
  let started: (string | readonly string[])[];
  let env: Record<string, string>;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'heapcatch-open-'));
    objects = new MemoryObjectStore();
    fake = new FakeIo(objects);
    started = [];
    env = { PATH: '/usr/bin:/opt/tools' };
    const installed = ['/opt/tools/MemoryAnalyzer', '/home/me/visualvm/bin/visualvm'];
    io = Object.assign(fake, {
      findViewer: (wanted: Parameters<OpenIo['findViewer']>[0]) =>
        findViewer(env, wanted, (path) => installed.includes(path)),
      start: (program: string, args: readonly string[]) => {
        started.push(program, args);
        return Promise.resolve();
      },
    });
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('brings a capture and opens its dump in MAT', async () => {
    const { raw } = await storeCapture(objects);

    expect(await open([captureId, '-o', folder], io)).toBe(0);

    const path = join(folder, 'heap.hprof');
    expect(readFileSync(path).equals(raw)).toBe(true);
    expect(started).toEqual(['/opt/tools/MemoryAnalyzer', ['--launcher.openFile', path]]);
  });

  it('opens a file in VisualVM, decompressed where it must be', async () => {
    const raw = noisyDump(1_000);
    const file = join(folder, 'old.hprof.zst');
    writeFileSync(file, zstdCompressSync(raw));
    env['VISUALVM_HOME'] = '/home/me/visualvm';

    expect(await open([file, '--with', 'visualvm'], io)).toBe(0);

    const path = join(folder, 'old.hprof');
    expect(readFileSync(path).equals(raw)).toBe(true);
    expect(started).toEqual(['/home/me/visualvm/bin/visualvm', ['--openfile', path]]);
  });

  it('says how, where neither is installed', async () => {
    const file = join(folder, 'old.hprof');
    writeFileSync(file, 'x');
    env['PATH'] = '';

    expect(await open([file], io)).toBe(2);

    expect(fake.out).toBe(`${file}\n`);
    expect(fake.errors).toContain('choose File, Open Heap Dump');
    expect(started).toEqual([]);
  });

  it('says that a capture has no heap dump', async () => {
    await storeCapture(objects, {
      change: ({ objects: { prefix, evidence }, ...entry }) => ({
        ...entry,
        state: 'evidence-only',
        objects: { prefix, evidence },
      }),
    });

    expect(await open([captureId, '-o', folder], io)).toBe(1);

    expect(fake.errors).toContain('(evidence-only) has no heap dump');
    expect(started).toEqual([]);
  });

  it.each([
    [[], 'accepted is one CAPTURE or FILE'],
    [['x', '--with', 'jhat'], '--with is "jhat", accepted is mat or visualvm'],
  ])('says what it does not understand: %j', async (words, answer) => {
    expect(await open(words, io)).toBe(2);
    expect(fake.errors).toContain(answer);
  });
});
