import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Progress } from '../../lib/capture/manifest.ts';
import { percentOf, progressWords } from '../../lib/capture/progress-words.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import { objectKeys } from '../../lib/dump-index/object-keys.ts';
import { podFacts } from './fake-cluster.ts';
import { signal, World } from './world.ts';

const MiB = 1024 * 1024;
const now = new Date('2026-01-01T12:00:10Z');
const progress: Progress = {
  ...{ schemaVersion: 1, captureId: 'abcdefghijklmnop', fencingToken: 1 },
  ...{ time: '2026-01-01T12:00:08Z', step: 'heapDump', openParts: [], sentPartCount: 3 },
  ...{ rawBytes: 620 * MiB, compressedBytes: 200 * MiB, sentBytes: 180 * MiB },
  estimate: {
    ...{ expectedBytes: 1_000 * MiB, basedOn: 'heapUsedBytes' },
    ...{ rawBytesPerSecond: MiB, sentBytesPerSecond: MiB, remainingSeconds: 40 },
  },
};
const { estimate, ...untold } = progress;
const endless = { ...estimate! };
delete endless.remainingSeconds;

describe('progressWords', () => {
  it.each<[string, Progress, string]>([
    [
      'a dump',
      progress,
      'heapDump: 62 % (620 MiB read, 180 MiB sent, about 1000 MiB expected), about 40 s left (estimate), as of 2 s ago',
    ],
    [
      'a dump of which the end cannot be told',
      { ...progress, estimate: endless },
      'heapDump: 62 % (620 MiB read, 180 MiB sent, about 1000 MiB expected), time left unknown, as of 2 s ago',
    ],
    [
      'an agent that tells no estimate',
      untold,
      'heapDump: 620 MiB read, 180 MiB sent, as of 2 s ago',
    ],
    ['evidence', { ...untold, step: 'threads' }, 'threads is being collected, as of 2 s ago'],
    ['the end', { ...untold, step: 'done' }, 'everything is stored, as of 2 s ago'],
  ])('of %s', (_what, some, expected) => {
    expect(progressWords(some, now)).toBe(expected);
  });
});

describe('percentOf', () => {
  it.each([
    [0, 100, 0],
    [50, 100, 50],
    [100, 100, 99],
    [3 * 2 ** 40, 2 ** 41, 99],
    [0, 0, 99],
  ])('of %i of %i bytes is %i', (raw, expectedBytes, percent) => {
    expect(percentOf(raw, expectedBytes)).toBe(percent);
  });
});

describe('the answer to a signal while a capture runs', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await start();
  });

  const start = (changes: Parameters<typeof signal>[0] = {}) =>
    startCapture(world.captureDeps(), signal(changes));

  async function tell(changes: Partial<Progress> = {}): Promise<void> {
    const { captureId, fencingToken, objectPrefix } = await world.record();
    const time = new Date(world.nowMillis).toISOString();
    const told = { ...progress, captureId, fencingToken, time, ...changes };
    const body = Buffer.from(JSON.stringify(told));
    await world.objects.putObject(objectKeys(objectPrefix).progress, body, {
      contentType: 'application/json',
    });
  }

  it.each([false, true])('says how far it is (dryRun: %s)', async (dryRun) => {
    await tell();
    world.advance(2);

    const answer = await start({ dryRun });

    expect(answer.reason).toBe('AlreadyCaptured');
    expect(answer.message).toContain('62 % (620 MiB read');
    expect(answer.message).toContain('about 40 s left (estimate), as of 2 s ago');
  });

  it('says it to another replica, and to its pod', async () => {
    await tell();
    world.cluster.pod = podFacts({ podName: 'cart-2', podUid: 'uid-2' });

    const answer = await start({ podName: 'cart-2' });

    expect(answer).toMatchObject({
      reason: 'LockHeld',
      message: expect.stringContaining('about 40 s left'),
    });
    expect(world.cluster.events.at(-1)?.message).toContain('about 40 s left');
  });

  it.each<[string, () => Promise<void>]>([
    ['has told nothing', () => Promise.resolve()],
    ['is spoken of by a forged account', () => tell({ fencingToken: 99 })],
  ])('is the same as ever when the capture %s', async (_what, prepare) => {
    await prepare();

    const answer = await start();

    expect(answer.reason).toBe('AlreadyCaptured');
    expect(answer.message).not.toContain('heapDump');
  });
});
