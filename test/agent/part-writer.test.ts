import { describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { PartPages } from '../../lib/agent/part-pages.ts';
import { PartSender, type StoredPart } from '../../lib/agent/part-sender.ts';
import { PartWriter } from '../../lib/agent/part-writer.ts';
import type { PartRange } from '../../lib/capture/part-layout.ts';
import { ZstdFrames } from '../../lib/capture/zstd-frames.ts';
import { parseSeekTable } from '../../lib/capture/seek-table.ts';
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
    range?: PartRange;
    concurrentPuts?: number;
    putPart?: (n: number, body: PutBody) => Promise<string>;
    announced?: Promise<void>;
    onDurable?: (rawBytes: number) => void;
    extend?: () => Promise<number>;
  } = {},
) {
  const log: string[] = [];
  const stored = new Map<number, Buffer>();
  const sender = new PartSender({
    ...(options.concurrentPuts !== undefined && { concurrentPuts: options.concurrentPuts }),
    announceOpenPart: (partNumber, remainingBytes) => {
      log.push(`announce ${partNumber} ${remainingBytes}`);
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
  const parts = new PartWriter(sender, {
    range: options.range ?? { firstPartNumber: 1, partCount: 100 },
    partBytesAt: () => partBytes,
    ...(options.onDurable && { onDurable: options.onDurable }),
    ...(options.extend && { extend: options.extend }),
    announceFinalPart: (partNumber) => {
      log.push(`final ${partNumber}`);
      return options.announced ?? Promise.resolve();
    },
  });
  const finish = async (endFrame: Buffer): Promise<StoredPart[]> => {
    await parts.finish({ endFrame, earlierStreams: [] });
    await sender.settle();
    sender.throwFailure();
    return sender.stored;
  };
  return { log, stored, parts, sender, finish };
}

/** Head, an entry a frame, footer. */
const tableBytes = (frameCount: number): number => 8 + 8 * frameCount + 9;

describe('PartWriter', () => {
  it('closes a part at its size, and ends the object in the end frame and the seek table', async () => {
    const { parts, stored, finish } = writer();
    const frames = [60, 60, 70, 20, 30].map(frame);

    for (const one of frames) await parts.add({ bytes: one, rawBytes: 1 });
    const result = await finish(frame(9));

    const object = Buffer.concat([1, 2, 3].map((n) => stored.get(n)!));
    const withoutTable = Buffer.concat([...frames, frame(9)]);
    expect(object.subarray(0, withoutTable.length).equals(withoutTable)).toBe(true);
    const entries = parseSeekTable(object.subarray(withoutTable.length), object.length);
    expect(entries?.map(({ compressedBytes }) => compressedBytes)).toEqual([60, 60, 70, 20, 30, 9]);
    expect(parts.compressedBytes).toBe(object.length);
    expect(result.map(({ bytes }) => bytes)).toEqual([120, 120, 9 + tableBytes(6)]);
    expect(result[0]).toEqual({
      partNumber: 1,
      bytes: 120,
      md5: createHash('md5').update(stored.get(1)!).digest('hex'),
      eTag: '"etag-1"',
    });
  });

  it('brings the last part of a stream that others follow to the minimum, by a frame that readers pass over', async () => {
    const range = { firstPartNumber: 17, partCount: 5 };
    const { parts, stored, sender } = writer({ range });
    const real = zstdCompressSync(Buffer.from('records'));

    await parts.add({ bytes: real, rawBytes: 7 });
    await parts.close();
    await sender.settle();

    const part = stored.get(17)!;
    expect(part.length).toBe(5 * 1024 * 1024);
    expect(new ZstdFrames().push(part).map((one) => zstdDecompressSync(one).toString())).toEqual([
      'records',
    ]);
    expect(parts.frames.count).toBe(2);
  });

  it('takes back the frames of an open record, and goes on as if they had never come', async () => {
    const { parts, stored, finish } = writer();
    const open = (remainingBytes: number): OpenRecord => ({ remainingBytes, recordBytes: 99 });

    await parts.add(frameOf(60));
    await parts.add(frameOf(20, open(50)));
    await parts.add(frameOf(30, open(20)));
    expect(parts.dropOpenRecord()).toBe(500);
    expect(parts.dropOpenRecord()).toBe(0);
    const [result] = await finish(frame(9));

    const body = stored.get(1)!;
    expect(body.subarray(0, 69)).toEqual(Buffer.concat([frame(60), frame(9)]));
    expect(parseSeekTable(body.subarray(69), body.length)?.length).toBe(2);
    expect(parts.compressedBytes).toBe(body.length);
    expect(result?.md5).toBe(createHash('md5').update(body).digest('hex'));
  });

  it('takes the open record back that is the first thing of a part, but none that an earlier part begins', async () => {
    const { parts } = writer();

    await parts.add(frameOf(120));
    await parts.add(frameOf(30, { remainingBytes: 5, recordBytes: 99 }));
    expect(parts.dropOpenRecord()).toBe(300);

    await parts.add(frameOf(120, { remainingBytes: 5_000, recordBytes: 6_200 }));
    await parts.add(frameOf(30, { remainingBytes: 4_700, recordBytes: 6_200 }));
    expect(parts.dropOpenRecord()).toBe(0);
  });

  it('waits for the end of an open record that is smaller than a part', async () => {
    const { parts, stored, log, finish } = writer();

    await parts.add(frameOf(110, { remainingBytes: 5, recordBytes: partBytes - 1 }));
    await parts.add(frameOf(10));
    await finish(frame(9));

    expect(stored.get(1)?.length).toBe(120);
    expect(log).toEqual(['put 1', 'put 2']);
  });

  it('sends a part that ends inside a record only when its announcement is durable', async () => {
    let durable: () => void = () => undefined;
    const announced = new Promise<void>((resolve) => (durable = resolve));
    const { parts, log, finish } = writer({ announced });

    await parts.add(frameOf(110, { remainingBytes: 500, recordBytes: 700 }));
    await new Promise((resolve) => setImmediate(resolve));
    expect(log).toEqual(['announce 1 500']);

    durable();
    await finish(frame(9));
    expect(log).toContain('put 1');
  });

  it('announces every part that ends inside a record larger than a part, and no other', async () => {
    const { parts, log, finish } = writer();

    await parts.add(frameOf(110, { remainingBytes: 500, recordBytes: 700 }));
    await parts.add(frameOf(110, { remainingBytes: 300, recordBytes: 700 }));
    await parts.add(frameOf(110));
    await finish(frame(9));

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
    await large.finish(frame(5 * 1024 * 1024));
    expect(large.log).toEqual(['final 1', 'put 1']);

    const small = writer();
    await small.finish(frame(9));
    expect(small.log).toEqual(['put 1']);
  });

  it('sends two parts at a time and no more', async () => {
    const releases: (() => void)[] = [];
    const { parts, log, finish } = writer({
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
    const finishing = finish(frame(9));
    releases[0]?.();
    releases[2]?.();
    while (releases.length < 4) await new Promise((resolve) => setImmediate(resolve));
    releases[3]?.();
    expect((await finishing).map(({ partNumber }) => partNumber)).toEqual([1, 2, 3, 4]);
  });

  it('sends part 1 at once, though other parts take every turn', async () => {
    const { parts, sender, log } = writer({
      range: { firstPartNumber: 17, partCount: 100 },
      putPart: () => new Promise(() => undefined),
    });
    await parts.add(frameOf(100));
    await parts.add(frameOf(100));

    await sender.send({
      partNumber: 1,
      pages: new PartPages(sender.pagePool),
      md5: createHash('md5').digest(),
      onStored: () => undefined,
    });

    expect(log).toEqual(['put 17', 'put 18', 'put 1']);
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
    const { parts, finish } = writer({ range: { firstPartNumber: 1, partCount: 2 } });

    await parts.add(frameOf(100));
    expect(parts.exhausted).toBe(false);
    await parts.add(frameOf(100));
    expect(parts.exhausted).toBe(true);
    await parts.add(frameOf(50));
    const result = await finish(frame(9));

    expect(result.map(({ bytes }) => bytes)).toEqual([100, 159 + tableBytes(4)]);
  });

  it('asks for more part numbers when the range runs short, and goes on with them', async () => {
    const counts = [8, 8];
    let askedCount = 0;
    const extend = () => {
      askedCount += 1;
      return Promise.resolve(counts.shift() ?? 0);
    };
    const { parts, log } = writer({ range: { firstPartNumber: 5, partCount: 4 }, extend });

    for (let n = 0; n < 6; n += 1) await parts.add(frameOf(100));

    // At the third of four numbers, and at the fifth of eight.
    expect(askedCount).toBe(2);
    expect(log).toEqual([5, 6, 7, 8, 9, 10].map((number) => `put ${number}`));
    expect(parts.exhausted).toBe(false);
  });

  it('holds the reader back at its last number as long as more can come, and is exhausted only then', async () => {
    let refuse: () => void = () => undefined;
    const extend = () => new Promise<number>((resolve) => (refuse = () => resolve(2)));
    const { parts } = writer({ range: { firstPartNumber: 1, partCount: 2 }, extend });
    await parts.add(frameOf(100));

    let taken = false;
    const adding = parts.add(frameOf(100)).then(() => (taken = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect([taken, parts.exhausted]).toEqual([false, false]);
    refuse();
    await adding;

    expect(parts.exhausted).toBe(true);
  });

  it('throws when the announcement of more part numbers could not be stored', async () => {
    const extend = () => Promise.reject(new Error('gone'));
    const { parts } = writer({ range: { firstPartNumber: 1, partCount: 1 }, extend });

    await expect(parts.add(frameOf(100))).rejects.toThrow('gone');
  });

  it('throws at the next frame when a part could not be stored', async () => {
    const { parts, sender, finish } = writer({
      putPart: () => Promise.reject(new Error('gone')),
    });

    await parts.add(frameOf(100));
    await new Promise((resolve) => setImmediate(resolve));

    await expect(parts.add(frameOf(1))).rejects.toThrow('gone');
    await expect(finish(frame(9))).rejects.toThrow('gone');
    expect(sender.storedPartCount).toBe(0);
  });

  it.each([1, 2])('sends at most %i parts at once where it is told so', async (concurrentPuts) => {
    let running = 0;
    let most = 0;
    const putPart = async (partNumber: number): Promise<string> => {
      most = Math.max(most, (running += 1));
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      return `"etag-${partNumber}"`;
    };
    const { parts, finish } = writer({ concurrentPuts, putPart });

    for (let n = 0; n < 6; n += 1) await parts.add(frameOf(partBytes));
    await finish(frame(9));

    expect(most).toBe(concurrentPuts);
  });
});
