import { describe, expect, it } from '@jest/globals';
import { ProgressReporter } from '../../lib/agent/progress.ts';
import { progressSchema, type Progress } from '../../lib/capture/manifest.ts';
import { captureId } from './tickets.ts';

function reporter(put?: () => Promise<unknown>) {
  const documents: Progress[] = [];
  const told: Progress[] = [];
  const clock = { now: 1_700_000_000_000 };
  const progress = new ProgressReporter({
    captureId,
    fencingToken: 3,
    now: () => clock.now,
    onTell: (one) => told.push(one),
    put: async (body) => {
      const json: unknown = JSON.parse(Buffer.concat(body.chunks).toString());
      documents.push(progressSchema.parse(json));
      await put?.();
    },
  });
  return { documents, told, clock, progress };
}

describe('ProgressReporter', () => {
  it('puts at most once a second, and then the latest numbers', async () => {
    const { documents, clock, progress } = reporter();

    progress.update({ step: 'threads' });
    progress.update({ step: 'heapDump', rawBytes: 5 });
    await progress.settle();
    clock.now += 1_000;
    progress.update({ sentBytes: 3 });
    await progress.settle();

    expect(documents.map(({ step }) => step)).toEqual(['threads', 'heapDump']);
    expect(documents[1]).toMatchObject({ rawBytes: 5, sentBytes: 3, fencingToken: 3 });
  });

  it('tells the log at most every 5 s, however often it is updated, with an estimate', () => {
    const { told, clock, progress } = reporter();
    progress.expect({ expectedBytes: 1_000, basedOn: 'ticket' });

    for (let second = 1; second <= 11; second += 1) {
      clock.now += 1_000;
      const sizes = { rawBytes: second * 50, compressedBytes: second * 10, sentBytes: second * 10 };
      for (let block = 0; block < 100; block += 1) progress.update({ step: 'heapDump', ...sizes });
    }

    expect(told.map(({ rawBytes }) => rawBytes)).toEqual([250, 500]);
    expect(told[1]?.estimate).toEqual({
      ...{ expectedBytes: 1_000, basedOn: 'ticket', remainingSeconds: 10 },
      ...{ rawBytesPerSecond: 50, sentBytesPerSecond: 10 },
    });
    expect(progress.snapshot()).toMatchObject({ rawBytes: 550, step: 'heapDump' });
  });

  it('announces an open part at once, whatever the time', async () => {
    const { documents, progress } = reporter();

    progress.update({ step: 'heapDump' });
    await progress.announceOpenPart(7, 1_234);

    expect(documents.at(-1)?.openParts).toEqual([{ partNumber: 7, remainingBytes: 1_234 }]);
  });

  it('keeps a part announced until one after it is stored without a gap', async () => {
    const { documents, progress } = reporter();
    const announced = async (partNumber: number): Promise<number[] | undefined> => {
      await progress.announceOpenPart(partNumber, 1);
      return documents.at(-1)?.openParts.map((open) => open.partNumber);
    };
    await progress.announceOpenPart(1, 10);

    progress.partStored(1);
    expect(await announced(2)).toEqual([1, 2]);
    progress.partStored(3);
    expect(await announced(4)).toEqual([1, 2, 4]);
    progress.partStored(2);
    expect(await announced(5)).toEqual([4, 5]);
  });

  it('keeps a part announced until one of its own stream is stored behind it', async () => {
    const { documents, progress } = reporter();
    await progress.announceStreams([1, 17, 33]);
    for (const part of [1, 17, 33]) await progress.announceOpenPart(part, part);

    progress.partStored(18);
    for (const part of [1, 17, 33, 34]) progress.partStored(part);
    await progress.announceOpenPart(35, 35);

    expect(documents.at(-1)?.streams).toEqual([1, 17, 33]);
    expect(documents.at(-1)?.openParts.map((open) => open.partNumber)).toEqual([1, 35]);
  });

  it('knows what is stored of a stream when the one behind it moves', async () => {
    const { documents, progress } = reporter();
    await progress.announceStreams([1, 17, 33]);
    for (const part of [17, 18]) progress.partStored(part);
    await progress.announceOpenPart(19, 19);

    await progress.announceStreams([1, 17, 65]);
    for (const part of [19, 20]) progress.partStored(part);
    await progress.announceOpenPart(40, 40);

    expect(documents.at(-1)?.streams).toEqual([1, 17, 65]);
    expect(documents.at(-1)?.openParts.map((open) => open.partNumber)).toEqual([40]);
  });

  it('tells of a wish at once, with every account as long as it stands, and then no more', async () => {
    const { documents, clock, progress } = reporter();

    progress.wish({ number: 2, partCount: 500 });
    await progress.settle();
    clock.now += 1_000;
    progress.update({ step: 'heapDump' });
    await progress.settle();
    progress.wish(undefined);
    await progress.announceOpenPart(1, 1);

    const wish = { number: 2, partCount: 500 };
    expect(documents.map(({ renewalWish }) => renewalWish)).toEqual([wish, wish, undefined]);
  });

  it('never lets an older account overwrite a newer one: puts go out one after the other', async () => {
    let running = 0;
    let most = 0;
    const { documents, progress } = reporter(async () => {
      most = Math.max(most, (running += 1));
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
    });

    await Promise.all([1, 2, 3].map((part) => progress.announceOpenPart(part, part)));

    expect(most).toBe(1);
    expect(documents.at(-1)?.openParts.map((open) => open.partNumber)).toEqual([1, 2, 3]);
  });

  it('lets a failed report go, but not a failed announcement', async () => {
    const { progress } = reporter(() => Promise.reject(new Error('503')));

    progress.update({ step: 'heapDump' });
    await progress.settle();

    await expect(progress.announceOpenPart(1, 1)).rejects.toThrow('503');
  });
});
