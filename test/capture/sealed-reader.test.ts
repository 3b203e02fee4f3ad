import { describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { skippableFrame } from '../../lib/capture/part-layout.ts';
import {
  sealAccount,
  sealedFrameBytes,
  sealFrame,
  type SealedObject,
} from '../../lib/capture/sealed-frames.ts';
import { SealedReader } from '../../lib/capture/sealed-reader.ts';
import { endRecord } from '../../lib/hprof/end-record.ts';

const object: SealedObject = {
  captureId: 'abcdefghijklmnop',
  fencingToken: 3,
  artifact: 'heapDump',
  dataKey: randomBytes(32),
};
const frame = (number: number, stream = 1, of = object): Buffer =>
  sealFrame(of, { kind: 'data', stream, number }, Buffer.from(`stream ${stream} frame ${number}`));
const account = (...frameCounts: number[]): Buffer =>
  sealAccount(
    object,
    frameCounts.map((frameCount, index) => ({ stream: 1 + index * 16, frameCount })),
  );
const end = zstdCompressSync(endRecord);
const zeros = zstdCompressSync(Buffer.alloc(1_000));
const padding = Buffer.concat(skippableFrame(100));

function read(...frames: readonly Buffer[]) {
  const reader = new SealedReader(object);
  const opened = reader.push(Buffer.concat(frames)).map(String);
  return { opened, ...reader.finish() };
}

describe('SealedReader', () => {
  it('gives back what was encrypted, in order, and knows by the account that it is whole', () => {
    const result = read(frame(0), padding, frame(1), frame(0, 17), account(2, 1));

    expect(result).toEqual({
      opened: ['stream 1 frame 0', 'stream 1 frame 1', 'stream 17 frame 0'],
      ...{ frameCount: 3, gapFrameCount: 0, plainFrameCount: 0, whole: true },
    });
  });

  it('reads an object in any chunks', () => {
    const bytes = Buffer.concat([frame(0), frame(1), account(2), end]);
    const reader = new SealedReader(object);
    const opened = [...bytes].flatMap((byte) => reader.push(Buffer.from([byte])));

    expect(opened.slice(0, 2).map(String)).toEqual(['stream 1 frame 0', 'stream 1 frame 1']);
    expect(zstdDecompressSync(opened[2]!).equals(endRecord)).toBe(true);
    expect(reader.finish().whole).toBe(true);
  });

  it.each([
    ['its account', [frame(0), frame(1)]],
    ['a frame at the end', [frame(0), account(2)]],
    ['a frame in the middle', [frame(0), frame(2), account(3)]],
    ['the first frame', [frame(1), account(2)]],
    ['a stream', [frame(0), account(1, 1)]],
  ])('does not take an object for whole without %s', (_what, frames) => {
    expect(read(...frames).whole).toBe(false);
  });

  it('counts the frames of parts that a salvage left out', () => {
    expect(read(frame(0), frame(4), frame(2, 17)).gapFrameCount).toBe(5);
  });

  it('takes zeros and the end record plain, names them, and takes nothing for whole with zeros inside', () => {
    expect(read(frame(0), zeros, end)).toMatchObject({ plainFrameCount: 2, whole: false });
    expect(read(frame(0), zeros, account(1), end).whole).toBe(false);
    expect(read(frame(0), account(1), end)).toMatchObject({ plainFrameCount: 1, whole: true });
  });

  const changed = (at: number): Buffer => {
    const bytes = frame(0);
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    return bytes;
  };
  it.each<[string, readonly Buffer[]]>([
    ['a frame that comes twice', [frame(0), frame(0)]],
    ['frames in another order', [frame(1), frame(0)]],
    ['streams in another order', [frame(0, 17), frame(0, 1)]],
    ['a stream that was left before', [frame(0, 1), frame(0, 17), frame(1, 1)]],
    ['a frame behind the account', [frame(0), account(1), frame(1)]],
    ['two accounts', [frame(0), account(1), account(1)]],
    ['another kind of frame', [changed(9)]],
    ['another stream', [changed(10)]],
    ['another number', [changed(12)]],
    ['another nonce', [changed(20)]],
    ['another text', [changed(30)]],
    ['another tag', [changed(sealedFrameBytes)]],
    ['a frame of another version', [changed(8)]],
    ["a frame of another claim's", [frame(0, 1, { ...object, fencingToken: 4 })]],
    ["a frame of another capture's", [frame(0, 1, { ...object, captureId: 'ponmlkjihgfedcba' })]],
    ['a frame of another artifact', [frame(0, 1, { ...object, artifact: 'threads' })]],
    ['a frame of another key', [frame(0, 1, { ...object, dataKey: randomBytes(32) })]],
    ['a plain frame with anything in it', [frame(0), zstdCompressSync(Buffer.from('secret'))]],
    ['a plain frame that is larger than any of ours', [zstdCompressSync(Buffer.alloc(2 ** 25))]],
    ['an object that ends inside a frame', [frame(0).subarray(0, -1)]],
  ])('refuses %s', (_what, frames) => {
    expect(() => read(...frames)).toThrow(expect.objectContaining({ code: 'DecryptionFailed' }));
  });

  it('says neither the key nor what was encrypted in an error', () => {
    const other = { ...object, dataKey: randomBytes(32) };
    const reading = () => new SealedReader(other).push(frame(0));

    expect(reading).toThrow(
      'frame 0 of stream 1 was changed, or is not of heapDump of capture abcdefghijklmnop, token 3 and this key',
    );
  });

  it('has no nonce twice', () => {
    const nonces = Array.from({ length: 100 }, () => frame(0).subarray(16, 28).toString('hex'));

    expect(new Set(nonces).size).toBe(100);
  });
});
