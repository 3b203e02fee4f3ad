import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import type { Manifest } from '../../lib/capture/manifest.ts';
import {
  buildIndexEntry,
  parseIndexEntry,
  type IndexEntryInput,
} from '../../lib/dump-index/index-entry.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import { signal } from '../policy/facts.ts';

const captureId = 'abcdefghijklmnop';
const prefix = `dumps/prod/shop/Deployment-cart/8227633599999-${captureId}/`;
const record: CaptureRecord = {
  captureId,
  fencingToken: 3,
  state: 'finishing',
  signal: signal({ expectedKillTime: '2026-03-01T12:00:40Z' }),
  policy: defaultPolicy,
  workload: { kind: 'Deployment', name: 'cart' },
  clusterName: 'prod',
  namespace: 'shop',
  podName: 'cart-7f-x',
  podUid: 'uid-1',
  containerName: 'app',
  containerID: 'containerd://aaaa',
  nodeName: 'node-a',
  objectPrefix: prefix,
  lockKey: 'prod/shop/Deployment/cart',
  slotKeys: [],
  acquireTime: '2026-03-01T12:00:02.000Z',
  captureDeadlineTime: '2026-03-01T12:20:02.000Z',
  leaseExpireTime: '2026-03-01T12:26:02.000Z',
  started: {
    rung: 'ephemeralContainer',
    refusedRungs: { nodeAgent: 'not installed on node-a' },
    agentName: 'heapcatch-abc',
    startTime: '2026-03-01T12:00:03.000Z',
  },
};
const manifest: Manifest = {
  schemaVersion: 1,
  captureId,
  fencingToken: 3,
  rung: 'ephemeralContainer',
  agentVersion: '0.1.0',
  times: {
    startTime: '2026-03-01T12:00:04.000Z',
    jvmFoundTime: '2026-03-01T12:00:04.500Z',
    attachTime: '2026-03-01T12:00:05.000Z',
    endTime: '2026-03-01T12:00:09.000Z',
  },
  jvm: { pid: 1, jdkVersion: '25.0.1', collector: 'G1' },
  evidence: [],
  dump: {
    codec: 'zstd',
    rawBytes: 5_000_000_000,
    compressedBytes: 9_000_000,
    sha256: 'a'.repeat(64),
    recordCount: 10,
    endRecord: true,
    appendedBytes: 9,
    endFrameBytes: 22,
    parts: [{ partNumber: 1, bytes: 9_000_000, md5: 'b'.repeat(32), eTag: '"x"' }],
  },
  faults: [{ code: 'AttachFailed', message: 'first try' }],
};
const input: IndexEntryInput = {
  record,
  outcome: 'complete',
  finisher: 'seal',
  sealTime: new Date('2026-03-01T12:00:10Z'),
  manifest,
  evidence: [{ artifact: 'threads', objectKey: `${prefix}threads.txt`, bytes: 12 }],
  heapDump: { objectKey: `${prefix}heap.hprof.zst`, compressedBytes: 9_000_000, partCount: 1 },
};

describe('an index entry', () => {
  it('is built from record and manifest, and reads back the same', () => {
    const entry = buildIndexEntry(input);

    expect(parseIndexEntry(JSON.stringify(entry))).toEqual(entry);
    expect(entry.when).toEqual({
      observedTime: '2026-03-01T12:00:00Z',
      expectedKillTime: '2026-03-01T12:00:40Z',
      acquireTime: '2026-03-01T12:00:02.000Z',
      agentStartTime: '2026-03-01T12:00:04.000Z',
      jvmFoundTime: '2026-03-01T12:00:04.500Z',
      attachTime: '2026-03-01T12:00:05.000Z',
      sealTime: '2026-03-01T12:00:10.000Z',
    });
    expect(entry.how).toEqual({
      rung: 'ephemeralContainer',
      refusedRungs: { nodeAgent: 'not installed on node-a' },
      finisher: 'seal',
      jvm: { pid: 1, jdkVersion: '25.0.1', collector: 'G1' },
    });
    expect(entry.objects.heapDump).toMatchObject({ sha256: 'a'.repeat(64), partCount: 1 });
    expect(entry.objects.heapDump).not.toHaveProperty('parts');
  });

  it('does not give the checksum of the whole dump to a salvaged part of it', () => {
    const heapDump = {
      objectKey: `${prefix}heap.hprof.zst`,
      compressedBytes: 8_000_000,
      partCount: 1,
      endFrameBytes: 22,
    };

    const entry = buildIndexEntry({ ...input, outcome: 'salvaged', finisher: 'sweep', heapDump });

    expect(entry.objects.heapDump).toEqual(heapDump);
  });

  it('says what was redacted: by the agent’s account, or by the order when that is not there', () => {
    const redaction = { mode: 'allPrimitives', zeroedBytes: 12, blankedInstanceCount: 0 } as const;
    const ordered = { ...record, policy: { ...defaultPolicy, redact: 'allPrimitives' as const } };
    const withAccount = { ...manifest, dump: { ...manifest.dump!, redaction } };
    const { manifest: agentsWord, ...unaccounted } = { ...input, record: ordered };

    const sealed = buildIndexEntry({ ...input, record: ordered, manifest: withAccount });
    const salvaged = buildIndexEntry({ ...unaccounted, outcome: 'salvaged', finisher: 'sweep' });

    expect(agentsWord).toBeDefined();
    expect(sealed.objects.heapDump?.redaction).toEqual(redaction);
    expect(salvaged.objects.heapDump?.redaction).toEqual({ mode: 'allPrimitives' });
    expect(buildIndexEntry(input).objects.heapDump).not.toHaveProperty('redaction');
    for (const entry of [sealed, salvaged]) expect(parseIndexEntry(entry)).toEqual(entry);
  });

  it('is built for a capture of which nothing came, by sweep', () => {
    const { started, ...claimed } = record;
    const entry = buildIndexEntry({
      record: claimed,
      outcome: 'failed',
      reason: 'x'.repeat(5_000),
      finisher: 'sweep',
      sealTime: input.sealTime,
      evidence: [],
      faults: Array.from({ length: 60 }, () => ({ code: 'UploadFailed', message: 'no' })),
    });

    expect(parseIndexEntry(entry)).toEqual(entry);
    expect(started).toBeDefined();
    expect(entry.state).toBe('failed');
    expect(entry.how.rung).toBeUndefined();
    expect(entry.how.refusedRungs).toEqual({});
    expect(entry.faults).toHaveLength(40);
  });

  it.each([2, '1', undefined, null])(
    'of schemaVersion %j is refused, and 1 is named',
    (version) => {
      const entry = { ...buildIndexEntry(input), schemaVersion: version };

      expect(() => parseIndexEntry(entry)).toThrow(
        expect.objectContaining({
          code: 'InvalidIndexEntry',
          message: expect.stringContaining('reads schemaVersion 1'),
        }),
      );
    },
  );

  it('names the field that is amiss', () => {
    const entry = { ...buildIndexEntry(input), state: 'sealed' };

    expect(() => parseIndexEntry(entry)).toThrow(/state: .*got "sealed"/);
  });

  it('is a typed error when it is anything else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.string(), fc.json()), (value) => {
        expect(() => parseIndexEntry(value)).toThrow(
          expect.objectContaining({ code: 'InvalidIndexEntry' }),
        );
      }),
    );
  });
});
