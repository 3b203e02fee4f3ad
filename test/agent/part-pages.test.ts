import { describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { PagePool, PartPages } from '../../lib/agent/part-pages.ts';

const bytesOf = (pages: PartPages): Buffer => Buffer.concat(pages.chunks);

describe('PartPages', () => {
  it('holds what was copied into it, in order, whatever becomes of the originals', () => {
    const pages = new PartPages(new PagePool());
    const frames = [1, 300_000, 17, 600_001].map((bytes) => randomBytes(bytes));
    const whole = Buffer.concat(frames);

    for (const frame of frames) {
      pages.copy(frame);
      frame.fill(0);
    }

    expect(pages.bytes).toBe(whole.length);
    expect(bytesOf(pages).equals(whole)).toBe(true);
  });

  it('ends in what it was referred to', () => {
    const pages = new PartPages(new PagePool());
    const [copied, referred] = [randomBytes(5), randomBytes(7)];

    pages.copy(copied);
    pages.refer(referred);

    expect(bytesOf(pages)).toEqual(Buffer.concat([copied, referred]));
    expect(pages.chunks.at(-1)?.buffer).toBe(referred.buffer);
  });

  it('uses the pages of a released part again, and only those', () => {
    const pool = new PagePool();
    const [first, second, third] = [0, 1, 2].map(() => new PartPages(pool));
    first?.copy(randomBytes(400_000));
    const kept = randomBytes(400_000);
    second?.copy(kept);
    const firstBuffers = new Set(first?.chunks.map(({ buffer }) => buffer));

    first?.release();
    third?.copy(randomBytes(400_000));

    expect(new Set(third?.chunks.map(({ buffer }) => buffer))).toEqual(firstBuffers);
    expect(bytesOf(second!).equals(kept)).toBe(true);
  });
});
