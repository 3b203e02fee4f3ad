import { describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { PartWriter } from '../../lib/agent/part-writer.ts';
import type { OpenRecord } from '../../lib/agent/block-cutter.ts';
import type { Frame } from '../../lib/agent/frame-stream.ts';
import type { PutBody } from '../../lib/agent/put-object.ts';

const partBytes = 100;
const frame = (bytes: number): Buffer => Buffer.alloc(bytes, bytes % 251);
/** As if of a block that is ten times as large. */
const frameOf = (bytes: number, open?: OpenRecord): Frame => ({
  bytes: frame(bytes),
  rawBytes: bytes * 10,
  ...(open && { open }),
});

function writer(
  options: {
    maxPartCount?: number;
    putPart?: (n: number, body: PutBody) => Promise<string>;
    announced?: Promise<void>;
    onDurable?: (rawBytes: number) => void;
  } = {},
) {
  const log: string[] = [];
  const stored = new Map<number, Buffer>();
  const parts = new PartWriter({
    partBytes,
    maxPartCount: options.maxPartCount ?? 100,
    ...(options.onDurable && { onDurable: options.onDurable }),
    announceOpenPart: (partNumber, remainingBytes) => {
      log.push(`announce ${partNumber} ${remainingBytes}`);
      return options.announced ?? Promise.resolve();
    },
    announceFinalPart: (partNumber) => {
      log.push(`final ${partNumber}`);
      return options.announced ?? Promise.resolve();
    },
    putPart: async (partNumber, body) => {
      log.push(`put ${partNumber}`);
      const bytes = Buffer.concat(body.chunks);
      expect(bytes.length).toBe(body.bytes);
      stored.set(partNumber, bytes);
      return options.putPart?.(partNumber, body) ?? `"etag-${partNumber}"`;
    },
  });
  return { log, stored, parts };
}

describe('PartWriter', () => {
  it('closes a part at its size, and describes what was stored', async () => {
    const { parts, stored } = writer();
    const frames = [60, 60, 70, 20, 30].map(frame);

    for (const one of frames) await parts.add({ bytes: one, rawBytes: 1 });
    const result = await parts.finish(frame(9));

    const whole = Buffer.concat([...frames, frame(9)]);
    expect(Buffer.concat([stored.get(1)!, stored.get(2)!, stored.get(3)!]).equals(whole)).toBe(
      true,
    );
    expect(result.sha256).toBe(createHash('sha256').update(whole).digest('hex'));
    expect(result.compressedBytes).toBe(whole.length);
    expect(result.parts.map(({ bytes }) => bytes)).toEqual([120, 120, 9]);
    expect(result.parts[0]).toEqual({
      partNumber: 1,
      bytes: 120,
      md5: createHash('md5').update(stored.get(1)!).digest('hex'),
      eTag: '"etag-1"',
    });
  });

  it('waits for the end of an open record that is smaller than a part', async () => {
    const { parts, stored, log } = writer();

    await parts.add(frameOf(110, { remainingBytes: 5, recordBytes: partBytes - 1 }));
    await parts.add(frameOf(10));
    await parts.finish(frame(9));

    expect(stored.get(1)?.length).toBe(120);
    expect(log).toEqual(['put 1', 'put 2']);
  });

  it('sends a part that ends inside a record only when its announcement is durable', async () => {
    let durable: () => void = () => undefined;
    const announced = new Promise<void>((resolve) => (durable = resolve));
    const { parts, log } = writer({ announced });

    await parts.add(frameOf(110, { remainingBytes: 500, recordBytes: 700 }));
    await new Promise((resolve) => setImmediate(resolve));
    expect(log).toEqual(['announce 1 500']);

    durable();
    await parts.finish(frame(9));
    expect(log).toContain('put 1');
  });

  it('announces every part that ends inside a record larger than a part, and no other', async () => {
    const { parts, log } = writer();

    await parts.add(frameOf(110, { remainingBytes: 500, recordBytes: 700 }));
    await parts.add(frameOf(110, { remainingBytes: 300, recordBytes: 700 }));
    await parts.add(frameOf(110));
    await parts.finish(frame(9));

    expect(log.filter((line) => line.endsWith(' 1') || line.startsWith('announce 1'))).toEqual([
      'announce 1 500',
      'put 1',
    ]);
    expect(log.indexOf('announce 2 300')).toBeLessThan(log.indexOf('put 2'));
    expect(log.some((line) => line.startsWith('announce 3'))).toBe(false);
  });

  it('announces a last part that is as large as others, before it is sent, and no smaller one', async () => {
    const large = writer();
    await large.parts.add(frameOf(50));
    await large.parts.finish(frame(5 * 1024 * 1024));
    expect(large.log).toEqual(['final 1', 'put 1']);

    const small = writer();
    await small.parts.finish(frame(9));
    expect(small.log).toEqual(['put 1']);
  });

  it('sends two parts at a time and no more', async () => {
    const releases: (() => void)[] = [];
    const { parts, log } = writer({
      putPart: (n) => new Promise((resolve) => releases.push(() => resolve(`"${n}"`))),
    });

    await parts.add(frameOf(100));
    await parts.add(frameOf(100));
    let third = false;
    const adding = parts.add(frameOf(100)).then(() => (third = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect([third, log]).toEqual([false, ['put 1', 'put 2']]);

    releases[1]?.();
    await adding;
    expect(log).toEqual(['put 1', 'put 2', 'put 3']);
    const finishing = parts.finish(frame(9));
    releases[0]?.();
    releases[2]?.();
    while (releases.length < 4) await new Promise((resolve) => setImmediate(resolve));
    releases[3]?.();
    expect((await finishing).parts.map(({ partNumber }) => partNumber)).toEqual([1, 2, 3, 4]);
  });

  it('tells how far the dump is stored without a gap, in dump bytes', async () => {
    const releases: (() => void)[] = [];
    const durable: number[] = [];
    const { parts } = writer({
      onDurable: (rawBytes) => durable.push(rawBytes),
      putPart: (n) => new Promise((resolve) => releases.push(() => resolve(`"${n}"`))),
    });
    await parts.add(frameOf(60));
    await parts.add(frameOf(50));
    await parts.add(frameOf(100));

    releases[1]?.();
    await new Promise((resolve) => setImmediate(resolve));
    expect(durable).toEqual([]);
    releases[0]?.();
    await new Promise((resolve) => setImmediate(resolve));

    expect(durable).toEqual([2_100]);
  });

  it('puts everything that follows into the last part that the ticket has, and says it is exhausted', async () => {
    const { parts } = writer({ maxPartCount: 2 });

    await parts.add(frameOf(100));
    expect(parts.exhausted).toBe(false);
    await parts.add(frameOf(100));
    expect(parts.exhausted).toBe(true);
    await parts.add(frameOf(50));
    const result = await parts.finish(frame(9));

    expect(result.parts.map(({ bytes }) => bytes)).toEqual([100, 159]);
  });

  it('throws at the next frame when a part could not be stored', async () => {
    const { parts } = writer({ putPart: () => Promise.reject(new Error('gone')) });

    await parts.add(frameOf(100));
    await new Promise((resolve) => setImmediate(resolve));

    await expect(parts.add(frameOf(1))).rejects.toThrow('gone');
    await expect(parts.finish(frame(9))).rejects.toThrow('gone');
    expect(parts.storedPartCount).toBe(0);
  });
});
