import { describe, expect, it, jest } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { manifestSchema, progressSchema } from '../../lib/capture/manifest.ts';
import type { SealedObject } from '../../lib/capture/sealed-frames.ts';
import { SealedReader, type SealedAccount } from '../../lib/capture/sealed-reader.ts';
import { settleDump } from '../../lib/capture/settle-dump.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import { objectKeysOf } from '../../lib/dump-index/object-keys.ts';
import type { Artifact } from '../../lib/policy/policy.ts';
import type { FakeBucket } from '../agent/fake-bucket.ts';
import { captureId, ticketFor } from '../agent/tickets.ts';
import { MemoryObjectStore } from '../capture/memory-object-store.ts';
import { type AgentLab, dumpOf, marker, walkStored, withoutSeekTable } from './agent-lab.ts';
import { jdksUnderTest } from './jdks.ts';
import { freshLabs, orderAt } from './lab-of-each-test.ts';

jest.setTimeout(60_000);

let lab: AgentLab;
let bucket: FakeBucket;
const dataKey = randomBytes(32);

freshLabs((fresh) => {
  ({ lab, bucket } = fresh);
});

function capture(): ReturnType<AgentLab['startAgent']> {
  const ticket = ticketFor(bucket, {
    directories: [lab.dumps],
    change: { encryption: { algorithm: 'AES-256-GCM', dataKey: dataKey.toString('base64') } },
  });
  return lab.startAgent('capture', orderAt(bucket, ticket));
}

function read(artifact: Artifact, stored: Buffer): { bytes: Buffer; account: SealedAccount } {
  const object: SealedObject = { captureId, fencingToken: 1, artifact, dataKey };
  const reader = new SealedReader(object);
  const bytes = Buffer.concat(reader.push(stored));
  return { bytes, account: reader.finish() };
}

describe.each(jdksUnderTest().map((jdk) => [jdk.version, jdk] as const))(
  'encryption of a dump of JDK %s',
  (_version, jdk) => {
    it('stores nothing that can be read without the key, and everything with it', async () => {
      await lab.startJvm(jdk, 'RandomHeap', { args: ['30', '0', marker] });

      const { code, log } = await capture().ended;

      expect(code).toBe(0);
      expect(log).not.toContain(dataKey.toString('base64'));
      const stored = Buffer.concat(bucket.parts('/dump/'));
      expect(stored.includes(marker)).toBe(false);
      expect(walkStored(stored)).toMatchObject({ found: false });
      const dump = read('heapDump', withoutSeekTable(stored));
      expect(walkStored(dump.bytes)).toMatchObject({ ended: true, found: true });
      expect(dump.account).toMatchObject({ whole: true, gapFrameCount: 0, plainFrameCount: 1 });
      const manifest = manifestSchema.parse(bucket.json('/manifest.json'));
      expect(walkStored(dump.bytes).bytes).toBe(dumpOf(manifest).rawBytes);
      const threads = read('threads', bucket.objects.get('/threads.txt')!);
      expect(threads.bytes.toString()).toContain('"main"');
      expect(threads.account.whole).toBe(true);
    });

    it('lets a dump be salvaged without the key when its agent is killed', async () => {
      await lab.startJvm(jdk, 'RandomHeap', { args: ['60', '0', marker] });
      const enough = new Promise<void>((resolve) => {
        bucket.onStored = () => {
          if (bucket.objects.has('/dump/1') && bucket.parts('/dump/').length > 4) resolve();
        };
      });
      // Part 1, without which nothing can be salvaged, need not be the first to arrive.
      bucket.onPut = ({ path }) =>
        path.startsWith('/dump/') && path !== '/dump/1' && bucket.parts('/dump/').length > 6
          ? 'stall'
          : undefined;

      const agent = capture();
      await enough;
      agent.child.kill('SIGKILL');
      await agent.ended;

      const objects = new MemoryObjectStore();
      const key = objectKeysOf({
        objectPrefix: 'dumps/',
        policy: { encrypt: true },
      } as CaptureRecord);
      const uploadId = await objects.createMultipartUpload(
        key.heapDump,
        'application/octet-stream',
      );
      for (const [path, body] of bucket.objects) {
        const [, partNumber] = /^\/dump\/(\d+)$/.exec(path) ?? [];
        if (partNumber) await objects.uploadPart(key.heapDump, uploadId, Number(partNumber), body);
      }
      const record = { objectPrefix: 'dumps/', policy: { encrypt: true }, started: { uploadId } };
      const progress = progressSchema.parse(bucket.json('/progress.json'));
      const settled = await settleDump(objects, record as unknown as CaptureRecord, { progress });

      expect(settled.state).toBe('salvaged');
      expect(settled.heapDump?.objectKey).toBe('dumps/heap.hprof.zst.enc');
      const dump = read('heapDump', Buffer.from(objects.objects.get(key.heapDump)!.body));
      expect(walkStored(dump.bytes)).toMatchObject({ ended: true });
      expect(walkStored(dump.bytes).bytes).toBeGreaterThan(16 * 1024 * 1024);
      expect(dump.account.whole).toBe(false);
    });
  },
);
