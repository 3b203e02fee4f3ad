import { spawnSync } from 'node:child_process';
import { describe, expect, it } from '@jest/globals';
import { zstdCompressSync } from 'node:zlib';
import { skippableFrame } from '../../lib/capture/part-layout.ts';
import {
  FrameSizes,
  parseSeekTable,
  seekTable,
  seekTableBytesOf,
  seekTableFooterBytes,
} from '../../lib/capture/seek-table.ts';
import { ZstdFrames } from '../../lib/capture/zstd-frames.ts';

/** Frames of a text each, one that is passed over among them, and the table of all. */
function seekable(texts: readonly string[]): Buffer {
  const sizes = new FrameSizes();
  const frames = texts.map((text) => {
    const frame = zstdCompressSync(text);
    sizes.add(frame.length, text.length);
    return frame;
  });
  sizes.add(50, 0);
  return Buffer.concat([...frames, ...skippableFrame(50), seekTable([sizes])]);
}

describe('a seek table', () => {
  const texts = Array.from({ length: 300 }, (_, n) => 'x'.repeat(n));

  it('lists the frames of all streams in their order, found from the object’s last bytes', () => {
    const [one, other] = [new FrameSizes(), new FrameSizes()];
    for (let n = 0; n < 300; n += 1) one.add(n + 1, n * 10);
    other.add(2 ** 32 - 1, 2 ** 31);

    const table = seekTable([one, other]);

    expect(seekTableBytesOf(table.subarray(-seekTableFooterBytes))).toBe(table.length);
    const objectBytes = (300 * 301) / 2 + 2 ** 32 - 1 + table.length;
    const entries = parseSeekTable(table, objectBytes);
    expect(entries).toHaveLength(301);
    expect(entries?.[299]).toEqual({ compressedBytes: 300, rawBytes: 2_990 });
    expect(entries?.[300]).toEqual({ compressedBytes: 2 ** 32 - 1, rawBytes: 2 ** 31 });
  });

  it('leads to the contents of a frame without those before it', () => {
    const object = seekable(texts);
    const table = object.subarray(-seekTableBytesOf(object));

    const entries = parseSeekTable(table, object.length)!;
    const start = entries.slice(0, 200).reduce((sum, entry) => sum + entry.compressedBytes, 0);

    const [frame] = new ZstdFrames().push(object.subarray(start));
    expect(frame?.equals(zstdCompressSync('x'.repeat(200)))).toBe(true);
  });

  it('is passed over by a reader of frames, and by zstd itself where it is installed', () => {
    const object = seekable(texts);

    expect(new ZstdFrames().push(object)).toHaveLength(texts.length);
    const zstd = spawnSync('zstd', ['-d', '-c'], { input: object });
    if (zstd.error === undefined) expect(zstd.stdout.toString()).toBe(texts.join(''));
  });

  it('is not believed when it does not describe the object', () => {
    const object = seekable(texts);

    expect(parseSeekTable(object.subarray(-seekTableBytesOf(object)), object.length - 1)).toBe(
      undefined,
    );
  });

  it('is not seen where there is none, and refused where it is broken', () => {
    expect(seekTableBytesOf(Buffer.alloc(1_024, 7))).toBe(0);
    expect(seekTableBytesOf(Buffer.alloc(3))).toBe(0);
    const table = Buffer.from(seekTable([new FrameSizes()]));
    table[0] = 0;
    expect(() => parseSeekTable(table, 17)).toThrow('17 bytes are no seek table');
  });
});
