import { zstdDecompressSync } from 'node:zlib';
import { describe, expect, it } from '@jest/globals';
import { endFrames, findEndFrame, isEndFrame } from '../../lib/capture/end-frames.ts';
import { endRecord } from '../../lib/hprof/end-record.ts';

/** Node's decompressor stops at the end of the first frame. */
function decompressFrames(body: Buffer): Buffer {
  const starts = [...body.keys()].filter((at) => body.indexOf('28b52ffd', at, 'hex') === at);
  return Buffer.concat(
    starts.map((start, index) => zstdDecompressSync(body.subarray(start, starts[index + 1]))),
  );
}

describe('endFrames', () => {
  it('makes the end record alone at a record boundary', () => {
    const { body, endFrameBytes } = endFrames(0);

    expect(zstdDecompressSync(body).equals(endRecord)).toBe(true);
    expect(endFrameBytes).toBe(body.byteLength);
  });

  it('fills the open record with zeros before the end record', () => {
    const { body } = endFrames(9_000_001);

    const raw = decompressFrames(body);

    expect(raw.byteLength).toBe(9_000_001 + endRecord.byteLength);
    expect(raw.subarray(0, 9_000_001).every((byte) => byte === 0)).toBe(true);
    expect(raw.subarray(9_000_001).equals(endRecord)).toBe(true);
  });

  it('stays small for the largest record there can be', () => {
    const { body } = endFrames(0xffff_ffff);

    expect(body.byteLength).toBeLessThan(1024 * 1024);
  });

  it('refuses more than a record can lack', () => {
    expect(() => endFrames(0x1_0000_0000)).toThrow(/accepted are at most 4294967295/);
  });
});

describe('findEndFrame', () => {
  it('finds the end frame behind other frames', () => {
    const { body, endFrameBytes } = endFrames(5_000_000);

    expect(findEndFrame(body)).toBe(endFrameBytes);
  });

  it('answers no for a cut frame, for other contents and for nothing', () => {
    const { body } = endFrames(0);

    expect(findEndFrame(body.subarray(0, body.byteLength - 1))).toBeUndefined();
    expect(findEndFrame(Buffer.alloc(1_024, 0x28))).toBeUndefined();
    expect(findEndFrame(Buffer.alloc(0))).toBeUndefined();
  });

  it('answers no when anything follows the end frame', () => {
    const { body } = endFrames(0);

    expect(findEndFrame(Buffer.concat([body, Buffer.from('x')]))).toBeUndefined();
  });

  it('is not taken in by a frame that unfolds to gigabytes', () => {
    const { body, endFrameBytes } = endFrames(4 * 1024 * 1024);

    expect(isEndFrame(body.subarray(0, body.byteLength - endFrameBytes))).toBe(false);
  });
});
