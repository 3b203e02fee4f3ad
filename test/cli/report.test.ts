import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, describe, expect, it } from '@jest/globals';
import { report } from '../../lib/cli/report/command.ts';
import { parseReport } from '../../lib/report/report-schema.ts';
import { HprofWriter, sampleDump } from '../hprof/hprof-writer.ts';

const folder = mkdtempSync(join(tmpdir(), 'heapcatch-report-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(...words: string[]): Promise<{ code: number; said: string; faults: string }> {
  let said = '';
  let faults = '';
  const code = await report(words, {
    write: (text) => (said += text),
    writeError: (text) => (faults += text),
  });
  return { code, said, faults };
}

function fileOf(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

const dump = sampleDump(4);
const half = Math.floor(dump.length / 2);
const frames = Buffer.concat([
  zstdCompressSync(dump.subarray(0, half)),
  zstdCompressSync(dump.subarray(half)),
]);

describe('heapcatch report', () => {
  it.each([
    ['plain.hprof', dump, 'none'],
    ['frames.hprof.zst', frames, 'zstd'],
    ['called-otherwise.bin', frames, 'zstd'],
    ['packed.hprof.gz', gzipSync(dump), 'gzip'],
    [
      'members.hprof.gz',
      Buffer.concat([gzipSync(dump.subarray(0, half)), gzipSync(dump.subarray(half))]),
      'gzip',
    ],
  ])('reads %s', async (name, bytes, codec) => {
    const path = fileOf(name, bytes);

    const { code, said, faults } = await run(path);

    expect({ code, faults }).toEqual({ code: 0, faults: '' });
    const [verdict, page = ''] = said.split('\n');
    const json = JSON.parse(readFileSync(page.replace(/html$/, 'json'), 'utf8')) as unknown;
    const made = parseReport(json, page);
    expect(made).toMatchObject({
      verdict,
      dump: { codec, bytes: dump.length, fileBytes: bytes.length, whole: true },
      totals: { instanceCount: 4 },
    });
    expect(readFileSync(page, 'utf8')).toContain('<!doctype html>');
  });

  it.each([
    ['cut.hprof', dump.subarray(0, -20)],
    ['cut.hprof.gz', gzipSync(dump).subarray(0, -30)],
    ['cut.hprof.zst', frames.subarray(0, -5)],
    ['one-cut.hprof.zst', zstdCompressSync(dump).subarray(0, -5)],
    ['garbage-behind.hprof', Buffer.concat([dump.subarray(0, -9), Buffer.alloc(40, 0x77)])],
  ])('reports on what is there of %s, and says so', async (name, bytes) => {
    const { code, faults } = await run(fileOf(name, bytes));

    expect(code).toBe(1);
    expect(faults).toMatch(/no end record|could be read up to byte/);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['android.hprof', new HprofWriter().header('1.0.3').bytes, /from Android/],
    [
      'android-inside.hprof',
      new HprofWriter()
        .header()
        .utf8(1, 'x')
        .segment((body) => body.u1(0xfe)).bytes,
      /0xfe is from Android/,
    ],
    ['text.hprof', Buffer.from('hello'), /accepted are heap dumps/],
    ['empty.hprof', new Uint8Array(0), /accepted are heap dumps/],
    ['odd.gz', gzipSync('hello hello hello hello hello hello hello'), /starts with "hello/],
    ['sealed.hprof.zst.enc', frames, /is encrypted; "heapcatch decrypt"/],
  ])('refuses %s', async (name, bytes, message) => {
    const { code, said, faults } = await run(fileOf(name, bytes));

    expect({ code, said }).toEqual({ code: 2, said: '' });
    expect(faults).toMatch(message);
  });

  it('says what it could not compute, and how to', async () => {
    const many = new HprofWriter(4).header().segment((body) => {
      for (let id = 1; id <= 20_000; id += 1) body.primitiveArray(id * 16, 8, 0, []);
    });
    const path = fileOf('many.hprof', many.end().bytes);

    const { said } = await run(path, '--max-memory', '1');

    const page = readFileSync(said.split('\n')[1] ?? '', 'utf8');
    expect(page).toContain('20.0 k objects need about');
    expect(page).toMatch(/--max-memory [2-9] \(MiB\)/);
    expect(await run(path, '--max-memory', 'much')).toMatchObject({
      code: 2,
      faults: expect.stringContaining('accepted is a whole number of MiB'),
    });
    expect((await run(path, '--no-retained')).said).toContain('was not computed');
  });

  it('says what it accepts', async () => {
    expect((await run('--help')).said).toContain('heapcatch report FILE');
    expect(await run()).toMatchObject({
      code: 2,
      faults: expect.stringContaining('one heap dump'),
    });
    expect(await run(join(folder, 'absent'))).toMatchObject({
      code: 2,
      faults: expect.stringContaining('ENOENT'),
    });
    expect(await run('--tow', 'x')).toMatchObject({ code: 2 });
  });
});
