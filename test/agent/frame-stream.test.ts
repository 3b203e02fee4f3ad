import { describe, expect, it } from '@jest/globals';
import { zstdDecompressSync } from 'node:zlib';
import type { OpenRecord } from '../../lib/agent/block-cutter.ts';
import { FrameStream, type StreamEnd } from '../../lib/agent/frame-stream.ts';
import { RecordChain } from '../../lib/hprof/record-chain.ts';
import { end, header, record, segmentTag, utf8Tag } from './hprof-bytes.ts';

const blockBytes = 1_000;

interface Frame {
  raw: Buffer;
  open: OpenRecord | undefined;
}

function collect(): { frames: Frame[]; stream: FrameStream } {
  const frames: Frame[] = [];
  const stream = new FrameStream(blockBytes, {
    add: ({ bytes, rawBytes, open }) => {
      const raw = zstdDecompressSync(bytes);
      expect(raw.length).toBe(rawBytes);
      frames.push({ raw, open });
      return Promise.resolve();
    },
  });
  return { frames, stream };
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

function wholeOf(frames: readonly Frame[], streamEnd: StreamEnd): Buffer {
  const endFrame = zstdDecompressSync(streamEnd.endFrame);
  return Buffer.concat([...frames.map(({ raw }) => raw), endFrame]);
}

describe('FrameStream', () => {
  it('gives back the very bytes of a whole dump, with the end record alone in the last frame', async () => {
    const dump = Buffer.concat([
      header,
      ...Array.from({ length: 40 }, (_, n) => record(segmentTag, 50 + n * 3, n)),
      end,
    ]);
    const { frames, stream } = collect();

    await feed(stream, dump);
    const streamEnd = await stream.finish();

    expect(wholeOf(frames, streamEnd).equals(dump)).toBe(true);
    expect(zstdDecompressSync(streamEnd.endFrame).equals(end)).toBe(true);
    expect(streamEnd).toMatchObject({
      ...{ rawBytes: dump.length, recordCount: 41, endRecord: true, appendedBytes: 0 },
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

  it('drops a record that was cut and had not left yet, and appends the end record', async () => {
    const whole = Buffer.concat([header, record(segmentTag, 100), record(segmentTag, 200)]);
    const { frames, stream } = collect();

    await feed(stream, Buffer.concat([whole, record(segmentTag, 300).subarray(0, 77)]));
    const streamEnd = await stream.finish();

    expect(wholeOf(frames, streamEnd).equals(Buffer.concat([whole, end]))).toBe(true);
    expect(streamEnd).toMatchObject({ endRecord: false, appendedBytes: 9, recordCount: 3 });
  });

  it('fills a record with zeros whose beginning had left already', async () => {
    const cut = Buffer.concat([header, record(segmentTag, 5_000).subarray(0, 2_000)]);
    const { frames, stream } = collect();

    await feed(stream, cut);
    const streamEnd = await stream.finish();

    const result = wholeOf(frames, streamEnd);
    expect(result.subarray(0, cut.length).equals(cut)).toBe(true);
    expect(result.subarray(cut.length, -end.length).every((byte) => byte === 0)).toBe(true);
    expect(streamEnd).toMatchObject({ endRecord: false, appendedBytes: 3_009 + 9 });
    const chain = new RecordChain();
    chain.push(result);
    expect(chain.state.ended).toBe(true);
  });

  it('goes on with a segment behind a base that was cut inside a record', async () => {
    const base = Buffer.concat([header, record(utf8Tag, 500), record(utf8Tag, 90).subarray(0, 40)]);
    const segment = Buffer.concat([record(segmentTag, 800, 1), record(segmentTag, 700, 2)]);
    const { frames, stream } = collect();

    await feed(stream, base);
    await stream.continueWithSegment();
    await feed(stream, segment);
    const streamEnd = await stream.finish();

    const wanted = Buffer.concat([base.subarray(0, -40), segment, end]);
    expect(wholeOf(frames, streamEnd).equals(wanted)).toBe(true);
    expect(streamEnd).toMatchObject({ recordCount: 4, identifierByteSize: 8 });
  });

  it('seals what was good when the bytes break the record chain', async () => {
    const good = Buffer.concat([header, record(segmentTag, 100)]);
    const { frames, stream } = collect();

    await feed(stream, good);
    await expect(feed(stream, Buffer.from('not a record at all'))).rejects.toMatchObject({
      code: 'InvalidHprof',
    });
    const streamEnd = await stream.finish();

    expect(wholeOf(frames, streamEnd).equals(Buffer.concat([good, end]))).toBe(true);
  });

  it('holds the reader back while the sink is busy, at three blocks', async () => {
    let release: () => void = () => undefined;
    const busy = new Promise<void>((resolve) => (release = resolve));
    const stream = new FrameStream(blockBytes, { add: () => busy });
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
    expect((await stream.finish()).rawBytes).toBe(dump.length + end.length);
  });

  it('ends the reader with what the sink threw', async () => {
    const stream = new FrameStream(blockBytes, {
      add: () => Promise.reject(new Error('no more parts')),
    });

    const feeding = feed(stream, Buffer.concat([header, record(segmentTag, 50_000)]));

    await expect(feeding).rejects.toThrow('no more parts');
  });
});
