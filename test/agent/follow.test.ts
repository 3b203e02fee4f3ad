import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { appendFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { followDump, type FollowEnd } from '../../lib/agent/follow.ts';
import { FrameStream } from '../../lib/agent/frame-stream.ts';
import { CaptureError } from '../../lib/errors.ts';
import type { AttachReply } from '../../lib/jvm/attach-protocol.ts';
import { end, header, record, segmentTag, utf8Tag } from './hprof-bytes.ts';

const names = Buffer.concat([header, record(utf8Tag, 300, 1), record(utf8Tag, 200, 2)]);
const p0 = Buffer.concat([record(segmentTag, 900, 3), record(segmentTag, 800, 4)]);
const p1 = record(segmentTag, 1_500, 5);
const whole = Buffer.concat([names, p0, p1, end]);

let folder: string;
let directory: FileHandle;
let raw: Buffer[];
let stream: FrameStream;
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
  raw = [];
  stream = new FrameStream(1_000, {
    add: ({ bytes }) => {
      raw.push(zstdDecompressSync(bytes));
      return Promise.resolve();
    },
  });
  alive = true;
  stop = undefined;
  seenBytes = 0;
  reached = undefined;
});
afterEach(async () => {
  await directory.close();
  rmSync(folder, { recursive: true, force: true });
});

function file(name: string): string {
  return join(folder, name);
}

function follow(stallSeconds = 60): Promise<FollowEnd> {
  const reply = new Promise<AttachReply>((resolve, reject) => {
    answer = resolve;
    breakOff = reject;
  });
  return followDump({
    ...{
      directory,
      fileName: 'd.hprof',
      jvmUid: process.getuid!(),
      stream,
      reply,
      stallSeconds,
      segmented: true,
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

async function stored(): Promise<Buffer> {
  const { endFrame } = await stream.finish();
  return Buffer.concat([...raw, zstdDecompressSync(endFrame)]);
}

describe('followDump', () => {
  it('reads a dump while it grows, and everything that was written before the answer', async () => {
    const following = follow();
    writeFileSync(file('d.hprof'), whole.subarray(0, 700));
    await readUpTo(700);
    appendFileSync(file('d.hprof'), whole.subarray(700));
    answer(said('Heap dump file created'));

    expect(await following).toEqual({ whole: true });
    expect((await stored()).equals(whole)).toBe(true);
  });

  it('judges by the bytes: an answer that sounds well does not make a cut dump whole', async () => {
    writeFileSync(file('d.hprof'), whole.subarray(0, -20));
    const following = follow();
    answer(said('Heap dump file created [1 bytes in 0.1 secs]'));

    const result = await following;

    expect(result).toMatchObject({ whole: false, fault: { code: 'DumpFailed' } });
    const filled = Buffer.concat([p1.subarray(0, -11), Buffer.alloc(11)]);
    expect((await stored()).equals(Buffer.concat([names, p0, filled, end]))).toBe(true);
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
    expect((await stored()).equals(Buffer.concat([names, p0.subarray(0, 909), end]))).toBe(true);
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
    expect((await stored()).equals(wanted)).toBe(true);
  });

  it('reads the rest from the segments when the JVM dies in the middle of the merge', async () => {
    writeFileSync(file('d.hprof'), Buffer.concat([names, p0.subarray(0, 1_234)]));
    writeFileSync(file('d.hprof.p0'), p0);
    writeFileSync(file('d.hprof.p1'), p1);
    const following = follow();
    await readUpTo(names.length + 1_234);
    alive = false;
    breakOff(new Error('closed'));

    expect((await following).whole).toBe(false);
    expect((await stored()).equals(whole)).toBe(true);
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
    expect((await stored()).equals(whole)).toBe(true);
  });

  it('ends at the stop, and keeps what it has', async () => {
    writeFileSync(file('d.hprof'), Buffer.concat([names, p0]));
    const following = follow();
    await readUpTo(names.length + p0.length);
    stop = new CaptureError('DeadlineExceeded', 'late');

    expect(await following).toEqual({ whole: false, fault: stop });
    expect((await stored()).equals(Buffer.concat([names, p0, end]))).toBe(true);
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

  it('stops at bytes that are no dump', async () => {
    writeFileSync(file('d.hprof'), Buffer.concat([names, Buffer.alloc(500, 0xee)]));

    expect(await follow()).toMatchObject({ whole: false, fault: { code: 'InvalidHprof' } });
    expect((await stored()).equals(Buffer.concat([names, end]))).toBe(true);
  });

  it('follows no link in the place of the dump', async () => {
    symlinkSync('/etc/passwd', file('d.hprof'));

    expect(await follow()).toMatchObject({
      fault: { code: 'DumpFailed', message: 'the dump file cannot be opened (ELOOP)' },
    });
  });

  it('passes on that the upload failed for good', async () => {
    stream = new FrameStream(1_000, {
      add: () => Promise.reject(new CaptureError('UploadFailed', 'gone')),
    });
    writeFileSync(file('d.hprof'), whole);
    appendFileSync(file('d.hprof.p0'), p0);

    const following = follow();
    answer(said(''));

    await expect(following.then(() => stream.finish())).rejects.toMatchObject({
      code: 'UploadFailed',
    });
  });
});

async function holdsOpen(name: string): Promise<boolean> {
  const { readdir, readlink } = await import('node:fs/promises');
  const fds = await readdir('/proc/self/fd');
  const links = await Promise.all(
    fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => undefined)),
  );
  return links.includes(file(name));
}
