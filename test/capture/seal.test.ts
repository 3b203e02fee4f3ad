import { zstdDecompressSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { compositeMd5 } from '../../lib/capture/composite-md5.ts';
import { endFrames, findEndFrame } from '../../lib/capture/end-frames.ts';
import { FrameSizes, seekTable } from '../../lib/capture/seek-table.ts';
import { sealCapture, type SealAnswer } from '../../lib/capture/seal.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import { sweepCaptures } from '../../lib/capture/sweep.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import { objectKeys } from '../../lib/dump-index/object-keys.ts';
import { CaptureError } from '../../lib/errors.ts';
import { podFacts } from './fake-cluster.ts';
import { md5 } from './memory-object-store.ts';
import { json, partBytes, signal, World } from './world.ts';

describe('sealCapture', () => {
  let world: World;
  let record: CaptureRecord;
  const seal = (prefix = record.objectPrefix): Promise<SealAnswer> =>
    sealCapture(world.finishDeps(), { captureId: record.captureId, prefixes: [prefix] });
  const storedDump = (): Buffer =>
    Buffer.from(world.objects.objects.get(objectKeys(record.objectPrefix).heapDump)!.body);

  beforeEach(async () => {
    world = new World();
    await startCapture(world.captureDeps(), signal());
    record = await world.record();
    world.advance(30);
  });

  it('completes, indexes, frees the lock, forgets the ticket and tells the pod', async () => {
    const manifest = await world.runAgent();

    const answer = await seal();

    expect(answer).toEqual({ outcome: 'sealed', captureId: record.captureId, state: 'complete' });
    const [entry, ...others] = world.indexEntries();
    expect(others).toEqual([]);
    expect(entry).toMatchObject({
      state: 'complete',
      when: { sealTime: '2026-01-01T12:00:30.000Z', durableTime: '2026-01-01T12:00:00.000Z' },
      how: { rung: 'nodeAgent', finisher: 'seal', jvm: { jdkVersion: '21' } },
      objects: {
        heapDump: {
          compressedBytes: manifest.dump?.compressedBytes,
          partCount: 3,
          rawBytes: 123_456,
        },
      },
      faults: [],
    });
    expect(entry?.objects.evidence).toHaveLength(5);
    expect(storedDump().byteLength).toBe(manifest.dump?.compressedBytes);
    expect(await world.lockHolder()).toBeUndefined();
    expect((await world.claims.readCapture(record.captureId))?.state).toBe('complete');
    expect(world.objects.keysUnder('tickets/')).toEqual([]);
    expect(world.cluster.events.at(-1)).toMatchObject({ reason: 'HeapDumpSaved', type: 'Normal' });
    expect(world.cluster.events.at(-1)?.message).toContain('123456 bytes');
    expect(world.cluster.events.at(-1)?.message).toContain(record.captureId);
  });

  it('counts the capture in the line that tells its end: state, seconds, bytes', async () => {
    const { dump } = await world.runAgent();

    await seal();

    const line = world.logLines.find((one) => one.includes('"message":"capture finished"'))!;
    expect(JSON.parse(line)).toMatchObject({
      state: 'complete',
      captures: 1,
      captureSeconds: 30,
      rawBytes: 123_456,
      compressedBytes: dump?.compressedBytes,
      _aws: { CloudWatchMetrics: [{ Dimensions: [['stage'], ['stage', 'state']] }] },
    });
  });

  it('tells the pod and the index where the memory is short, if it is not the heap', async () => {
    const memory = { pressure: 'offHeap', explanation: '9 of 10 bytes', offHeapBytes: 9 } as const;
    await world.runAgent({ manifest: { memory } });

    await seal();

    expect(world.indexEntries()[0]?.memory).toEqual(memory);
    expect(world.cluster.events.at(-1)?.message).toContain('off-heap pressure: 9 of 10 bytes');
  });

  it('tags every object of a capture that is kept for another time, and says until when', async () => {
    world.retention = { maxDays: 90, defaultDays: 30 };
    await world.runAgent();

    await seal();

    const [entry] = world.indexEntries();
    expect(entry?.objects.retention).toEqual({ days: 30, expireTime: '2026-02-01T00:00:00.000Z' });
    const keys = [record.objectPrefix, 'index/'].flatMap((one) => world.objects.keysUnder(one));
    expect(keys.length).toBeGreaterThan(8);
    expect([...world.objects.tags.keys()].sort()).toEqual(keys.sort());
    expect(new Set(world.objects.tags.values())).toEqual(new Set(['heapcatch-retention=30d']));
  });

  it('tags nothing that is kept as the bucket keeps everything', async () => {
    world.retention = { maxDays: 30, defaultDays: 30 };
    await world.runAgent();

    await seal();

    expect(world.indexEntries()[0]?.objects.retention?.days).toBe(30);
    expect(world.objects.tags.size).toBe(0);
  });

  it('indexes a capture that may not be tagged, and says so; and tries again what can pass', async () => {
    world.retention = { maxDays: 90, defaultDays: 7 };
    await world.runAgent();
    const refuse = (retryable: boolean) => () =>
      Promise.reject(
        new CaptureError('ObjectStoreUnavailable', 's3:PutObjectTagging', { retryable }),
      );

    world.objects.tagObject = refuse(true);
    await expect(seal()).rejects.toMatchObject({ retryable: true });
    expect(world.indexEntries()).toEqual([]);
    world.objects.tagObject = refuse(false);
    world.advance(120);
    expect(await seal()).toMatchObject({ outcome: 'sealed', state: 'complete' });

    const [entry] = world.indexEntries();
    expect(entry?.faults).toEqual([{ code: 'RetentionNotSet', message: 's3:PutObjectTagging' }]);
    expect(await world.lockHolder()).toBeUndefined();
  });

  it('completes streams whose part numbers have gaps, and finds the end before the seek table', async () => {
    const sizes = new FrameSizes();
    for (let n = 0; n < 1_000; n += 1) sizes.add(n, n);
    await world.runAgent({
      fullPartCount: 3,
      partNumbers: [1, 2, 17, 55],
      seekTable: seekTable([sizes]),
    });

    expect(await seal()).toMatchObject({ outcome: 'sealed', state: 'complete' });
    const [entry] = world.indexEntries();
    expect(entry?.faults).toEqual([]);
    expect(entry?.objects.heapDump).toMatchObject({
      partCount: 4,
      endFrameBytes: endFrames(0).endFrameBytes,
      seekTableBytes: 8_017,
    });
  });

  it('finds no end before a seek table that is larger than the object', async () => {
    const sizes = new FrameSizes();
    const table = Buffer.from(seekTable([sizes]));
    table.writeUInt32LE(2 ** 32 - 1, table.length - 9);
    await world.runAgent({ fullPartCount: 0, seekTable: table });

    expect(await seal()).toMatchObject({ state: 'salvaged' });
    expect(world.indexEntries()[0]?.faults[0]?.code).toBe('EndRecordMissing');
  });

  it('changes nothing when the notification comes again', async () => {
    await world.runAgent();
    await seal();
    const before = world.indexEntries();
    world.advance(10);

    const answer = await seal();

    expect(answer).toMatchObject({ outcome: 'ignored', reason: 'AlreadyFinished' });
    expect(world.indexEntries()).toEqual(before);
    expect(world.cluster.events).toHaveLength(2);
  });

  it('lets one of two runs at once finish and asks the other to come again', async () => {
    await world.runAgent();

    const results = await Promise.allSettled([seal(), seal()]);

    const fulfilled = results.filter((result) => result.status === 'fulfilled');
    expect(fulfilled).toMatchObject([{ value: { outcome: 'sealed', state: 'complete' } }]);
    expect(results.find((result) => result.status === 'rejected')?.reason).toMatchObject({
      code: 'FinishBusy',
      retryable: true,
    });
    expect(world.indexEntries()).toHaveLength(1);
  });

  it('leaves one entry and no fault when sweep comes at the same time', async () => {
    await world.runAgent();
    world.nowMillis = Date.parse(record.leaseExpireTime) + 1;

    const [sealed, swept] = await Promise.allSettled([
      seal(),
      sweepCaptures(world.finishDeps(), { limit: 10 }),
    ]);

    expect(swept.status).toBe('fulfilled');
    expect([sealed.status, world.indexEntries()[0]?.state]).toContain('complete');
    expect(world.indexEntries()).toHaveLength(1);
    expect(await world.lockHolder()).toBeUndefined();
  });

  it('calls a dump salvaged that the JVM did not end itself', async () => {
    await world.runAgent({ endRecord: false });

    const answer = await seal();

    expect(answer).toMatchObject({ state: 'salvaged' });
    expect(world.indexEntries()[0]?.reason).toMatch(/^DumpTruncated: .*109 bytes were appended/);
    expect(world.cluster.events.at(-1)).toMatchObject({ reason: 'HeapDumpSalvaged' });
  });

  it('keeps the lock for a while of a dump that the agent gave up and the JVM goes on with', async () => {
    await world.runAgent({ endRecord: false, manifest: { dumpGoesOn: true } });

    expect(await seal()).toMatchObject({ outcome: 'sealed', state: 'salvaged' });

    expect(await world.lockHolder()).toBe(record.captureId);
    world.cluster.pod = podFacts({ podName: 'cart-2', podUid: 'uid-2' });
    const other = () =>
      startCapture(
        world.captureDeps(),
        signal({ podName: 'cart-2', observedTime: new Date(world.nowMillis).toISOString() }),
      );
    expect(await other()).toMatchObject({ decision: 'skip', reason: 'LockHeld' });
    world.advance(1_000);
    expect(await other()).toMatchObject({ reason: 'Started' });
  });

  it('keeps the evidence and says why when there is no dump', async () => {
    const faults = [{ code: 'AttachDisabled', message: 'the JVM refuses attach' }];
    world.cluster.pod = podFacts();
    await world.runAgent({ diesBeforeManifest: true, fullPartCount: 0, lostParts: [1] });
    const keys = objectKeys(record.objectPrefix);
    const { manifestUrl } = world.ticket();
    const manifest = manifestOf(record, { faults });
    await world.objects.putByUrl(manifestUrl, json(manifest));

    const answer = await seal();

    expect(answer).toMatchObject({
      state: 'evidence-only',
      reason: 'AttachDisabled: the JVM refuses attach',
    });
    expect(world.objects.objects.has(keys.evidence('threads'))).toBe(true);
    expect(world.objects.uploads.size).toBe(0);
  });

  it('fails a capture that saved nothing, gives its limits back, and warns the pod', async () => {
    const faults = [{ code: 'JvmNotFound', message: 'no JVM in container app' }];
    await world.objects.putByUrl(world.ticket().manifestUrl, json(manifestOf(record, { faults })));

    const answer = await seal();

    expect(answer).toMatchObject({
      state: 'failed',
      reason: 'JvmNotFound: no JVM in container app',
    });
    expect(world.cluster.events.at(-1)).toMatchObject({ type: 'Warning', reason: 'CaptureFailed' });
    world.advance(1);
    const again = await startCapture(
      world.captureDeps(),
      signal({ observedTime: '2026-01-01T12:01:00.000Z' }),
    );
    expect(again.reason).toBe('Started');
  });

  it('keeps parts of a dump of which the agent gave no account', async () => {
    await world.runAgent({ diesBeforeEnd: true });
    const faults = [{ code: 'DumpFailed', message: 'the JVM ended' }];
    await world.objects.putByUrl(world.ticket().manifestUrl, json(manifestOf(record, { faults })));

    const answer = await seal();

    expect(answer).toMatchObject({ state: 'salvaged' });
    expect(findEndFrame(storedDump().subarray(-1_024))).toBeDefined();
  });

  it('salvages the parts before one that is not stored', async () => {
    await world.runAgent({ fullPartCount: 3, lostParts: [3] });

    const answer = await seal();

    expect(answer).toMatchObject({
      state: 'salvaged',
      reason: 'PartsMismatch: part 3 is not stored',
    });
    const dump = storedDump();
    expect(dump.subarray(0, 2 * partBytes).every((byte) => byte === 7)).toBe(true);
    expect(dump.byteLength).toBeGreaterThan(2 * partBytes);
    expect(findEndFrame(dump.subarray(-1_024))).toBe(dump.byteLength - 2 * partBytes);
  });

  it('trusts no part whose checksum is another one', async () => {
    await world.runAgent({ fullPartCount: 2 });
    const { heapDump } = world.ticket();
    await world.objects.putByUrl(heapDump!.partUrls[1]!, Buffer.alloc(partBytes, 9));

    const answer = await seal();

    expect(answer).toMatchObject({ state: 'salvaged' });
    expect(world.indexEntries()[0]?.reason).toBe(
      'PartsMismatch: part 2 has another checksum than the manifest says',
    );
  });

  it('makes the object of the manifest’s parts alone and names any others', async () => {
    await world.runAgent();
    await world.objects.putByUrl(world.ticket().heapDump!.partUrls[9]!, Buffer.alloc(10));

    const answer = await seal();

    expect(answer).toMatchObject({ state: 'complete' });
    expect(world.indexEntries()[0]?.faults).toMatchObject([{ code: 'PartsUnexpected' }]);
  });

  it('does not call complete what does not end in an end record', async () => {
    const { partUrls } = world.ticket().heapDump!;
    const manifest = await world.runAgent({ fullPartCount: 0, diesBeforeManifest: true });
    const junk = Buffer.alloc(manifest.dump!.compressedBytes, 1);
    const eTag = await world.objects.putByUrl(partUrls[0]!, junk);
    const [part] = manifest.dump!.parts;
    const dump = { ...manifest.dump!, parts: [{ ...part!, eTag }] };
    await world.objects.putByUrl(world.ticket().manifestUrl, json({ ...manifest, dump }));

    const answer = await seal();

    expect(answer).toMatchObject({ state: 'salvaged' });
    expect(world.indexEntries()[0]?.faults[0]?.code).toBe('EndRecordMissing');
  });

  it('holds the object against the checksum of the whole', async () => {
    const manifest = await world.runAgent();

    await seal();

    const { parts } = manifest.dump!;
    const { heapDump } = world.indexEntries()[0]!.objects;
    expect(heapDump?.compositeMd5).toBe(compositeMd5(parts));
    expect(md5(Buffer.concat(parts.map((part) => Buffer.from(part.md5, 'hex'))))).toBe(
      heapDump?.compositeMd5?.split('-')[0],
    );
  });

  it('does not call complete an object that S3 joined otherwise, nor gives it a checksum', async () => {
    await world.runAgent();
    const { uploadId } = record.started!;
    const key = objectKeys(record.objectPrefix).heapDump;
    const parts = await world.objects.listParts(key, uploadId!);
    await world.objects.completeMultipartUpload(key, uploadId!, parts!);
    const object = world.objects.objects.get(key)!;
    world.objects.objects.set(key, { ...object, eTag: `"${'0'.repeat(32)}-${parts!.length}"` });

    const answer = await seal();

    const [entry] = world.indexEntries();
    expect(answer).toMatchObject({ state: 'salvaged' });
    expect(entry?.faults[0]?.code).toBe('ChecksumMismatch');
    expect(entry?.objects.heapDump).not.toHaveProperty('compositeMd5');
  });

  it('does not call complete what the manifest gives another checksum than its parts make', async () => {
    const manifest = await world.runAgent();
    const dump = { ...manifest.dump!, compositeMd5: `${'0'.repeat(32)}-3` };
    await world.objects.putByUrl(world.ticket().manifestUrl, json({ ...manifest, dump }));

    expect(await seal()).toMatchObject({ state: 'salvaged' });
    expect(world.indexEntries()[0]?.faults[0]?.code).toBe('ChecksumMismatch');
  });

  it('takes eTags that are no checksums for what they are, as under SSE-KMS', async () => {
    const manifest = await world.runAgent();
    const { uploadId } = record.started!;
    const key = objectKeys(record.objectPrefix).heapDump;
    const { parts: stored } = world.objects.uploads.get(uploadId!)!;
    for (const { stored: part } of stored.values()) part.eTag = `"${md5(Buffer.from(part.eTag))}"`;
    const eTags = await world.objects.listParts(key, uploadId!);
    const parts = manifest.dump!.parts.map((part, index) => ({ ...part, ...eTags![index] }));
    const dump = { ...manifest.dump!, parts };
    await world.objects.putByUrl(world.ticket().manifestUrl, json({ ...manifest, dump }));
    const complete = world.objects.completeMultipartUpload;
    world.objects.completeMultipartUpload = async (...args) => {
      const outcome = await complete(...args);
      const object = world.objects.objects.get(key)!;
      world.objects.objects.set(key, { ...object, eTag: `"${'f'.repeat(32)}-${parts.length}"` });
      return outcome;
    };

    expect(await seal()).toMatchObject({ state: 'complete' });
    expect(world.indexEntries()[0]?.objects.heapDump?.compositeMd5).toBe(
      compositeMd5(manifest.dump!.parts),
    );
  });

  it('recognizes a completion whose reply was lost', async () => {
    await world.runAgent();
    const { uploadId } = record.started!;
    const key = objectKeys(record.objectPrefix).heapDump;
    const parts = await world.objects.listParts(key, uploadId!);
    await world.objects.completeMultipartUpload(key, uploadId!, parts!);

    const answer = await seal();

    expect(answer).toMatchObject({ state: 'complete' });
  });

  it('names evidence that differs from the manifest, and keeps it', async () => {
    await world.runAgent();
    const key = objectKeys(record.objectPrefix).evidence('threads');
    await world.objects.putObject(key, Buffer.from('other'), { contentType: 'text/plain' });

    await seal();

    const [entry] = world.indexEntries();
    expect(entry?.faults).toMatchObject([{ code: 'EvidenceMismatch' }]);
    expect(entry?.objects.evidence.map(({ artifact }) => artifact)).toContain('threads');
  });

  it.each<[string, (world: World) => Promise<unknown>]>([
    ['another captureId', (w) => forge(w, { captureId: 'a'.repeat(32) })],
    ['another token', (w) => forge(w, { fencingToken: 7 })],
    ['unknown fields', (w) => forge(w, { extra: 1 })],
    ['text that is not JSON', (w) => put(w, Buffer.from('{'))],
    ['nine MiB', (w) => put(w, Buffer.alloc(9 * 1024 * 1024, 32))],
  ])('ignores a manifest with %s and leaves the capture to sweep', async (_name, write) => {
    await world.runAgent({ diesBeforeManifest: true });
    await write(world);

    const answer = await seal();

    expect(answer).toMatchObject({ outcome: 'ignored', reason: 'ManifestRefused' });
    expect(world.indexEntries()).toEqual([]);
    world.nowMillis = Date.parse(record.leaseExpireTime) + 1;
    await sweepCaptures(world.finishDeps(), { limit: 10 });
    expect(world.indexEntries()).toMatchObject([{ state: 'salvaged' }]);
    expect(world.indexEntries()[0]?.faults.map(({ code }) => code)).toContain('ManifestRefused');
  });

  it('ignores manifests of unknown captures and of other prefixes', async () => {
    await world.runAgent();
    const unknown = { captureId: 'b'.repeat(32), prefixes: [record.objectPrefix] };

    const answers = [await sealCapture(world.finishDeps(), unknown), await seal('dumps/other/')];

    expect(answers).toMatchObject([{ reason: 'UnknownCapture' }, { reason: 'ForeignPrefix' }]);
    expect(await world.lockHolder()).toBe(record.captureId);
  });

  it('seals though the cluster cannot be reached', async () => {
    await world.runAgent();
    world.cluster.postPodEvent = () =>
      Promise.reject(new CaptureError('ClusterUnavailable', 'down', { retryable: true }));

    const answer = await seal();

    expect(answer).toMatchObject({ state: 'complete' });
    expect(world.logLines.join('')).toContain('Event not posted');
  });

  it('shows the rung that ran, where the planned one had refused', async () => {
    await world.runAgent({ manifest: { rung: 'ephemeralContainer' } });

    await seal();

    expect(world.indexEntries()[0]?.how.rung).toBe('ephemeralContainer');
  });

  it('keeps the whole end frame apart, so that the dump’s last bytes are the end record', async () => {
    await world.runAgent();

    await seal();

    const tail = storedDump().subarray(
      -(world.indexEntries()[0]?.objects.heapDump?.endFrameBytes ?? 0),
    );
    expect(zstdDecompressSync(tail).toString('hex')).toBe('2c0000000000000000');
  });
});

function manifestOf(record: CaptureRecord, changes: Record<string, unknown>) {
  const times = { startTime: record.acquireTime, endTime: record.acquireTime };
  return {
    schemaVersion: 1,
    captureId: record.captureId,
    fencingToken: record.fencingToken,
    rung: 'nodeAgent',
    agentVersion: '0.1.0',
    times,
    evidence: [],
    faults: [],
    ...changes,
  };
}

async function forge(world: World, changes: Record<string, unknown>): Promise<unknown> {
  return put(world, json(manifestOf(await world.record(), changes)));
}

function put(world: World, body: Buffer): Promise<unknown> {
  return world.objects.putByUrl(world.ticket().manifestUrl, body);
}
