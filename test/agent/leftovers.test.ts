import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  closeSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { runCapture } from '../../lib/agent/capture.ts';
import { manifestSchema, type Manifest } from '../../lib/capture/manifest.ts';
import type { Ticket } from '../../lib/capture/ticket.ts';
import { RecordChain } from '../../lib/hprof/record-chain.ts';
import { createLogger } from '../../lib/log.ts';
import { framesOf } from '../live-jvm/agent-lab.ts';
import { FakeBucket, s3Error } from './fake-bucket.ts';
import { end, header, record, segmentTag, utf8Tag } from './hprof-bytes.ts';
import { ProcFolder, type FakeProcess } from './proc-folder.ts';
import { ticketFor } from './tickets.ts';

type Order = NonNullable<Ticket['leftovers']>;

const startedTime = '2026-03-01T11:00:00Z';
const finishedTime = '2026-03-01T12:00:00Z';
const whole = Buffer.concat([header, record(utf8Tag, 40), record(segmentTag, 3_000), end]);
const cut = whole.subarray(0, -1_000);

let proc: ProcFolder;
let bucket: FakeBucket;
let folder: string;
let logLines: string[];

beforeEach(async () => {
  proc = new ProcFolder();
  bucket = await FakeBucket.start();
  logLines = [];
  folder = java();
});
afterEach(async () => {
  proc.remove();
  await bucket.stop();
});

/** The next life of the container, whose user is that of this test. */
function java(changes: Partial<FakeProcess> = {}): string {
  const made = proc.add({ pid: 7, uid: process.getuid!(), ...changes });
  mkdirSync(join(made, 'fd'), { recursive: true });
  mkdirSync(join(made, 'root/dumps'), { recursive: true });
  return made;
}

/** Puts a file into the container, last written so many seconds before the life's end. */
function leave(path: string, bytes: Uint8Array, secondsBefore = 10): string {
  const real = join(folder, 'root', path);
  mkdirSync(dirname(real), { recursive: true });
  writeFileSync(real, bytes);
  const time = Date.parse(finishedTime) / 1_000 - secondsBefore;
  utimesSync(real, time, time);
  return real;
}

async function collect(
  changes: Partial<Order> = {},
  ticket: Partial<Parameters<typeof ticketFor>[1]> = {},
): Promise<Manifest> {
  const leftovers: Order = {
    directories: [{ path: '/dumps', outlivesPod: false }],
    termination: { reason: 'Error', exitCode: 3, startedTime, finishedTime },
    ...changes,
  };
  const end = await runCapture({
    ticket: ticketFor(bucket, {
      directories: ['/dumps'],
      ...ticket,
      change: { evidence: [], leftovers },
    }),
    procRoot: proc.path,
    log: createLogger('agent', { write: (line) => void logLines.push(line) }),
  });
  logLines.push(end);
  return manifestSchema.parse(bucket.json('/manifest.json'));
}

const stored = (): Buffer => Buffer.concat([...framesOf(Buffer.concat(bucket.parts('/dump/')))]);
const killed: Partial<Order> = { termination: { reason: 'Error', exitCode: 137, finishedTime } };

describe('the agent, of what an ended life left', () => {
  it('stores a whole dump byte for byte, says whose it was, and removes it after the manifest', async () => {
    const path = leave('dumps/java_pid1.hprof', whole);
    let thereAtManifest = false;
    bucket.onPut = (put) => {
      if (put.path === '/manifest.json') thereAtManifest = existsSync(path);
      return undefined;
    };

    const manifest = await collect();

    expect(manifest.faults).toEqual([]);
    expect(manifest.dump).toMatchObject({ endRecord: true, appendedBytes: 0 });
    expect(manifest.leftover).toEqual({
      path: '/dumps/java_pid1.hprof',
      modifiedTime: '2026-03-01T11:59:50.000Z',
      bytes: whole.length,
    });
    expect(stored().equals(whole)).toBe(true);
    expect([thereAtManifest, existsSync(path)]).toEqual([true, false]);
  });

  it('stores a cut dump parseable, marks it, and removes it', async () => {
    const path = leave('dumps/java_pid1.hprof', cut);

    const manifest = await collect();

    expect(manifest.faults).toMatchObject([{ code: 'DumpFailed' }]);
    expect(manifest.dump).toMatchObject({ endRecord: false });
    const chain = new RecordChain();
    chain.push(stored());
    expect(chain.state.ended).toBe(true);
    expect(existsSync(path)).toBe(false);
  });

  it('reads the segments of a JVM that died before it merged them, and removes them too', async () => {
    const base = Buffer.concat([header, record(utf8Tag, 40)]);
    leave('dumps/java_pid1.hprof', base);
    leave('dumps/java_pid1.hprof.p0', record(segmentTag, 2_000, 1));
    leave('dumps/java_pid1.hprof.p1', record(segmentTag, 2_000, 2));

    const manifest = await collect();

    const merged = [base, record(segmentTag, 2_000, 1), record(segmentTag, 2_000, 2), end];
    expect(stored().equals(Buffer.concat(merged))).toBe(true);
    expect(manifest.leftover?.bytes).toBe(base.length + 2 * 2_009);
    expect(readdirSync(join(folder, 'root/dumps'))).toEqual([]);
  });

  it('keeps segments whose predecessors were merged and are gone, with their base', async () => {
    leave('dumps/java_pid1.hprof', cut);
    leave('dumps/java_pid1.hprof.p1', record(segmentTag, 2_000, 2));

    const manifest = await collect();

    expect(manifest.dump).toMatchObject({ endRecord: false });
    expect(readdirSync(join(folder, 'root/dumps'))).toHaveLength(2);
  });

  it('takes the newest of several, and names the others', async () => {
    leave('dumps/java_pid1.hprof', whole, 60);
    leave('dumps/deep/er/java_pid2.hprof', whole, 5);
    leave('dumps/java_pid3.hprof', whole, 30);

    const manifest = await collect();

    expect(manifest.leftover?.path).toBe('/dumps/deep/er/java_pid2.hprof');
    expect(manifest.faults).toMatchObject([{ code: 'LeftoverStays' }]);
    expect(manifest.faults[0]?.message).toMatch(/java_pid3.*older.*java_pid1/);
    expect(readdirSync(join(folder, 'root/dumps')).sort()).toEqual([
      ...['deep', 'java_pid1.hprof', 'java_pid3.hprof'],
    ]);
  });

  it('collects what a capture of ours did not come to send, unless that capture is still at work', async () => {
    leave('dumps/heapcatch-qrstuvwxyzabcdef-1.hprof', whole);

    const held = await collect({ heldCaptureId: 'qrstuvwxyzabcdef' });
    const free = await collect();

    expect(held.dump).toBeUndefined();
    expect(held.faults[0]?.message).toContain('capture qrstuvwxyzabcdef, which has not ended');
    expect(free.dump).toMatchObject({ endRecord: true });
  });

  it('says nothing and complains of nothing when nothing was left', async () => {
    leave('dumps/notes.txt', Buffer.from('x'));

    expect(await collect(killed)).toMatchObject({ faults: [] });
    expect(bucket.parts('/dump/')).toEqual([]);
  });

  it.each([
    [
      'is open in the running JVM',
      () => symlinkSync(leave('dumps/a.hprof', whole), join(folder, 'fd/9')),
    ],
    ['was written after that life had ended', () => leave('dumps/a.hprof', whole, -3)],
    ['is compressed', () => leave('dumps/a.hprof.gz', whole)],
    ['not a heap dump', () => leave('dumps/a.hprof', Buffer.from('JAVA PROFILE of mine'))],
    ['not a heap dump', () => leave('dumps/a.hprof', Buffer.alloc(0))],
  ])('leaves a file alone that %s', async (reason, make) => {
    make();

    const manifest = await collect();

    expect(manifest.dump).toBeUndefined();
    expect(manifest.faults[0]).toMatchObject({ code: 'LeftoverStays' });
    expect(manifest.faults[0]?.message).toContain(reason);
    expect(readdirSync(join(folder, 'root/dumps'))).toHaveLength(1);
  });

  it('leaves another user’s file alone', async () => {
    leave('dumps/a.hprof', whole);
    java({ uid: process.getuid!() + 1 });

    expect((await collect()).faults[0]?.message).toMatch(/belongs to uid \d+, the JVM is uid/);
  });

  it('takes from a volume that outlives the pod only what that very life wrote', async () => {
    const directories = [{ path: '/dumps', outlivesPod: true }];
    const termination = { reason: 'Error', exitCode: 3, finishedTime };
    leave('dumps/old.hprof', whole, 7_200);

    const old = await collect({ directories });
    leave('dumps/old.hprof', whole, 10);
    const unknown = await collect({ directories, termination });
    const own = await collect({ directories });

    expect(old.faults[0]?.message).toContain('was written before that life');
    expect(unknown.faults[0]?.message).toContain('not known when that life began');
    expect(own.dump).toMatchObject({ endRecord: true });
  });

  it('follows no link, neither to files nor to directories', async () => {
    const outside = join(folder, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'a.hprof'), whole);
    utimesSync(join(outside, 'a.hprof'), 1, 1);
    symlinkSync(join(outside, 'a.hprof'), join(folder, 'root/dumps/b.hprof'));
    symlinkSync(outside, join(folder, 'root/dumps/sub'));
    lutimesSync(join(folder, 'root/dumps/b.hprof'), 1, 1);

    const manifest = await collect(killed);

    expect(manifest).toMatchObject({ faults: [] });
    expect(bucket.parts('/dump/')).toEqual([]);
    expect(existsSync(join(outside, 'a.hprof'))).toBe(true);
  });

  it('gives up on directories with very many entries, and says so', async () => {
    for (let n = 0; n < 21_000; n += 1) {
      closeSync(openSync(join(folder, 'root/dumps', `${n}`), 'w'));
    }

    expect((await collect()).faults).toMatchObject([
      { code: 'LeftoverStays', message: expect.stringContaining('more entries') },
    ]);
  });

  it('finds a HeapDumpPath of any name and depth in a volume, from the command line or JAVA_TOOL_OPTIONS', async () => {
    const option = '-XX:HeapDumpPath=/dumps/a/b/c/d/e/heap.bin';
    for (const changes of [
      { cmdline: ['java', option, 'Main', ''] },
      { environ: [`JAVA_TOOL_OPTIONS=${option}`, 'SECRET=1'] },
    ]) {
      java(changes);
      leave('dumps/a/b/c/d/e/heap.bin', whole);

      expect((await collect()).leftover?.path).toBe('/dumps/a/b/c/d/e/heap.bin');
    }
    expect(logLines.join()).not.toContain('SECRET');
  });

  it('says that the dump is lost when exit code 3 tells of one and its path is in no volume', async () => {
    const on = '-XX:+HeapDumpOnOutOfMemoryError';
    java({ cmdline: ['java', on, '-XX:HeapDumpPath=/app/dumps', 'Main', ''] });

    const manifest = await collect();

    expect(manifest.faults).toMatchObject([{ code: 'DumpPlaceUnavailable' }]);
    expect(manifest.faults[0]?.message).toContain('/app/dumps, which is in no writable volume');
    expect((await collect(killed)).faults).toEqual([]);
  });

  it('keeps a file whose records break off, with what could be stored of it', async () => {
    const path = leave(
      'dumps/a.hprof',
      Buffer.concat([whole.subarray(0, -9), Buffer.from('junk and more')]),
    );

    const manifest = await collect();

    expect(manifest.faults).toMatchObject([{ code: 'InvalidHprof' }]);
    expect(manifest.dump).toMatchObject({ endRecord: false });
    expect(existsSync(path)).toBe(true);
  });

  it('keeps a file that was written to while it was read', async () => {
    const path = leave('dumps/a.hprof', whole);
    bucket.onPut = (put) => {
      if (put.path.startsWith('/dump/')) utimesSync(path, 1, 1);
      return undefined;
    };

    expect((await collect()).faults).toMatchObject([
      { code: 'LeftoverStays', message: 'a.hprof changed while it was read: it stays' },
    ]);
    expect(existsSync(path)).toBe(true);
  });

  it('keeps a file whose manifest or parts could not be stored', async () => {
    const path = leave('dumps/a.hprof', whole);

    for (const failing of ['/manifest.json', '/dump/1']) {
      bucket.onPut = (put) => (put.path === failing ? s3Error(403, 'AccessDenied') : undefined);
      await collect().catch(() => undefined);

      expect(existsSync(path)).toBe(true);
    }
  });

  it('keeps a file that another one has replaced by the time the manifest is written', async () => {
    const path = leave('dumps/a.hprof', whole);
    bucket.onPut = (put) => {
      if (put.path === '/manifest.json') leave('dumps/a.hprof', cut, 1);
      return undefined;
    };

    await collect();

    expect(existsSync(path)).toBe(true);
    expect(logLines.join()).toContain('leftover changed, it stays');
  });

  it('takes a container without a JVM for one that left nothing', async () => {
    java({ maps: 'no such library\n', cmdline: ['nginx', ''] });

    expect(await collect(killed, { deadlineSeconds: 2 })).toMatchObject({ faults: [] });
  }, 20_000);
});
