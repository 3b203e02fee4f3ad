import { zstdDecompressSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { endFrames, findEndFrame } from '../../lib/capture/end-frames.ts';
import { sealCapture } from '../../lib/capture/seal.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import { sweepCaptures } from '../../lib/capture/sweep.ts';
import { ZstdFrames } from '../../lib/capture/zstd-frames.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import { objectKeys } from '../../lib/dump-index/object-keys.ts';
import { CaptureError } from '../../lib/errors.ts';
import { podFacts } from './fake-cluster.ts';
import { partBytes, signal, World, type AgentRun } from './world.ts';

describe('sweepCaptures', () => {
  let world: World;
  let record: CaptureRecord;
  const sweep = () => sweepCaptures(world.finishDeps(), { limit: 10 });
  const storedDump = (): Buffer =>
    Buffer.from(world.objects.objects.get(objectKeys(record.objectPrefix).heapDump)!.body);

  beforeEach(async () => {
    world = new World();
    await startCapture(world.captureDeps(), signal());
    record = await world.record();
  });

  async function afterLease(run: AgentRun): Promise<ReturnType<typeof sweep>> {
    await world.runAgent(run);
    world.nowMillis = Date.parse(record.leaseExpireTime) + 1;
    return sweep();
  }

  it('leaves captures alone whose lease has not ended', async () => {
    await world.runAgent({ diesBeforeEnd: true });
    world.nowMillis = Date.parse(record.leaseExpireTime) - 1;

    expect(await sweep()).toEqual({ finished: [], left: [], failed: [] });
  });

  describe('of a capture whose agent works in the pod, before its lease ends', () => {
    beforeEach(async () => {
      world = new World();
      world.cluster.nodeAgent = undefined;
      world.cluster.pod = podFacts({}, { runAsUser: 1000 });
      await startCapture(world.captureDeps(), signal());
      record = await world.record();
      await world.runAgent({ diesBeforeEnd: true });
    });

    it.each([
      ['is gone', undefined],
      ['was replaced by one of its name', podFacts({ podUid: 'uid-2' })],
    ])('saves what arrived and frees the lock when the pod %s', async (_name, pod) => {
      world.cluster.pod = pod;

      expect((await sweep()).finished).toMatchObject([{ state: 'salvaged' }]);
      expect(await world.lockHolder()).toBeUndefined();
    });

    it('leaves it alone while the pod is there, or cannot be asked for', async () => {
      expect(await sweep()).toEqual({ finished: [], left: [], failed: [] });

      world.cluster.readPod = () =>
        Promise.reject(new CaptureError('ClusterUnavailable', 'no answer', { retryable: true }));
      expect(await sweep()).toEqual({ finished: [], left: [], failed: [] });
    });
  });

  it('leaves a capture of the agent on the node alone though the pod is gone: it may still be sending', async () => {
    await world.runAgent({ diesBeforeEnd: true });
    world.cluster.pod = undefined;

    expect(await sweep()).toEqual({ finished: [], left: [], failed: [] });
  });

  it('appends the end record to what arrived, frees the lock and says salvaged', async () => {
    const answer = await afterLease({ diesBeforeEnd: true });

    expect(answer.finished).toMatchObject([{ captureId: record.captureId, state: 'salvaged' }]);
    const dump = storedDump();
    const { body } = endFrames(0);
    expect(dump.subarray(2 * partBytes).equals(body)).toBe(true);
    expect(world.indexEntries()).toMatchObject([
      { state: 'salvaged', how: { finisher: 'sweep', jvm: { jdkVersion: '21' } } },
    ]);
    expect(world.indexEntries()[0]?.objects.evidence).toHaveLength(5);
    expect(await world.lockHolder()).toBeUndefined();
    expect(world.cluster.events.at(-1)).toMatchObject({ reason: 'HeapDumpSalvaged' });
  });

  it('fills the record that the last part ends in with zeros', async () => {
    const openParts = [{ partNumber: 2, remainingBytes: 9_000_000 }];

    await afterLease({ diesBeforeEnd: true, progress: { openParts } });

    expect(
      storedDump()
        .subarray(2 * partBytes)
        .equals(endFrames(9_000_000).body),
    ).toBe(true);
  });

  it('does not believe that more is missing of a record than a record can have', async () => {
    const openParts = [{ partNumber: 2, remainingBytes: 2 ** 40 }];

    await afterLease({ diesBeforeEnd: true, progress: { openParts } });

    expect(
      storedDump()
        .subarray(2 * partBytes)
        .equals(endFrames(0).body),
    ).toBe(true);
    expect(world.indexEntries()[0]?.faults.map(({ code }) => code)).toContain(
      'OpenPartImplausible',
    );
  });

  it('passes over a lost part where records are whole without it', async () => {
    await afterLease({ diesBeforeEnd: true, fullPartCount: 4, lostParts: [3] });

    expect(storedDump().byteLength).toBe(3 * partBytes + endFrames(0).body.byteLength);
    expect(world.indexEntries()[0]?.objects.heapDump?.partCount).toBe(4);
  });

  it.each([2, 3])(
    'ends before a lost part when part %i ends inside a record',
    async (partNumber) => {
      const openParts = [{ partNumber, remainingBytes: 1_000 }];
      const fill = partNumber === 2 ? 1_000 : 0;

      await afterLease({
        diesBeforeEnd: true,
        fullPartCount: 4,
        lostParts: [3],
        progress: { openParts },
      });

      expect(
        storedDump()
          .subarray(2 * partBytes)
          .equals(endFrames(fill).body),
      ).toBe(true);
    },
  );

  describe('of a dump in several streams', () => {
    const streams = [1, 17, 55, 93];
    const partNumbers = [1, 17, 18, 55, 56];
    const all = { diesBeforeEnd: true, fullPartCount: 5, partNumbers } as const;

    it('joins what arrived of each, in the order of the dump', async () => {
      await afterLease({ ...all, progress: { streams } });

      expect(storedDump().length).toBe(5 * partBytes + endFrames(0).body.length);
    });

    it('fills the record that a segment ends in before the next one follows', async () => {
      const openParts = [{ partNumber: 18, remainingBytes: 9_000_000 }];

      await afterLease({ ...all, progress: { streams, openParts } });

      const dump = storedDump();
      expect(dump.length).toBe(6 * partBytes + endFrames(0).body.length);
      const filling = dump.subarray(3 * partBytes, 4 * partBytes);
      const raw = new ZstdFrames().push(filling).map((frame) => zstdDecompressSync(frame));
      expect(raw.reduce((sum, { length }) => sum + length, 0)).toBe(9_000_000);
      expect(new ZstdFrames().push(dump.subarray(6 * partBytes))).toHaveLength(1);
    });

    it.each<[string, { open: number[]; lost: number[]; left: number }]>([
      ['a part in the middle that ends on a boundary', { open: [], lost: [17], left: 4 }],
      ['what follows a lost part that was open', { open: [17], lost: [17], left: 3 }],
      ['a whole segment', { open: [], lost: [17, 18], left: 3 }],
    ])('goes on without %s', async (_name, { open, lost, left }) => {
      const openParts = open.map((partNumber) => ({ partNumber, remainingBytes: 1_000 }));

      await afterLease({ ...all, lostParts: lost, progress: { streams, openParts } });

      expect(storedDump().length).toBe(left * partBytes + endFrames(0).body.length);
    });

    it('has no use for segments without the base', async () => {
      const answer = await afterLease({ ...all, lostParts: [1], progress: { streams } });

      expect(answer.finished[0]?.reason).toMatch(/^FirstPartMissing/);
    });
  });

  it('appends nothing where the agent had sent its own end', async () => {
    await afterLease({ diesBeforeManifest: true });

    const dump = storedDump();
    expect(dump.subarray(2 * partBytes).equals(endFrames(100).body)).toBe(true);
    expect(findEndFrame(dump.subarray(-1_024))).toBeDefined();
  });

  it('appends nothing to a large last part that the agent announced as its end', async () => {
    await world.runAgent({ diesBeforeEnd: true, progress: { finalPartNumber: 2 } });
    const last = Buffer.concat([Buffer.alloc(partBytes, 7), endFrames(0).body]);
    await world.objects.putByUrl(world.ticket().heapDump!.partUrls[1]!, last);
    world.nowMillis = Date.parse(record.leaseExpireTime) + 1;

    await sweep();

    expect(storedDump().byteLength).toBe(partBytes + last.byteLength);
    expect(findEndFrame(storedDump().subarray(-1_024))).toBeDefined();
  });

  it('seals by the manifest whose notification was lost', async () => {
    const answer = await afterLease({});

    expect(answer.finished).toMatchObject([{ state: 'complete' }]);
    expect(world.indexEntries()).toMatchObject([{ state: 'complete', how: { finisher: 'sweep' } }]);
  });

  it('keeps evidence where no part of a dump arrived', async () => {
    const answer = await afterLease({ diesBeforeEnd: true, fullPartCount: 0 });

    expect(answer.finished).toMatchObject([{ state: 'evidence-only' }]);
    expect(world.indexEntries()[0]?.reason).toMatch(/^NothingArrived/);
    expect(world.objects.uploads.size).toBe(0);
  });

  it('keeps an upload without its first part for a person, and says so', async () => {
    const answer = await afterLease({ diesBeforeEnd: true, lostParts: [1] });

    expect(answer.finished[0]?.reason).toMatch(/^FirstPartMissing/);
    expect(world.objects.uploads.size).toBe(1);
  });

  it('fails an agent that never began, aborts its upload and gives the limits back', async () => {
    world.nowMillis = Date.parse(record.leaseExpireTime) + 1;

    const answer = await sweep();

    expect(answer.finished).toMatchObject([{ state: 'failed' }]);
    expect(world.objects.uploads.size).toBe(0);
    expect(world.objects.keysUnder('tickets/')).toEqual([]);
    const observedTime = new Date(world.nowMillis).toISOString();
    const again = await startCapture(world.captureDeps(), signal({ observedTime }));
    expect(again.reason).toBe('Started');
  });

  it('fails a claim that was never started', async () => {
    world = new World();
    const { claims } = world;
    world.claims = { ...claims, markStarted: () => new Promise(() => undefined) };
    void startCapture(world.captureDeps(), signal());
    while (world.objects.uploads.size === 0) await new Promise((resolve) => setImmediate(resolve));
    world.claims = claims;
    world.nowMillis = Date.parse(record.leaseExpireTime) + 1;

    const answer = await sweep();

    expect(answer.finished[0]?.reason).toMatch(/^AgentNotStarted/);
    expect(world.indexEntries()).toMatchObject([{ state: 'failed' }]);
    expect(await world.lockHolder()).toBeUndefined();
  });

  it('goes on with the others when one capture cannot be finished', async () => {
    const broken = objectKeys(record.objectPrefix).progress;
    world.cluster.pod = podFacts({
      podName: 'pay-1',
      podUid: 'uid-pay',
      nodeName: 'node-2',
      workload: { kind: 'Deployment', name: 'pay' },
    });
    await startCapture(world.captureDeps(), signal({ podName: 'pay-1' }));
    const { headObject } = world.objects;
    world.objects.headObject = (objectKey) =>
      objectKey === broken
        ? Promise.reject(new CaptureError('ObjectStoreUnavailable', '503', { retryable: true }))
        : headObject(objectKey);
    world.advance(86_400);

    const answer = await sweep();

    expect(answer.failed).toMatchObject([{ captureId: record.captureId, message: '503' }]);
    expect(answer.finished).toHaveLength(1);
  });

  it('begins no capture that it has no time for', async () => {
    world.nowMillis = Date.parse(record.leaseExpireTime) + 1;
    world.remainingMillis = 19_999;

    expect((await sweep()).left).toEqual([{ captureId: record.captureId, reason: 'OutOfTime' }]);
  });

  it('frees no lock that another capture has taken since', async () => {
    await world.runAgent({ diesBeforeEnd: true });
    world.nowMillis = Date.parse(record.leaseExpireTime) + 1;
    world.advance(600);
    const observedTime = new Date(world.nowMillis).toISOString();
    const next = await startCapture(world.captureDeps(), signal({ observedTime }));
    expect(next.reason).toBe('Started');

    await sweep();

    expect(await world.lockHolder()).toBe(next.captureId);
    expect(world.indexEntries()).toMatchObject([{ captureId: record.captureId }]);
  });

  it('ignores a manifest that comes when sweep has finished', async () => {
    await afterLease({ diesBeforeManifest: true });
    await world.runAgentsLateManifest(record);

    const { captureId, objectPrefix } = record;
    const answer = await sealCapture(world.finishDeps(), { captureId, prefixes: [objectPrefix] });

    expect(answer).toMatchObject({ outcome: 'ignored', reason: 'AlreadyFinished' });
    expect(world.indexEntries()).toHaveLength(1);
  });
});
