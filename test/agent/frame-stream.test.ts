import { describe, expect, it } from '@jest/globals';
import { zstdDecompressSync } from 'node:zlib';
import type { OpenRecord } from '../../lib/agent/block-cutter.ts';
import {
  FrameStream,
  type FrameSink,
  type FrameStreamOptions,
  type Frame as CompressedFrame,
} from '../../lib/agent/frame-stream.ts';
import { RecordChain } from '../../lib/hprof/record-chain.ts';
import { writeBufferBytes } from '../../lib/hprof/salvage.ts';
import { end, header, record, segmentTag, utf8Tag } from './hprof-bytes.ts';

const blockBytes = 1_000;

interface Frame {
  raw: Buffer;
  open: OpenRecord | undefined;
}

function collect(
  options: FrameStreamOptions = {},
  takesBack = true,
): {
  frames: Frame[];
  stream: FrameStream;
  flushed: number[];
} {
  const frames: Frame[] = [];
  const flushed: number[] = [];
  const sink = {
    flush: () => {
      flushed.push(frames.length);
      return Promise.resolve();
    },
    add: ({ bytes, rawBytes, open }: CompressedFrame): Promise<void> => {
      const raw = zstdDecompressSync(bytes);
      expect(raw.length).toBe(rawBytes);
      frames.push({ raw, open });
      return Promise.resolve();
    },
    dropOpenRecord: () => {
      const boundary = frames.findLastIndex(({ open }) => open === undefined) + 1;
      return takesBack ? rawOf(frames.splice(boundary)).length : 0;
    },
  } satisfies FrameSink;
  const stream = new FrameStream(blockBytes, sink, options);
  return { frames, stream, flushed };
}

async function feed(stream: FrameStream, bytes: Buffer, pieceBytes = 333): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const space = await stream.space();
    const piece = bytes.subarray(at, at + Math.min(pieceBytes, space.length));
    space.set(piece);
    stream.filled(piece.length);
    at += piece.length;
  }
}

function rawOf(frames: readonly Frame[]): Buffer {
  return Buffer.concat(frames.map(({ raw }) => raw));
}

describe('FrameStream', () => {
  it('gives back the very bytes of a whole dump, but for the end record', async () => {
    const dump = Buffer.concat([
      header,
      ...Array.from({ length: 40 }, (_, n) => record(segmentTag, 50 + n * 3, n)),
      end,
    ]);
    const { frames, stream } = collect();

    await feed(stream, dump);
    const streamEnd = await stream.finish();

    const withoutEnd = dump.subarray(0, -end.length);
    expect(rawOf(frames).equals(withoutEnd)).toBe(true);
    expect(streamEnd).toEqual({
      ...{ rawBytes: withoutEnd.length, recordCount: 41, ended: true, filledBytes: 0 },
      identifierByteSize: 8,
    });
  });

  it('ends every frame on a record boundary as long as records are smaller than a block', async () => {
    const records = Array.from({ length: 60 }, (_, n) => record(segmentTag, (n * 67) % 700, n));
    const { frames, stream } = collect();

    await feed(stream, Buffer.concat([header, ...records, end]));
    await stream.finish();

    const boundaries = new Set<number>([header.length]);
    let offset = header.length;
    for (const { length } of records) boundaries.add((offset += length));
    let at = 0;
    for (const { raw, open } of frames) {
      expect(open).toBeUndefined();
      expect(boundaries.has((at += raw.length))).toBe(true);
    }
    expect(frames.length).toBeGreaterThan(10);
  });

  it('says how much of a record is still to come when the record is larger than a block', async () => {
    const large = record(segmentTag, 3_500);
    const { frames, stream } = collect();

    await feed(stream, Buffer.concat([header, record(utf8Tag, 100), large, end]));
    await stream.finish();

    const open = frames.map((frame) => frame.open?.remainingBytes);
    expect(open).toEqual([undefined, 2_509, 1_509, 509, undefined]);
    expect(frames[1]?.open?.recordBytes).toBe(3_509);
  });

  it('never lets the end record into a block, even where it would fit exactly', async () => {
    const filling = record(segmentTag, blockBytes - header.length - 9 - end.length);
    const { frames, stream } = collect();

    await feed(stream, Buffer.concat([header, filling, end]), blockBytes);
    await stream.finish();

    expect(frames.map(({ raw }) => raw.length)).toEqual([blockBytes - end.length]);
  });

  it('drops a record that was cut and had not left yet', async () => {
    const whole = Buffer.concat([header, record(segmentTag, 100), record(segmentTag, 200)]);
    const { frames, stream } = collect();

    await feed(stream, Buffer.concat([whole, record(segmentTag, 300).subarray(0, 77)]));
    const streamEnd = await stream.finish();

    expect(rawOf(frames).equals(whole)).toBe(true);
    expect(stream.onBoundary).toBe(false);
    expect(streamEnd).toMatchObject({ ended: false, filledBytes: 0, recordCount: 2 });
  });

  it('takes a cut record back that can hold objects, though frames of it were made', async () => {
    const whole = Buffer.concat([header, record(segmentTag, 100)]);
    const { frames, stream } = collect();

    await feed(stream, Buffer.concat([whole, record(segmentTag, 5_000).subarray(0, 3_333)]));
    const streamEnd = await stream.finish();

    expect(rawOf(frames).equals(whole)).toBe(true);
    const expected = { rawBytes: whole.length, filledBytes: 0, recordCount: 1, ended: false };
    expect(streamEnd).toMatchObject(expected);
  });

  it('fills a cut record with zeros that is larger than the write buffer: it holds one array', async () => {
    const bodyBytes = writeBufferBytes - 8;
    const cut = Buffer.concat([header, record(segmentTag, bodyBytes).subarray(0, 2_000)]);
    const { frames, stream } = collect();

    await feed(stream, cut);
    const streamEnd = await stream.finish();

    expect(rawOf(frames).subarray(0, cut.length).equals(cut)).toBe(true);
    expect(streamEnd.filledBytes).toBe(bodyBytes + 9 - 2_000);
  });

  it('fills a record with zeros whose beginning is on its way already', async () => {
    const cut = Buffer.concat([header, record(segmentTag, 5_000).subarray(0, 2_000)]);
    const { frames, stream } = collect({}, false);

    await feed(stream, cut);
    const streamEnd = await stream.finish();

    const result = rawOf(frames);
    expect(result.subarray(0, cut.length).equals(cut)).toBe(true);
    expect(result.subarray(cut.length).every((byte) => byte === 0)).toBe(true);
    expect(streamEnd).toMatchObject({ ended: false, filledBytes: 3_009 });
    const chain = new RecordChain();
    chain.push(Buffer.concat([result, end]));
    expect(chain.state.ended).toBe(true);
  });

  it('takes a segment file, which has no file header', async () => {
    const segment = Buffer.concat([record(segmentTag, 800, 1), record(segmentTag, 700, 2)]);
    const { frames, stream } = collect({ fileHeader: 'absent' });

    await feed(stream, segment);
    const streamEnd = await stream.finish();

    expect(rawOf(frames).equals(segment)).toBe(true);
    expect(streamEnd).toEqual({ rawBytes: 1_518, filledBytes: 0, recordCount: 2, ended: false });
  });

  it('ends a base where the JVM began to merge, whatever of the merge was read', async () => {
    const names = Buffer.concat([header, record(utf8Tag, 200, 1), record(utf8Tag, 90, 2)]);
    const { frames, stream } = collect();

    await feed(stream, Buffer.concat([names, record(segmentTag, 80), end]), 500);
    stream.endBeforeSegments();
    const streamEnd = await stream.finish();

    expect(rawOf(frames).equals(names)).toBe(true);
    expect(streamEnd).toMatchObject({ ended: false, recordCount: 2, filledBytes: 0 });
  });

  it('flushes what has come up to the last boundary, and goes on behind it', async () => {
    const dump = Buffer.concat([header, record(utf8Tag, 200, 1), record(utf8Tag, 300, 2)]);
    const { frames, stream, flushed } = collect();

    await feed(stream, dump.subarray(0, 300));
    await stream.flush();
    expect([flushed, rawOf(frames).length]).toEqual([[1], header.length + 209]);

    await feed(stream, dump.subarray(300));
    await stream.finish();
    expect(rawOf(frames).equals(dump)).toBe(true);
  });

  it('seals what was good when the bytes break the record chain', async () => {
    const good = Buffer.concat([header, record(segmentTag, 100)]);
    const { frames, stream } = collect();

    await feed(stream, good);
    await expect(feed(stream, Buffer.from('not a record at all'))).rejects.toMatchObject({
      code: 'InvalidHprof',
    });
    await stream.finish();

    expect(rawOf(frames).equals(good)).toBe(true);
  });

  it('compresses what the redactor made of each block, in the order of the stream', async () => {
    const seen: Buffer[] = [];
    const redactor = {
      push: (block: Uint8Array) => {
        seen.push(Buffer.from(block));
        block.fill(0);
      },
    };
    const { frames, stream } = collect({ redactor });
    const dump = [header, ...Array.from({ length: 40 }, (_, n) => record(segmentTag, 50, n))];

    await feed(stream, Buffer.concat([...dump, end]));
    const { rawBytes } = await stream.finish();

    expect(Buffer.concat(seen).equals(Buffer.concat(dump))).toBe(true);
    const stored = Buffer.concat(frames.map(({ raw }) => raw));
    expect(stored.equals(Buffer.alloc(rawBytes))).toBe(true);
  });

  it('lets no block pass that cannot be redacted, nor one after it', async () => {
    let blockCount = 0;
    const redactor = {
      push: () => {
        blockCount += 1;
        if (blockCount === 2) throw new Error('not redacted');
      },
    };
    const { frames, stream } = collect({ redactor });
    const dump = Buffer.concat([header, ...Array.from({ length: 40 }, () => record(1, 91))]);

    await expect(feed(stream, dump)).rejects.toThrow('not redacted');
    await expect(stream.finish()).rejects.toThrow('not redacted');

    expect([frames.length, blockCount]).toEqual([1, 2]);
  });

  it('holds the reader back while the sink is busy, at three blocks', async () => {
    let release: () => void = () => undefined;
    const busy = new Promise<void>((resolve) => (release = resolve));
    const stream = new FrameStream(blockBytes, {
      ...{ add: () => busy, flush: () => busy, dropOpenRecord: () => 0 },
    });
    const dump = Buffer.concat([header, ...Array.from({ length: 100 }, () => record(1, 91))]);
    let fedBytes = 0;
    const feeding = (async () => {
      for (; fedBytes < dump.length;) {
        const space = await stream.space();
        const piece = dump.subarray(fedBytes, fedBytes + space.length);
        space.set(piece);
        stream.filled(piece.length);
        fedBytes += piece.length;
      }
    })();

    await new Promise((resolve) => setImmediate(resolve));
    expect(fedBytes).toBeLessThanOrEqual(3 * blockBytes);

    release();
    await feeding;
    expect((await stream.finish()).rawBytes).toBe(dump.length);
  });

  it('ends the reader with what the sink threw', async () => {
    const stream = new FrameStream(blockBytes, {
      add: () => Promise.reject(new Error('no more parts')),
      flush: () => Promise.resolve(),
      dropOpenRecord: () => 0,
    });

    const feeding = feed(stream, Buffer.concat([header, record(segmentTag, 50_000)]));

    await expect(feeding).rejects.toThrow('no more parts');
  });

  it.each([
    ['is kept', () => Promise.resolve()],
    ['is broken', () => Promise.reject(new Error('the JVM has gone'))],
  ])('takes no bytes until a promise has settled, whether it %s', async (_how, settle) => {
    const { stream } = collect();
    let release: () => void = () => undefined;
    stream.holdUntil(new Promise<void>((resolve) => (release = resolve)).then(settle));

    const space = stream.space();
    const first = await Promise.race([
      space,
      new Promise((resolve) => setImmediate(resolve, 'held')),
    ]);
    release();

    expect(first).toBe('held');
    expect((await space).length).toBe(blockBytes);
  });
});
