import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { sealAccount, sealFrame, type SealedObject } from '../../lib/capture/sealed-frames.ts';
import { get } from '../../lib/cli/get/command.ts';
import type { IndexEntry } from '../../lib/dump-index/index-entry.ts';
import { objectKeys } from '../../lib/dump-index/object-keys.ts';
import { CaptureError } from '../../lib/errors.ts';
import { endRecord } from '../../lib/hprof/end-record.ts';
import { createMemoryDataKeys } from '../../lib/local/memory-data-keys.ts';
import { MemoryObjectStore } from '../capture/memory-object-store.ts';
import { captureId, FakeIo, noisyDump, storeCapture } from './capture-fixture.ts';

describe('heapcatch get', () => {
  let parent: string;
  let folder: string;
  let objects: MemoryObjectStore;
  let io: FakeIo;

  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'heapcatch-get-'));
    folder = join(parent, 'out');
    objects = new MemoryObjectStore();
    io = new FakeIo(objects);
  });
  afterEach(() => rmSync(parent, { recursive: true }));

  const run = (...words: string[]) => get([captureId, '-o', folder, ...words], io);
  const read = (name: string) => readFileSync(join(folder, name));

  it('brings evidence, dump and index entry, verified, for nobody else to read', async () => {
    const { raw, threads } = await storeCapture(objects, { raw: noisyDump(1_500_000) });

    expect([await run(), io.errors]).toEqual([0, '']);

    expect(readdirSync(folder).sort()).toEqual(['heap.hprof', 'index-entry.json', 'threads.txt']);
    expect(read('heap.hprof').equals(raw)).toBe(true);
    expect(read('threads.txt').equals(threads)).toBe(true);
    expect(statSync(join(folder, 'heap.hprof')).mode & 0o777).toBe(0o600);
    expect(io.out).toContain('all checksums right, record chain unbroken to its end');
  });

  it('is identical after a cut anywhere, by what is left of a file or by a store that fails', async () => {
    const { keys, raw, dump, parts } = await storeCapture(objects, { raw: noisyDump(2_300_000) });
    const { getObject } = objects;
    await fc.assert(
      fc.asyncProperty(
        fc.nat({ max: dump.length }),
        fc.nat({ max: 900_000 }),
        fc.option(fc.nat({ max: 2 })),
        async (leftBytes, zeroedBytes, failsAfter) => {
          rmSync(folder, { recursive: true, force: true });
          const again = mkdtempSync(join(parent, 'cut-'));
          folder = again;
          const left = Buffer.from(dump.subarray(0, leftBytes));
          // As after a power failure: the file's size was kept, its last bytes were not.
          left.fill(0, Math.max(0, leftBytes - zeroedBytes));
          writeFileSync(join(folder, 'heap.hprof.zst.part'), left);
          if (failsAfter !== null) {
            let count = 0;
            objects.getObject = (key, bounds) => {
              const fails = key === keys.heapDump && (count += 1) > failsAfter;
              return fails
                ? Promise.reject(new CaptureError('ObjectStoreUnavailable', 'cut'))
                : getObject(key, bounds);
            };
            await run();
            objects.getObject = getObject;
          }
          let askedBytes = 0;
          objects.getObject = async (key, bounds) => {
            const body = await getObject(key, bounds);
            if (key === keys.heapDump) askedBytes += body!.length;
            return body;
          };

          expect(await run()).toBe(0);

          objects.getObject = getObject;
          expect(read('heap.hprof').equals(raw)).toBe(true);
          // Parts that came whole are not fetched twice.
          let kept = 0;
          for (const { bytes } of parts) {
            if (kept + bytes > leftBytes - zeroedBytes) break;
            kept += bytes;
          }
          expect(askedBytes).toBeLessThanOrEqual(dump.length - kept);
        },
      ),
      { numRuns: 12, endOnFailure: true },
    );
  });

  it('waits and asks again for a range that a later try can bring', async () => {
    const { raw, keys } = await storeCapture(objects);
    const { getObject } = objects;
    let faults = 3;
    objects.getObject = (key, bounds) =>
      key === keys.heapDump && faults-- > 0
        ? Promise.reject(new CaptureError('ObjectStoreUnavailable', 'slow', { retryable: true }))
        : getObject(key, bounds);

    expect(await run()).toBe(0);

    expect(read('heap.hprof').equals(raw)).toBe(true);
    expect(io.pauses).toEqual([1_000, 2_000, 4_000]);
  });

  it('ends with 130 when interrupted, and the next run goes on', async () => {
    const { raw, keys, dump } = await storeCapture(objects, { raw: noisyDump(2_300_000) });
    const { getObject } = objects;
    let count = 0;
    objects.getObject = (key, bounds) => {
      if (key === keys.heapDump && (count += 1) === 3) io.stopper.abort(new Error('interrupted'));
      return getObject(key, bounds);
    };

    expect(await run()).toBe(130);
    expect(existsSync(join(folder, 'heap.hprof'))).toBe(false);
    io = new FakeIo(objects);
    expect(await run()).toBe(0);

    expect(read('heap.hprof').equals(raw)).toBe(true);
    expect(dump.length).toBeGreaterThan(2_000_000);
  });

  it('leaves the dump compressed when asked, verified all the same', async () => {
    const { dump } = await storeCapture(objects);

    expect(await run('--compressed')).toBe(0);

    expect(read('heap.hprof.zst').equals(dump)).toBe(true);
    expect(existsSync(join(folder, 'heap.hprof'))).toBe(false);
    expect(io.out).toContain('record chain unbroken');
  });

  it('brings only what is asked for', async () => {
    await storeCapture(objects);

    expect(await run('--artifact', 'threads')).toBe(0);

    expect(readdirSync(folder).sort()).toEqual(['index-entry.json', 'threads.txt']);
  });

  it('says as JSON what it brought', async () => {
    await storeCapture(objects);

    expect(await run('--json')).toBe(0);

    expect(JSON.parse(io.out)).toMatchObject({
      kind: 'CaptureFiles',
      ...{ captureId, state: 'complete', holds: true },
      files: [
        { artifact: 'threads', holds: true },
        { artifact: 'heapDump', holds: true, dump: { ended: true, recordCount: 2 } },
      ],
    });
  });

  it.each(['heap dump', 'evidence'] as const)(
    'fails where the %s was changed in the bucket, each time',
    async (what) => {
      const { keys, dump, threads } = await storeCapture(objects);
      const [key, body] =
        what === 'evidence' ? [keys.evidence('threads'), threads] : [keys.heapDump, dump];
      const changed = Buffer.from(body);
      // In the middle of a literal: the frame can still be decompressed.
      changed[body.length >> 1]! ^= 1;
      await objects.putObject(key, changed, { contentType: '' });

      expect([await run(), await run()]).toEqual([1, 1]);
      expect(io.errors).toContain(
        what === 'evidence' ? 'checksum is WRONG' : 'checksums are WRONG',
      );
    },
  );

  it('fails where a complete capture has no checksums, and not where a salvaged one has none', async () => {
    await storeCapture(objects, { withManifest: false });
    expect(await run()).toBe(1);
    expect(io.errors).toContain('NO CHECKSUMS');

    folder = join(parent, 'other');
    await storeCapture(objects, {
      withManifest: false,
      change: (entry) => ({ ...entry, state: 'salvaged' }),
    });
    expect(await run()).toBe(0);
  });

  it('fails where the record chain is broken, and keeps what there is', async () => {
    const raw = noisyDump(10_000);
    await storeCapture(objects, { raw: raw.subarray(0, raw.length - endRecord.length) });

    expect([await run(), await run()]).toEqual([1, 1]);

    expect(read('heap.hprof').length).toBe(raw.length - endRecord.length);
    expect(io.errors).toContain('record chain is BROKEN: its record chain has no end record');
  });

  it('takes no object that is not the capture’s own, and no captureId but that of the key', async () => {
    const foreign = 'dumps/prod/shop/Deployment-cart/8227633599999-other/../heap.hprof.zst';
    const change = ({ objects: stored, ...entry }: IndexEntry): IndexEntry => ({
      ...entry,
      objects: { ...stored, heapDump: { ...stored.heapDump!, objectKey: foreign } },
    });
    const { key } = await storeCapture(objects, { change });
    expect(await run()).toBe(1);
    expect(io.errors).toContain(`names ${foreign} for heapDump; accepted is`);

    await storeCapture(objects, {
      change: (entry) => ({ ...entry, captureId: '../../../etc/heapcatch' }),
    });
    expect(await get([key, '-o', folder], io)).toBe(2);
    expect(io.errors).toContain('speaks of another capture');
  });

  it('never writes over a file', async () => {
    await storeCapture(objects);
    await run('--artifact', 'heapDump');
    writeFileSync(join(folder, 'threads.txt'), 'mine');

    expect(await run()).toBe(1);

    expect(read('threads.txt').toString()).toBe('mine');
    expect(io.out).toContain('is there already');
    expect(io.errors).toContain('threads.txt is there and has 4 bytes');
  });

  it('decrypts an encrypted capture, and fails where frames were taken away', async () => {
    const dataKeys = createMemoryDataKeys();
    const { plain, encryption } = await dataKeys.generate({ captureId, fencingToken: 1 });
    io = new FakeIo(objects, { dataKeys });
    const raw = noisyDump(10_000);
    const seal = (artifact: 'threads' | 'heapDump', contents: Buffer[], lostCount = 0): Buffer => {
      const object: SealedObject = { captureId, fencingToken: 1, artifact, dataKey: plain };
      const frames = contents.map((bytes, number) =>
        sealFrame(object, { kind: 'data', stream: 1, number }, bytes),
      );
      const account = sealAccount(object, [{ stream: 1, frameCount: frames.length + lostCount }]);
      return Buffer.concat([...frames, account]);
    };
    const store = async (dump: Buffer, threads: Buffer) => {
      const { entry } = await storeCapture(objects, {
        raw,
        withManifest: false,
        change: (plainEntry) => {
          const keys = objectKeys(plainEntry.objects.prefix, { encrypted: true });
          const evidence = [
            {
              artifact: 'threads' as const,
              objectKey: keys.evidence('threads'),
              bytes: threads.length,
            },
          ];
          const heapDump = { objectKey: keys.heapDump, compressedBytes: dump.length, partCount: 1 };
          const { prefix } = plainEntry.objects;
          return {
            ...plainEntry,
            state: 'salvaged',
            objects: { prefix, encryption, evidence, heapDump },
          };
        },
      });
      await objects.putObject(entry.objects.heapDump!.objectKey, dump, { contentType: '' });
      await objects.putObject(entry.objects.evidence[0]!.objectKey, threads, { contentType: '' });
      return entry;
    };
    const frames = [raw.subarray(0, 5_000), raw.subarray(5_000)].map((piece) =>
      zstdCompressSync(piece),
    );
    await store(seal('heapDump', frames), seal('threads', [Buffer.from('"main" #1')]));

    expect([await run(), io.errors]).toEqual([0, '']);
    expect(read('heap.hprof').equals(raw)).toBe(true);
    expect(read('threads.txt').toString()).toBe('"main" #1');
    expect(readdirSync(folder).sort()).toEqual(['heap.hprof', 'index-entry.json', 'threads.txt']);

    folder = join(parent, 'changed');
    await store(seal('heapDump', frames), seal('threads', [Buffer.from('"main" #1')], 1));
    expect(await run('--compressed')).toBe(1);
    expect(io.errors).toContain('NOT WHOLE');
    expect(read('heap.hprof.zst').equals(Buffer.concat(frames))).toBe(true);
  });

  it.each([
    [[], 'accepted is one CAPTURE'],
    [['none'], 'no capture none is in the index of dumps'],
    [['../x'], 'accepted are a captureId'],
    [['s3://other/index/x.json'], 'is in another bucket than dumps'],
    [['abcd', '--artifact', 'soul'], 'accepted are processFacts'],
    [['abcd', '--nonsense'], "Unknown option '--nonsense'"],
  ])('says what it does not understand: %j', async (words, answer) => {
    expect(await get(words, io)).toBe(2);
    expect(io.errors).toContain(answer);
  });
});
