import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { diff } from '../../lib/cli/diff/command.ts';
import { fullReportOn } from '../report/heap-of.ts';
import { HeapWriter } from '../report/heap-writer.ts';
import { reportOn } from '../report/sample-report.ts';

const folder = mkdtempSync(join(tmpdir(), 'heapcatch-diff-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(...words: string[]): Promise<{ code: number; said: string; faults: string }> {
  let said = '';
  let faults = '';
  const code = await diff(words, {
    write: (text) => (said += text),
    writeError: (text) => (faults += text),
  });
  return { code, said, faults };
}

function fileOf(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

/** Items in an array that a static field keeps. */
function heapWith(itemCount: number): Uint8Array {
  const heap = new HeapWriter()
    .class({ id: 0x8000, name: 'shop.Cache', statics: { items: 0x1000 } })
    .class({ id: 0x8100, name: '[Lshop.Item;' })
    .class({ id: 0x8200, name: 'shop.Item' })
    .stickyClass('shop.Cache');
  const ids = Array.from({ length: itemCount }, (_, at) => 0x10_000 + at * 16);
  heap.array(0x1000, '[Lshop.Item;', ids);
  for (const id of ids) heap.instance(id, 'shop.Item');
  return heap.dump;
}

const histogram = (items: number): string =>
  ` num     #instances         #bytes  class name (module)
-------------------------------------------------------
   1:     ${items}     ${items * 16}  shop.Item
   2:     1     16  shop.Cache
`;

describe('heapcatch diff', () => {
  it('says what grew between two reports, by class and by the field that keeps it', async () => {
    const before = fileOf('before.json', await fullReportOn(heapWith(100)));
    const after = fileOf('after.json', await fullReportOn(heapWith(5_000)));

    const { code, said } = await run(before, after);

    expect(code).toBe(0);
    const [verdict, total] = said.split('\n');
    expect(verdict).toBe('shop.Item grew most: +76.6 KiB, +4900 objects.');
    expect(total).toMatch(/^all classes: .* → .* \(\+95\.7 KiB\)$/);
    expect(said).toMatch(
      /\+95\.7 KiB\s+97\.7 KiB {2}class shop\.Cache static field items → shop\.Item\[\]/,
    );
  });

  it('compares two histograms of jcmd, and one with a report', async () => {
    const before = fileOf('before.txt', histogram(100));
    const after = fileOf('after.txt', histogram(90));
    const report = fileOf('after.json', await fullReportOn(heapWith(250)));

    const shrunk = JSON.parse((await run(before, after, '--json')).said) as { classes: unknown };
    const mixed = await run(before, report);

    expect(shrunk.classes).toEqual([
      {
        name: 'shop.Item',
        instancesBefore: 100,
        instanceCount: 90,
        bytesBefore: 1_600,
        bytes: 1_440,
      },
    ]);
    expect(mixed.said).toContain('shop.Item grew most: +2.3 KiB, +150 objects.');
  });

  it('refuses what it cannot compare', async () => {
    const text = fileOf('hello.txt', 'hello');
    const counts = fileOf('counts.txt', histogram(3));
    const flat = fileOf('flat.json', reportOn(heapWith(3)));
    const broken = fileOf('broken.json', '{"schemaVersion": 1');

    expect((await run(text, counts)).faults).toContain(
      'neither a report.json nor a class histogram',
    );
    expect((await run(flat, counts)).faults).toContain('make it again without --no-retained');
    expect((await run(broken, counts)).faults).toContain('is not JSON');
    expect((await run(counts)).faults).toContain('two files are accepted, got 1');
    expect((await run(counts, counts, '--top', '-1')).faults).toContain('--top');
    expect((await run(counts, join(folder, 'absent'))).faults).toContain('cannot be read');
    expect(await run(flat, flat)).toMatchObject({ code: 0 });
  });
});
