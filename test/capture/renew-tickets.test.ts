import { beforeEach, describe, expect, it } from '@jest/globals';
import { putTicket } from '../../lib/capture/issue-ticket.ts';
import type { RenewalWish } from '../../lib/capture/manifest.ts';
import { renewTickets } from '../../lib/capture/renew-tickets.ts';
import { startCapture } from '../../lib/capture/start-capture.ts';
import { sweepCaptures } from '../../lib/capture/sweep.ts';
import { maxPartCount, type Ticket } from '../../lib/capture/ticket.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import { ticketKey } from '../../lib/dump-index/object-keys.ts';
import { json, signal, startTime, World } from './world.ts';

describe('renewTickets', () => {
  let world: World;
  let record: CaptureRecord;
  let first: Ticket;
  const renew = () => renewTickets(world.finishDeps(), { limit: 100 });

  beforeEach(async () => {
    world = new World();
    await startCapture(world.captureDeps(), signal());
    record = await world.record();
    first = world.ticket();
  });

  /** What an agent writes to ask for a ticket. */
  async function wish(renewalWish: RenewalWish, changes: object = {}): Promise<void> {
    await world.objects.putByUrl(
      first.progressUrl,
      json({
        schemaVersion: 1,
        captureId: record.captureId,
        fencingToken: record.fencingToken,
        time: startTime,
        step: 'heapDump',
        ...{ rawBytes: 0, compressedBytes: 0, sentBytes: 0, sentPartCount: 0, openParts: [] },
        renewalWish,
        ...changes,
      }),
    );
  }

  it('is told of in the first ticket: where, and from when on', () => {
    expect(first.renewal).toEqual({
      getUrl: expect.stringContaining(ticketKey(record.captureId, record.fencingToken)),
      number: 0,
      wishTime: '2026-01-01T12:05:00.000Z',
    });
  });

  it('writes the same order anew, with the next number, in the place of the ticket', async () => {
    world.advance(400);
    await wish({ number: 1 });

    const answer = await renew();

    expect(answer).toEqual({ renewed: [{ captureId: record.captureId, number: 1 }], refused: [] });
    expect(world.ticket()).toEqual({
      ...first,
      issuedTime: '2026-01-01T12:06:40.000Z',
      renewal: { ...first.renewal, number: 1, wishTime: '2026-01-01T12:11:40.000Z' },
    });
    expect(world.logLines.join()).not.toContain('signature=secret');
  });

  it('grants a wish once, and the next one after it', async () => {
    await wish({ number: 1 });
    await renew();

    expect((await renew()).renewed).toEqual([]);
    await wish({ number: 2 });
    expect((await renew()).renewed).toMatchObject([{ number: 2 }]);
  });

  it.each([
    [700, 700],
    [1, undefined],
    [maxPartCount, maxPartCount - 1],
  ])(
    'gives an agent that wants %i part URLs as many, and never fewer than before',
    async (partCount, wanted) => {
      await wish({ number: 1, partCount });

      await renew();

      const { partUrls } = world.ticket().heapDump!;
      expect(partUrls).toHaveLength(wanted ?? first.heapDump!.partUrls.length);
      expect(partUrls.at(-1)).toContain(`uploadId=${record.started!.uploadId!}`);
    },
  );

  it('leaves agents alone that ask for nothing', async () => {
    await world.runAgent({ diesBeforeEnd: true });

    expect(await renew()).toEqual({ renewed: [], refused: [] });
    expect(world.ticket()).toEqual(first);
  });

  it.each([
    ['another capture', { captureId: 'bbbbbbbbbbbbbbbb' }],
    ['another claim', { fencingToken: 2 }],
  ])('does not believe a wish of %s', async (_what, changes) => {
    await wish({ number: 1 }, changes);

    expect((await renew()).renewed).toEqual([]);
  });

  it('refuses a wish that skips a number, and says which is accepted', async () => {
    await wish({ number: 3 });

    expect((await renew()).refused).toEqual([
      {
        captureId: record.captureId,
        message: expect.stringMatching(/asks for ticket 3; accepted is 1/),
      },
    ]);
  });

  it('renews nothing of a capture that is being finished, though the list still shows it', async () => {
    await wish({ number: 1 });
    const { claims } = world;
    const stillListed = await claims.listRunning(new Date(world.nowMillis), 100);
    world.claims = { ...claims, listRunning: () => Promise.resolve(stillListed) };
    await claims.beginFinish(record.captureId, record.fencingToken, {
      ...{ finisherIdentity: 'seal', now: new Date(world.nowMillis), leaseSeconds: 60 },
    });

    expect(stillListed).toHaveLength(1);
    expect((await renew()).renewed).toEqual([]);
    expect(world.ticket()).toEqual(first);
  });

  it('renews nothing after the capture’s deadline', async () => {
    await wish({ number: 1 });
    world.nowMillis = Date.parse(record.captureDeadlineTime);

    expect((await renew()).renewed).toEqual([]);
  });

  it('goes on to the next capture when one cannot be renewed, and tells no value of its ticket', async () => {
    await wish({ number: 1 });
    const objectKey = ticketKey(record.captureId, record.fencingToken);
    const broken = { ...first, progressUrl: 'ftp://secret' };
    await world.objects.putObject(objectKey, json(broken), { contentType: 'application/json' });

    const answer = await renew();

    expect(answer.refused).toEqual([
      { captureId: record.captureId, message: `${objectKey} is not a ticket` },
    ]);
    expect(world.logLines.join()).not.toContain('secret');
  });

  it('begins none when the function is about to be stopped', async () => {
    await wish({ number: 1 });
    world.remainingMillis = 10_000;

    expect((await renew()).renewed).toEqual([]);
  });

  it('leaves the upload to the same end: seal and sweep know nothing of it', async () => {
    await wish({ number: 1 });
    await renew();
    await world.runAgent({ diesBeforeEnd: true });
    world.nowMillis = Date.parse(record.leaseExpireTime) + 1;

    const answer = await sweepCaptures(world.finishDeps(), { limit: 10 });

    expect(answer.finished).toMatchObject([{ state: 'salvaged' }]);
    expect(world.objects.keysUnder('tickets/')).toEqual([]);
  });

  it('is not offered to the exec agent, which refuses what it does not know', async () => {
    await putTicket(world.objects, { ...first, rung: 'exec' }, 300);

    expect(world.ticket()).not.toHaveProperty('renewal');
    expect(first).toHaveProperty('renewal');
  });
});
