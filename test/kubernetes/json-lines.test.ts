import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { maxLineBytes, readJsonLines } from '../../lib/kubernetes/json-lines.ts';

async function read(chunks: Iterable<Buffer>, maxBytes?: number): Promise<unknown[]> {
  const values: unknown[] = [];
  const source = (async function* () {
    await Promise.resolve();
    yield* chunks;
  })();
  for await (const value of readJsonLines(source, maxBytes)) values.push(value);
  return values;
}

describe('readJsonLines', () => {
  it('finds the same values however the bytes are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.jsonValue(), { maxLength: 8 }),
        fc.array(fc.nat(400), { maxLength: 12 }),
        async (values, cuts) => {
          const bytes = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''));
          const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
          const chunks = places.slice(1).map((end, n) => bytes.subarray(places[n], end));

          expect(JSON.stringify(await read(chunks))).toBe(JSON.stringify(values));
        },
      ),
    );
  });

  it('takes an object of the size that etcd allows, escapes and all', async () => {
    const line = `${JSON.stringify({ text: '"'.repeat(1_500_000) })}\n`;

    expect(line.length).toBeLessThan(maxLineBytes);
    expect(await read([Buffer.from(line)])).toHaveLength(1);
  });

  it.each([
    ['with its end', '"12345678"\n'],
    ['without an end', '"12345678'],
  ])('refuses a line that is too long, %s', async (_case, text) => {
    await expect(read([Buffer.from(text)], 8)).rejects.toThrow(RangeError);
    await expect(
      read(
        Array.from(text, (byte) => Buffer.from(byte)),
        8,
      ),
    ).rejects.toThrow(RangeError);
  });

  it('refuses a line that is not JSON, and ignores what has no end yet', async () => {
    await expect(read([Buffer.from('{"a":\n')])).rejects.toThrow(SyntaxError);
    expect(await read([Buffer.from('1\n\n2\n{"a"')])).toEqual([1, 2]);
  });
});
