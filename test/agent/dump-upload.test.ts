import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { zstdDecompressSync } from 'node:zlib';
import { DumpUpload, type DumpStream } from '../../lib/agent/dump-upload.ts';
import { ZstdFrames } from '../../lib/capture/zstd-frames.ts';
import { HeapScan } from '../../lib/hprof/scan.ts';
import { HprofWriter } from '../hprof/hprof-writer.ts';
import { end, header, record, segmentTag, utf8Tag } from './hprof-bytes.ts';

const names = Buffer.concat([header, record(utf8Tag, 300, 1)]);
const noFile = undefined as unknown as FileHandle;

/** Records of random bytes, which do not compress. */
function segment(count: number): Buffer {
  return Buffer.concat(
    Array.from({ length: count }, () => {
      const bytes = record(segmentTag, 900);
      randomBytes(900).copy(bytes, bytes.length - 900);
      return bytes;
    }),
  );
}

function uploadOf(options: {
  partCount: number;
  segmentCount: number;
  partBytes?: number;
  morePartNumbers: (partCount: number) => Promise<number>;
}) {
  const announced: (readonly number[])[] = [];
  const stored = new Map<number, Buffer>();
  const announce = () => Promise.resolve();
  const upload = new DumpUpload({
    ...{ redact: undefined, blockBytes: 1_000, partBytes: 2_000, expectedBytes: 0 },
    ...{ announceOpenPart: announce, announceFinalPart: announce },
    ...options,
    announceStreams: (firstPartNumbers) => {
      announced.push(firstPartNumbers);
      return Promise.resolve();
    },
    putPart: (partNumber, { chunks }) => {
      stored.set(partNumber, Buffer.concat(chunks));
      return Promise.resolve('etag');
    },
  });
  /** The object that S3 would make, read back. */
  const object = async (): Promise<Buffer> => {
    const { parts } = await upload.finish(true);
    const bodies = parts.map(({ partNumber }) => stored.get(partNumber)!);
    const frames = new ZstdFrames().push(Buffer.concat(bodies));
    return Buffer.concat(frames.map((frame) => zstdDecompressSync(frame)));
  };
  return { upload, announced, stored, object };
}

async function feed(stream: DumpStream, bytes: Buffer): Promise<void> {
  let position = 0;
  while (position < bytes.length) {
    const space = await stream.space();
    const count = bytes.copy(space, 0, position, position + space.length);
    stream.filled(count);
    position += count;
  }
}

describe('DumpUpload of a dump that was cut', () => {
  /** As HotSpot writes them: each segment holds many objects, and is larger than a block. */
  const segments = Array.from({ length: 6 }, (_, index) =>
    Buffer.from(
      new HprofWriter().segment((objects) => {
        for (let n = 0; n < 80; n += 1) objects.instance(index * 100 + n + 1, 7, [1, 2, 3, 4, 5]);
      }).bytes,
    ),
  );
  const classes = new HprofWriter().segment((body) => body.classDump(7, { fieldTypes: [8] })).bytes;
  const dump = Buffer.concat([names, classes, ...segments, end]);

  it('can be read to its end wherever it was cut', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: names.length, max: dump.length - 1 }), async (cutAt) => {
        const { upload, object } = uploadOf({
          ...{ partCount: 64, segmentCount: 0, partBytes: 8_000 },
          morePartNumbers: (partCount) => Promise.resolve(partCount),
        });
        await feed(upload.openBase(noFile), dump.subarray(0, cutAt));
        const scan = new HeapScan();
        scan.push(await object());
        expect(scan.finish().chain.ended).toBe(true);
      }),
    );
  });
});

describe('DumpUpload with more part numbers', () => {
  it('goes on with the only stream', async () => {
    const asked: number[] = [];
    const { upload, stored, object } = uploadOf({
      ...{ partCount: 4, segmentCount: 0 },
      morePartNumbers: (partCount) => Promise.resolve(asked.push(partCount) && partCount),
    });
    const heap = segment(60);

    await feed(upload.openBase(noFile), Buffer.concat([names, heap, end]));

    expect((await object()).equals(Buffer.concat([names, heap, end]))).toBe(true);
    expect(asked).toEqual([8, 16, 32, 64]);
    expect(upload.partCount).toBe(64);
    expect(Math.max(...stored.keys())).toBeGreaterThan(8);
  });

  it('goes on with the last segment, and says where the rest has moved before it sends a part there', async () => {
    const { upload, announced, stored, object } = uploadOf({
      ...{ partCount: 8, segmentCount: 1 },
      morePartNumbers: () => Promise.resolve(20),
    });
    const [heap, rest] = [segment(40), segment(2)];

    await feed(upload.openBase(noFile), names);
    await feed(await upload.openSegment(noFile), heap);
    const before = [...stored.keys()].filter((number) => number > 2);
    await feed(await upload.openRest(noFile, 0), Buffer.concat([rest, end]));

    expect((await object()).equals(Buffer.concat([names, heap, rest, end]))).toBe(true);
    expect(announced).toEqual([
      [1, 3, 8],
      [1, 3, 20],
    ]);
    expect(Math.max(...before)).toBeGreaterThan(8);
    expect(stored.has(20)).toBe(true);
  });

  it('asks for none for a stream whose numbers others follow', async () => {
    let askedCount = 0;
    const { upload } = uploadOf({
      ...{ partCount: 16, segmentCount: 2 },
      morePartNumbers: () => Promise.resolve((askedCount += 1)),
    });

    await feed(upload.openBase(noFile), names);
    await feed(await upload.openSegment(noFile), segment(40));

    expect(upload.exhausted).toBe(true);
    expect(askedCount).toBe(0);
  });

  it('is exhausted when it gets no more than it has', async () => {
    const { upload } = uploadOf({
      ...{ partCount: 4, segmentCount: 0 },
      morePartNumbers: () => Promise.resolve(4),
    });

    await feed(upload.openBase(noFile), Buffer.concat([names, segment(40)]));

    expect(upload.exhausted).toBe(true);
  });
});
