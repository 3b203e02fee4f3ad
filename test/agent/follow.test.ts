import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { followDump, type FollowEnd } from '../../lib/agent/follow.ts';
import { DumpUpload } from '../../lib/agent/dump-upload.ts';
import { minPartBytes } from '../../lib/capture/ticket.ts';
import { ZstdFrames } from '../../lib/capture/zstd-frames.ts';
import { CaptureError } from '../../lib/errors.ts';
import type { AttachReply } from '../../lib/jvm/attach-protocol.ts';
import { end, header, record, segmentTag, utf8Tag } from './hprof-bytes.ts';

const names = Buffer.concat([header, record(utf8Tag, 300, 1), record(utf8Tag, 200, 2)]);
const p0 = Buffer.concat([record(segmentTag, 900, 3), record(segmentTag, 800, 4)]);
const p1 = record(segmentTag, 1_500, 5);
const whole = Buffer.concat([names, p0, p1, end]);

let folder: string;
let directory: FileHandle;
let upload: DumpUpload;
let stored: Map<number, Buffer>;
let announced: (readonly number[])[];
let putPart: (partNumber: number) => Promise<void>;
let durable: string[];
let answer: (reply: AttachReply) => void;
let breakOff: (error: Error) => void;
let alive: boolean;
let stop: CaptureError | undefined;
let seenBytes: number;
/** Resolves when the follower has read so many bytes. */
let reached: { bytes: number; resolve: () => void } | undefined;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'heapcatch-follow-'));
  directory = await open(folder, 'r');
  stored = new Map();
  announced = [];
  durable = [];
  putPart = () => Promise.resolve();
  upload = uploadOf({ segmentCount: 2 });
  alive = true;
  stop = undefined;
  seenBytes = 0;
  reached = undefined;
});
afterEach(async () => {
  await directory.close();
  rmSync(folder, { recursive: true, force: true });
});

function uploadOf({ segmentCount }: { segmentCount: number }): DumpUpload {
  const announce = () => Promise.resolve();
  return new DumpUpload({
    redact: undefined,
    ...{
      blockBytes: 1_000,
      partBytes: minPartBytes,
      partCount: 100,
      expectedBytes: 0,
      segmentCount,
    },
    ...{ announceOpenPart: announce, announceFinalPart: announce },
    announceStreams: (firstPartNumbers) => {
      announced.push(firstPartNumbers);
      return Promise.resolve();
    },
    putPart: async (partNumber, { chunks }) => {
      await putPart(partNumber);
      stored.set(partNumber, Buffer.concat(chunks));
      return 'etag';
    },
    onDurable: (_file, endOffset) => durable.push(`${endOffset}`),
  });
}

function file(name: string): string {
  return join(folder, name);
}

function follow(stallSeconds = 60, skipMerge = false): Promise<FollowEnd> {
  const reply = new Promise<AttachReply>((resolve, reject) => {
    answer = resolve;
    breakOff = reject;
  });
  return followDump({
    ...{
      directory,
      fileName: 'd.hprof',
      jvmUid: process.getuid!(),
      streams: upload,
      reply,
      stallSeconds,
      skipMerge,
    },
    jvmRuns: () => Promise.resolve(alive),
    stopReason: () => stop,
    onBytes: (bytes) => {
      seenBytes += bytes;
      if (reached && seenBytes >= reached.bytes) reached.resolve();
    },
  });
}

function readUpTo(bytes: number): Promise<void> {
  if (seenBytes >= bytes) return Promise.resolve();
  return new Promise((resolve) => (reached = { bytes, resolve }));
}

function said(text: string): AttachReply {
  return { status: 0, output: Buffer.from(text), truncated: false };
}

/** The object that S3 would make, read back. */
async function object(whole: boolean): Promise<Buffer> {
  const account = await upload.finish(whole);
  const parts = account.parts.map(({ partNumber }) => stored.get(partNumber)!);
  expect(parts.slice(0, -1).every(({ length }) => length >= minPartBytes)).toBe(true);
  const frames = new ZstdFrames().push(Buffer.concat(parts));
  const raw = Buffer.concat(frames.map((frame) => zstdDecompressSync(frame)));
  expect(account.rawBytes).toBe(raw.length);
  return raw;
}

describe('followDump', () => {
  it('reads a dump while it grows, and everything that was written before the answer', async () => {
    const following = follow();
    writeFileSync(file('d.hprof'), whole.subarray(0, 700));
    await readUpTo(700);
    appendFileSync(file('d.hprof'), whole.subarray(700));
    answer(said('Heap dump file created'));

    expect(await following).toEqual({ whole: true });
    expect((await object(true)).equals(whole)).toBe(true);
  });

  it('judges by the bytes: an answer that sounds well does not make a cut dump whole', async () => {
    writeFileSync(file('d.hprof'), whole.subarray(0, -20));
    const following = follow();
    answer(said('Heap dump file created [1 bytes in 0.1 secs]'));

    const result = await following;

    expect(result).toMatchObject({ whole: false, fault: { code: 'DumpFailed' } });
    expect((await object(false)).equals(Buffer.concat([names, p0, end]))).toBe(true);
  });

  it('gives the words of a JVM that created no file', async () => {
    const following = follow();
    answer(said('Dump failed: File exists\n'));

    expect(await following).toMatchObject({
      whole: false,
      fault: { code: 'DumpFailed', message: expect.stringContaining('File exists') },
    });
  });

  it('saves what is there when the JVM dies', async () => {
    writeFileSync(file('d.hprof'), Buffer.concat([names, p0.subarray(0, 1_000)]));
    const following = follow();
    await readUpTo(names.length + 1_000);
    alive = false;
    breakOff(new Error('closed'));

    expect(await following).toMatchObject({
      whole: false,
      fault: { message: 'the JVM ended before it had finished its dump' },
    });
    expect((await object(false)).equals(Buffer.concat([names, p0.subarray(0, 909), end]))).toBe(
      true,
    );
  });

  it('reads the rest from the segments when the JVM dies before it has merged them', async () => {
    writeFileSync(file('d.hprof'), names.subarray(0, -50));
    writeFileSync(file('d.hprof.p1'), p1);
    const following = follow();
    await readUpTo(names.length - 50);
    writeFileSync(file('d.hprof.p0'), p0);
    alive = false;
    breakOff(new Error('closed'));

    expect((await following).whole).toBe(false);
    const wanted = Buffer.concat([names.subarray(0, -209), p0, p1, end]);
    expect((await object(false)).equals(wanted)).toBe(true);
  });

  it('follows base and segments at once, and does not wait for the merge', async () => {
    const following = follow();
    writeFileSync(file('d.hprof'), names.subarray(0, 400));
    writeFileSync(file('d.hprof.p0'), p0.subarray(0, 950));
    writeFileSync(file('d.hprof.p1'), p1.subarray(0, 10));
    await readUpTo(400 + 950 + 10);
    appendFileSync(file('d.hprof.p0'), p0.subarray(950));
    appendFileSync(file('d.hprof.p1'), p1.subarray(10));
    appendFileSync(file('d.hprof'), names.subarray(400));
    await readUpTo(names.length + p0.length + p1.length);
    appendFileSync(file('d.hprof'), p0.subarray(0, 20));

    expect(await following).toEqual({ whole: true });
    expect((await object(true)).equals(whole)).toBe(true);
    expect(announced).toEqual([[1, 17, 55, 93]]);
  });

  it('stores what it has of the base as soon as a segment is there, since nothing can be salvaged without it', async () => {
    let firstStored: () => void = () => undefined;
    const first = new Promise<void>((resolve) => (firstStored = resolve));
    putPart = (partNumber) => {
      if (partNumber === 1) firstStored();
      return Promise.resolve();
    };
    writeFileSync(file('d.hprof'), names.subarray(0, -50));
    writeFileSync(file('d.hprof.p0'), '');
    const following = follow();

    await first;
    alive = false;
    breakOff(new Error('closed'));

    expect((await following).whole).toBe(false);
    expect((await object(false)).equals(Buffer.concat([names.subarray(0, -209), end]))).toBe(true);
    expect(durable).toEqual([`${names.length - 209}`]);
  });

  it('has the whole dump of a JVM that dies in the middle of the merge', async () => {
    writeFileSync(file('d.hprof.p0'), p0);
    writeFileSync(file('d.hprof.p1'), p1);
    writeFileSync(file('d.hprof'), Buffer.concat([names, p0.subarray(0, 1_234)]));
    const following = follow();
    alive = false;
    breakOff(new Error('closed'));

    expect(await following).toEqual({ whole: true });
    expect((await object(true)).equals(whole)).toBe(true);
  });

  it('reads from the base what was merged of a segment that it never saw', async () => {
    const following = follow();
    writeFileSync(file('d.hprof'), Buffer.alloc(0));
    writeFileSync(file('d.hprof.p0'), p0);
    await readUpTo(p0.length);
    rmSync(file('d.hprof.p0'));
    writeFileSync(file('d.hprof'), whole);

    expect(await following).toEqual({ whole: true });
    expect((await object(true)).equals(whole)).toBe(true);
  });

  it('reads all from the base when it never saw a segment, and waits for its end record', async () => {
    const following = follow();
    writeFileSync(file('d.hprof'), whole.subarray(0, -700));
    await readUpTo(whole.length - 700);
    appendFileSync(file('d.hprof'), whole.subarray(-700));

    expect(await following).toEqual({ whole: true });
    expect((await object(true)).equals(whole)).toBe(true);
  });

  it('calls no dump whole whose segment ends inside a record', async () => {
    writeFileSync(file('d.hprof.p0'), p0.subarray(0, -5));
    writeFileSync(file('d.hprof'), Buffer.concat([names, p0.subarray(0, 100)]));

    expect(await follow()).toMatchObject({
      whole: false,
      fault: { code: 'InvalidHprof', message: expect.stringContaining('p0 ends inside a record') },
    });
  });

  describe('where the merge is to be skipped', () => {
    const incomplete = 'Dump file is incomplete: Can not open segmented heap file during merging\n';

    /** The JVM writes its names, then one segment, whose name the agent takes away, then its names' end. */
    async function dump(rest: Buffer): Promise<FollowEnd> {
      upload = uploadOf({ segmentCount: 1 });
      const following = follow(60, true);
      writeFileSync(file('d.hprof'), names.subarray(0, 400));
      writeFileSync(file('d.hprof.p0'), p0);
      while (existsSync(file('d.hprof.p0'))) await new Promise((resolve) => setImmediate(resolve));
      appendFileSync(file('d.hprof'), rest);
      answer(said(incomplete));
      return following;
    }

    it('takes the name of the segment away, and has the whole dump when the base came to its end', async () => {
      expect(await dump(names.subarray(400))).toEqual({ whole: true });
      expect((await object(true)).equals(Buffer.concat([names, p0, end]))).toBe(true);
    });

    it('does not call it whole when the base did not', async () => {
      expect(await dump(names.subarray(400, -1))).toMatchObject({ whole: false });
    });

    it('does not call it whole when the base ends at a page, as a write that was cut does', async () => {
      const filling = record(utf8Tag, 4_096 - names.length - 9, 7);

      expect(await dump(Buffer.concat([names.subarray(400), filling]))).toMatchObject({
        whole: false,
        fault: { message: expect.stringContaining('Can not open segmented heap file') },
      });
    });
  });

  it('follows one file of a JVM that writes no segments', async () => {
    upload = uploadOf({ segmentCount: 0 });
    writeFileSync(file('d.hprof'), whole);

    expect(await follow()).toEqual({ whole: true });
    expect((await object(true)).equals(whole)).toBe(true);
    expect([announced, [...stored.keys()]]).toEqual([[], [1]]);
  });

  it('finishes from segments that were removed, when the merge fails for want of space', async () => {
    writeFileSync(file('d.hprof'), names);
    writeFileSync(file('d.hprof.p0'), p0);
    writeFileSync(file('d.hprof.p1'), p1);
    const following = follow();
    await readUpTo(names.length);
    // The follower opens segments only after it has read all of the base: wait until it holds them.
    while (!(await holdsOpen('d.hprof.p1'))) await new Promise((resolve) => setImmediate(resolve));
    rmSync(file('d.hprof.p0'));
    rmSync(file('d.hprof.p1'));
    answer(said('Dump failed: No space left on device\n'));

    expect(await following).toMatchObject({
      whole: false,
      fault: { message: expect.stringContaining('No space left on device') },
    });
    expect((await object(false)).equals(whole)).toBe(true);
  });

  it('held back, reads the names at once and the objects when the JVM has answered, though their files are gone by then', async () => {
    const released = Promise.withResolvers<undefined>();
    upload.holdUntil(released.promise);
    writeFileSync(file('d.hprof'), names);
    writeFileSync(file('d.hprof.p0'), p0);
    writeFileSync(file('d.hprof.p1'), p1);
    const following = follow();
    await readUpTo(names.length);
    while (!(await holdsOpen('d.hprof.p1'))) await new Promise((resolve) => setImmediate(resolve));
    expect(seenBytes).toBe(names.length);

    appendFileSync(file('d.hprof'), Buffer.concat([p0, p1, end]));
    rmSync(file('d.hprof.p0'));
    rmSync(file('d.hprof.p1'));
    answer(said('Heap dump file created'));
    released.resolve(undefined);

    expect(await following).toEqual({ whole: true });
    expect((await object(true)).equals(whole)).toBe(true);
  });

  it('ends at the stop, and keeps what it has', async () => {
    writeFileSync(file('d.hprof'), Buffer.concat([names, p0]));
    const following = follow();
    await readUpTo(names.length + p0.length);
    stop = new CaptureError('DeadlineExceeded', 'late');

    expect(await following).toEqual({ whole: false, fault: stop });
    expect((await object(false)).equals(Buffer.concat([names, p0, end]))).toBe(true);
  });

  it('gives up a dump that does not grow while the JVM says nothing', async () => {
    expect(await follow(0.05)).toMatchObject({
      whole: false,
      fault: {
        code: 'DumpFailed',
        message: expect.stringContaining('did not grow for 0.05 s'),
      },
    });
  });

  it('does not take for a rest of the file the time for which the bucket held the reader back', async () => {
    const cut = whole.subarray(0, -20);
    let offset = 0;
    const now = performance.now.bind(performance);
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => now() + offset);
    upload = uploadOf({ segmentCount: 0 });
    const openBase = upload.openBase.bind(upload);
    upload.openBase = (base) => {
      const stream = openBase(base);
      const space = stream.space.bind(stream);
      stream.space = async () => {
        if (seenBytes === cut.length) {
          offset = 100_000;
          answer(said('Heap dump file created'));
          await new Promise((resolve) => setImmediate(resolve));
        }
        return space();
      };
      return stream;
    };
    writeFileSync(file('d.hprof'), cut);

    const end = await follow(60);
    clock.mockRestore();

    expect(end.fault?.message).toContain('the dump has no end record');
  });

  it('stops at bytes that are no dump', async () => {
    writeFileSync(file('d.hprof'), Buffer.concat([names, Buffer.alloc(500, 0xee)]));

    expect(await follow()).toMatchObject({ whole: false, fault: { code: 'InvalidHprof' } });
    expect((await object(false)).equals(Buffer.concat([names, end]))).toBe(true);
  });

  it('follows no link in the place of the dump', async () => {
    symlinkSync('/etc/passwd', file('d.hprof'));

    expect(await follow()).toMatchObject({
      fault: { code: 'DumpFailed', message: 'the dump file cannot be opened (ELOOP)' },
    });
  });

  it.each(['d.hprof', 'd.hprof.p0'])(
    'passes on that the upload of %s failed for good',
    async (name) => {
      const partNumber = name === 'd.hprof' ? 1 : 17;
      putPart = (n) =>
        n === partNumber
          ? Promise.reject(new CaptureError('UploadFailed', 'gone'))
          : Promise.resolve();
      writeFileSync(file('d.hprof.p0'), p0);
      writeFileSync(file('d.hprof.p1'), p1);
      writeFileSync(file('d.hprof'), whole.subarray(0, -100));

      await expect(follow().then(({ whole }) => upload.finish(whole))).rejects.toMatchObject({
        code: 'UploadFailed',
      });
    },
  );
});

async function holdsOpen(name: string): Promise<boolean> {
  const { readdir, readlink } = await import('node:fs/promises');
  const fds = await readdir('/proc/self/fd');
  const links = await Promise.all(
    fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => undefined)),
  );
  return links.includes(file(name));
}
