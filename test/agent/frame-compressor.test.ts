import { afterEach, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { zstdDecompressSync } from 'node:zlib';
import { FrameCompressor } from '../../lib/agent/frame-compressor.ts';
import { ZstdFrames } from '../../lib/capture/zstd-frames.ts';

const blockBytes = 64 * 1024;

describe('FrameCompressor', () => {
  let compressor: FrameCompressor;
  afterEach(() => compressor.close());

  it('makes one independent frame of each block, in order, however much or little it compresses', async () => {
    compressor = new FrameCompressor(blockBytes);
    const blocks = Array.from({ length: 40 }, (_, index) =>
      index % 2 === 0 ? randomBytes(blockBytes - index) : Buffer.alloc(blockBytes, index),
    );

    const frames = await Promise.all(blocks.map((block) => compressor.compress(block)));

    for (const [index, frame] of frames.entries()) {
      expect([...new ZstdFrames().push(frame)]).toHaveLength(1);
      expect(zstdDecompressSync(frame).equals(blocks[index]!)).toBe(true);
    }
  });

  it('refuses blocks once it is closed', async () => {
    compressor = new FrameCompressor(blockBytes);
    compressor.close();

    await expect(compressor.compress(Buffer.alloc(10))).rejects.toThrow(/destroyed/);
  });
});
