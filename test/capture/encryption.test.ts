import { beforeEach, describe, expect, it } from '@jest/globals';
import { renewTickets } from '../../lib/capture/renew-tickets.ts';
import { sealCapture } from '../../lib/capture/seal.ts';
import { startCapture, type CaptureDeps } from '../../lib/capture/start-capture.ts';
import { ticketSchema } from '../../lib/capture/ticket.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import { objectKeysOf } from '../../lib/dump-index/object-keys.ts';
import { CaptureError } from '../../lib/errors.ts';
import { createMemoryDataKeys } from '../../lib/local/memory-data-keys.ts';
import type { Policy } from '../../lib/policy/policy.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import { podFacts } from './fake-cluster.ts';
import { json, signal, startTime, World } from './world.ts';

describe('a capture of a pod that asks for encryption', () => {
  let world: World;
  let dataKeys: CaptureDeps['dataKeys'];
  beforeEach(() => {
    world = new World();
    world.cluster.pod = podFacts({ annotations: { 'heapcatch.dev/encrypt': 'true' } });
    dataKeys = createMemoryDataKeys();
  });
  const start = (changes = {}) =>
    startCapture({ ...world.captureDeps(), dataKeys }, signal(changes));

  it('gives the agent the plain data key, and the index the encrypted one', async () => {
    await start();
    const ticket = world.ticket();
    const record = await world.record();
    await world.runAgent();
    await sealCapture(world.finishDeps(), {
      captureId: record.captureId,
      prefixes: [record.objectPrefix],
    });

    const [entry] = world.indexEntries();
    expect(entry?.state).toBe('complete');
    expect(entry?.objects.heapDump?.objectKey).toMatch(/\/heap\.hprof\.zst\.enc$/);
    expect(entry?.objects.evidence.map(({ objectKey }) => objectKey.slice(-8))).toEqual(
      entry?.objects.evidence.map(() => '.txt.enc'),
    );
    const { encryption } = entry!.objects;
    expect(encryption?.context).toEqual({
      captureId: record.captureId,
      fencingToken: String(record.fencingToken),
      bucketName: 'dumps',
    });
    const key = Buffer.from(await dataKeys!.decrypt(encryption!)).toString('base64');
    expect(key).toBe(ticket.encryption?.dataKey);
    for (const text of [...world.logLines, JSON.stringify(record), JSON.stringify(entry)]) {
      expect(text).not.toContain(key);
    }
  });

  it('is encrypted also when the signal brings a policy that does not know', async () => {
    await start({ policy: defaultPolicy });

    expect(world.ticket().encryption?.algorithm).toBe('AES-256-GCM');
  });

  it('keeps its key when its ticket is renewed, and its objects their names', async () => {
    await start();
    const first = world.ticket();
    const { captureId, fencingToken } = first;
    world.advance(400);
    await world.objects.putByUrl(
      first.progressUrl,
      json({
        ...{ schemaVersion: 1, captureId, fencingToken, time: startTime, step: 'heapDump' },
        ...{ rawBytes: 0, compressedBytes: 0, sentBytes: 0, sentPartCount: 0, openParts: [] },
        renewalWish: { number: 1 },
      }),
    );

    await renewTickets(world.finishDeps(), { limit: 10 });

    const renewed = world.ticket();
    expect(renewed.renewal?.number).toBe(1);
    expect(renewed.encryption).toEqual(first.encryption);
    expect(renewed.evidence.every(({ putUrl }) => putUrl.includes('.txt.enc'))).toBe(true);
    await world.objects.putByUrl(renewed.heapDump!.partUrls[0]!, Buffer.from('part'));
  });

  it('does not begin without a key, and says so on the pod', async () => {
    dataKeys = undefined;

    const answer = await start();

    expect(answer).toMatchObject({ decision: 'failed', reason: 'EncryptionUnavailable' });
    expect(answer.message).toContain('encryptionKeyArn');
    expect(world.cluster.events).toMatchObject([{ reason: 'CaptureFailed' }]);
    expect(world.objects.uploads.size).toBe(0);
    expect(await world.lockHolder()).toBeUndefined();
  });

  it.each([true, false])(
    'gives its claim back when the key is refused (retryable: %s)',
    async (retryable) => {
      const refusal = new CaptureError('EncryptionUnavailable', 'KMS key refused', { retryable });
      dataKeys = { ...dataKeys!, generate: () => Promise.reject(refusal) };

      await expect(start()).rejects.toBe(refusal);

      expect(world.objects.uploads.size).toBe(0);
      expect(world.objects.keysUnder('tickets/')).toEqual([]);
      expect(await world.lockHolder()).toBeUndefined();
    },
  );

  it('is stored plain, under plain names, where it does not ask', async () => {
    world.cluster.pod = podFacts();

    await start();

    expect(world.ticket()).not.toHaveProperty('encryption');
    const record = await world.record();
    expect(record.started).not.toHaveProperty('encryption');
    expect(objectKeysOf(record).heapDump).toMatch(/heap\.hprof\.zst$/);
  });

  it('counts as plain what an older function claimed', () => {
    const policy: Partial<Policy> = { ...defaultPolicy };
    delete policy.encrypt;
    const record = { objectPrefix: 'dumps/', policy } as unknown as CaptureRecord;

    expect(objectKeysOf(record).heapDump).toBe('dumps/heap.hprof.zst');
  });

  it.each(['', 'c2hvcnQ=', 'not base64 at all, but 32 bytes!'])(
    'has no ticket with a key of %j',
    async (dataKey) => {
      await start();
      const ticket = { ...world.ticket(), encryption: { algorithm: 'AES-256-GCM', dataKey } };

      expect(ticketSchema.safeParse(ticket).success).toBe(false);
    },
  );
});
