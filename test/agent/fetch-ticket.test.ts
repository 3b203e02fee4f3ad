import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { checkTimes, fetchTicket, parseTicket } from '../../lib/agent/fetch-ticket.ts';
import { FakeBucket } from './fake-bucket.ts';
import { ticketFor } from './tickets.ts';

let bucket: FakeBucket;

beforeEach(async () => {
  bucket = await FakeBucket.start();
});
afterEach(() => bucket.stop());

describe('fetchTicket', () => {
  it('fetches a valid ticket', async () => {
    const ticket = ticketFor(bucket, { directories: ['/tmp'] });
    bucket.objects.set('/ticket', Buffer.from(JSON.stringify(ticket)));

    expect(await fetchTicket(bucket.url('/ticket'), 5)).toEqual(ticket);
  });

  it.each([
    'ftp://bucket/ticket',
    'file:///etc/passwd',
    '',
    'http://',
    `http://${'x'.repeat(5_000)}`,
  ])('refuses %j as a URL', async (url) => {
    await expect(fetchTicket(url, 1)).rejects.toMatchObject({ code: 'InvalidTicket' });
  });

  it('answers InvalidTicket where there is none', async () => {
    await expect(fetchTicket(bucket.url('/none'), 1)).rejects.toMatchObject({
      code: 'InvalidTicket',
    });
  });

  it('answers ObjectStoreUnavailable, retryable, when nobody listens', async () => {
    const url = bucket.url('/ticket');
    await bucket.stop();

    await expect(fetchTicket(url, 0.2)).rejects.toMatchObject({
      code: 'ObjectStoreUnavailable',
      retryable: true,
    });
  });

  it('refuses a ticket whose time to start is over', async () => {
    const change = { startDeadlineTime: '2020-01-01T00:00:00Z' };
    const ticket = ticketFor(bucket, { directories: ['/tmp'], change });
    bucket.objects.set('/ticket', Buffer.from(JSON.stringify(ticket)));

    await expect(fetchTicket(bucket.url('/ticket'), 5)).rejects.toMatchObject({
      code: 'TicketExpired',
    });
  });
});

describe('checkTimes', () => {
  it('lets a capture begin until the start deadline, and not after it', () => {
    const ticket = ticketFor(bucket, { directories: ['/tmp'] });
    const until = Date.parse(ticket.startDeadlineTime);

    expect(() => checkTimes(ticket, new Date(until))).not.toThrow();
    expect(() => checkTimes(ticket, new Date(until + 1))).toThrow('was to be started until');
  });
});

describe('parseTicket', () => {
  const valid = (): Record<string, unknown> =>
    JSON.parse(JSON.stringify(ticketFor(bucket, { directories: ['/tmp'] }))) as Record<
      string,
      unknown
    >;

  it.each<[string, unknown]>([
    ['null', null],
    ['a list', []],
    ['a field too many', { surprise: true }],
    ['a prototype', JSON.parse('{"__proto__": {"captureId": "x"}, "constructor": 1}')],
    ['another version', { schemaVersion: 2 }],
    ['a captureId that climbs', { captureId: '../../../etc/passwd' }],
    ['a manifest that is a file', { manifestUrl: 'file:///etc/passwd' }],
    ['a time that is none', { startDeadlineTime: 'tomorrow' }],
  ])('refuses %s', (_what, change) => {
    const value = change !== null && typeof change === 'object' && !Array.isArray(change);

    expect(() => parseTicket(JSON.stringify(value ? { ...valid(), ...change } : change))).toThrow(
      expect.objectContaining({ code: 'InvalidTicket' }),
    );
  });

  it.each([['/dumps/../../etc'], ['relative'], ['/with\nbreak']])(
    'refuses the directory %j',
    (path) => {
      const ticket = valid();
      (ticket['heapDump'] as { directories: string[] }).directories = [path];

      expect(() => parseTicket(JSON.stringify(ticket))).toThrow('absolute path');
    },
  );

  it.each(['{"schemaVersion":', '', '['.repeat(1_000_000)])('refuses what is not JSON', (text) => {
    expect(() => parseTicket(text)).toThrow('not JSON');
  });

  it('never repeats a URL of a ticket that it refuses', () => {
    const ticket = { ...valid(), progressUrl: 'ftp://bucket/?X-Amz-Signature=secret; http://x' };

    expect(() => parseTicket(JSON.stringify(ticket))).toThrow(
      expect.objectContaining({
        message: expect.not.stringContaining('secret'),
      }),
    );
  });
});
