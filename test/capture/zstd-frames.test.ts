import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { ZstdFrames } from '../../lib/capture/zstd-frames.ts';

const frameOf = (raw: Uint8Array, checksum = true): Buffer =>
  zstdCompressSync(raw, { params: { [constants.ZSTD_c_checksumFlag]: checksum ? 1 : 0 } });

/** Feeds a stream in pieces of these lengths, then the rest. */
function framesOf(
  stream: Buffer,
  lengths: readonly number[],
): { raws: Buffer[]; openBytes: number } {
  const frames = new ZstdFrames();
  const raws: Buffer[] = [];
  let at = 0;
  for (const length of [...lengths, stream.length]) {
    for (const frame of frames.push(stream.subarray(at, at + length)))
      raws.push(zstdDecompressSync(frame));
    at += length;
    if (at >= stream.length) break;
  }
  return { raws, openBytes: frames.openBytes };
}

describe('zstd frames', () => {
  it('come out whole and in order, wherever the stream is cut', () => {
    const raw = fc.uint8Array({ maxLength: 3_000 });
    fc.assert(
      fc.property(
        fc.array(fc.tuple(raw, fc.boolean()), { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 20 }),
        (contents, lengths) => {
          const stream = Buffer.concat(
            contents.map(([bytes, checksum]) => frameOf(bytes, checksum)),
          );
          const { raws, openBytes } = framesOf(stream, lengths);
          expect(raws.map((bytes) => [...bytes])).toEqual(contents.map(([bytes]) => [...bytes]));
          expect(openBytes).toBe(0);
        },
      ),
    );
  });

  it('of several blocks and of runs are measured right', () => {
    const large = Buffer.alloc(1_000_000);
    for (let i = 0; i < 500_000; i += 1) large[i] = (i * 31 + (i >> 8)) % 251;
    const { raws } = framesOf(
      Buffer.concat([frameOf(large), frameOf(Buffer.from('end'))]),
      [7, 100_001],
    );
    expect(raws[0]!.equals(large)).toBe(true);
    expect(raws[1]!.toString()).toBe('end');
  });

  it('that are skippable are left out', () => {
    const skippable = Buffer.from([0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
    const { raws } = framesOf(
      Buffer.concat([skippable, frameOf(Buffer.from('x')), skippable]),
      [5],
    );
    expect(raws.map(String)).toEqual(['x']);
  });

  it('tell how much of a cut stream is no whole frame', () => {
    const frame = frameOf(Buffer.from('whole'));
    expect(framesOf(Buffer.concat([frame, frame.subarray(0, 9)]), []).openBytes).toBe(9);
  });

  it('refuse what is no frame, and a frame over the bound, with the offset', () => {
    const frame = frameOf(Buffer.from('x'));
    expect(() => framesOf(Buffer.concat([frame, Buffer.from('not a frame')]), [])).toThrow(
      `at byte ${frame.length}`,
    );
    const frames = new ZstdFrames({ maxFrameBytes: 16 });
    expect(() =>
      frames.push(frameOf(Buffer.from(Array.from({ length: 99 }, (_, i) => i))).subarray(0, 40)),
    ).toThrow('over 16');
  });
});
