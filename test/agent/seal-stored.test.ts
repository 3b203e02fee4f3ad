import { describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { zstdDecompressSync } from 'node:zlib';
import { DumpUpload, type DumpStream } from '../../lib/agent/dump-upload.ts';
import { sealedObjectOf, sealEvidence } from '../../lib/agent/seal-stored.ts';
import type { SealedObject } from '../../lib/capture/sealed-frames.ts';
import { SealedReader } from '../../lib/capture/sealed-reader.ts';
import { parseSeekTable, seekTableBytesOf } from '../../lib/capture/seek-table.ts';
import type { Ticket } from '../../lib/capture/ticket.ts';
import type { Artifact } from '../../lib/policy/policy.ts';
import { end, header, record, segmentTag, utf8Tag } from './hprof-bytes.ts';

const dataKey = randomBytes(32).toString('base64');
const ticket = {
  ...{ captureId: 'abcdefghijklmnop', fencingToken: 3 },
  encryption: { algorithm: 'AES-256-GCM', dataKey },
} as Ticket;
const noFile = undefined as unknown as FileHandle;
const names = Buffer.concat([header, record(utf8Tag, 300, 1)]);
const heap = Buffer.concat(Array.from({ length: 30 }, (_, seed) => record(segmentTag, 900, seed)));

function objectOf(artifact: Artifact): SealedObject {
  return sealedObjectOf(ticket, artifact)!;
}

function uploadOf(segmentCount: number) {
  const announce = () => Promise.resolve();
  const stored = new Map<number, Buffer>();
  const upload = new DumpUpload({
    ...{ redact: undefined, blockBytes: 1_000, partBytes: 2_000, expectedBytes: 0 },
    ...{ announceOpenPart: announce, announceFinalPart: announce, announceStreams: announce },
    ...{ partCount: 64, segmentCount, sealed: objectOf('heapDump') },
    putPart: (partNumber, { chunks }) => {
      stored.set(partNumber, Buffer.concat(chunks));
      return Promise.resolve('etag');
    },
  });
  const object = async (): Promise<Buffer> => {
    const { parts } = await upload.finish(true);
    return Buffer.concat(parts.map(({ partNumber }) => stored.get(partNumber)!));
  };
  return { upload, object };
}

async function feed(stream: DumpStream, bytes: Buffer): Promise<void> {
  for (let position = 0; position < bytes.length;) {
    const space = await stream.space();
    const count = bytes.copy(space, 0, position, position + space.length);
    stream.filled(count);
    position += count;
  }
}

function read(artifact: Artifact, stored: Buffer) {
  const reader = new SealedReader(objectOf(artifact));
  const frames = reader.push(stored);
  return { frames, account: reader.finish() };
}
const decompressed = (frames: readonly Buffer[]): Buffer =>
  Buffer.concat(frames.map((frame) => zstdDecompressSync(frame)));

describe('an encrypted dump', () => {
  it('is the dump again when it is decrypted, and its seek table leads to its frames', async () => {
    const { upload, object } = uploadOf(0);
    const dump = Buffer.concat([names, heap, end]);

    await feed(upload.openBase(noFile), dump);
    const stored = await object();

    const { frames, account } = read('heapDump', stored);
    expect(decompressed(frames).equals(dump)).toBe(true);
    expect(account).toMatchObject({ whole: true, plainFrameCount: 1 });

    const table = parseSeekTable(stored.subarray(-seekTableBytesOf(stored)), stored.length)!;
    const second = table.findIndex(({ rawBytes }, index) => index > 0 && rawBytes > 0);
    const start = table.slice(0, second).reduce((sum, one) => sum + one.compressedBytes, 0);
    const rawStart = table.slice(0, second).reduce((sum, one) => sum + one.rawBytes, 0);
    const { compressedBytes, rawBytes } = table[second]!;
    const one = read('heapDump', stored.subarray(start, start + compressedBytes)).frames;
    expect(decompressed(one).equals(dump.subarray(rawStart, rawStart + rawBytes))).toBe(true);
  });

  it('counts the frames of a cut record no more that were taken back', async () => {
    const { upload, object } = uploadOf(0);
    const cut = record(segmentTag, 1_900).subarray(0, 1_500);

    await feed(upload.openBase(noFile), Buffer.concat([names, cut]));
    const { frames, account } = read('heapDump', await object());

    expect(decompressed(frames).equals(Buffer.concat([names, end]))).toBe(true);
    expect(account.whole).toBe(true);
  });

  it('numbers each of its streams by itself, and accounts for all of them', async () => {
    const { upload, object } = uploadOf(1);

    const base = upload.openBase(noFile);
    await feed(base, names);
    await feed(await upload.openSegment(noFile), heap);
    const { frames, account } = read('heapDump', await object());

    expect(decompressed(frames).equals(Buffer.concat([names, heap, end]))).toBe(true);
    expect(account.whole).toBe(true);
  });
});

describe('sealEvidence', () => {
  it('encrypts evidence of any size, in frames of a MiB', () => {
    const text = Buffer.alloc(2.5 * 1024 * 1024, 'thread ');

    const stored = Buffer.concat(sealEvidence(ticket, 'threads', [text, Buffer.from('[cut]')]));

    const { frames, account } = read('threads', stored);
    expect(Buffer.concat(frames).toString()).toBe(`${text.toString()}[cut]`);
    expect(account).toEqual({ frameCount: 4, gapFrameCount: 0, plainFrameCount: 0, whole: true });
    expect(stored.includes('thread')).toBe(false);
  });

  it('leaves evidence as it is where the ticket does not ask for encryption', () => {
    const chunks = [Buffer.from('text')];

    expect(sealEvidence({ ...ticket, encryption: undefined }, 'threads', chunks)).toBe(chunks);
  });
});
