import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { LiveTicket } from '../../lib/agent/live-ticket.ts';
import type { PutBody } from '../../lib/agent/put-object.ts';
import { createS3ObjectStore } from '../../lib/aws/s3-object-store.ts';
import type { RenewalWish } from '../../lib/capture/manifest.ts';
import type { ObjectStore } from '../../lib/capture/ports.ts';
import type { Ticket } from '../../lib/capture/ticket.ts';
import { CaptureError } from '../../lib/errors.ts';
import {
  startLocalObjectStore,
  type LocalObjectStore,
} from '../../lib/local/object-store/object-store.ts';
import { createLogger } from '../../lib/log.ts';
import { FakeBucket } from './fake-bucket.ts';
import { ticketFor } from './tickets.ts';

const ticketKey = 'tickets/1.json';
const later = '2100-01-01T00:00:00Z';

let template: Ticket;
let store: LocalObjectStore;
/** What the capture function signs with, and what sweep does. */
let [capture, sweep]: { accessKeyId: string; secretAccessKey: string }[] = [];
let uploadId: string;
let live: LiveTicket;
let logLines: string[];
let wishes: (RenewalWish | undefined)[];
/** Called in place of each pause; may resolve late. */
let onPause: () => Promise<void> | void;
let pauseCount: number;
let onWish: () => void;

beforeEach(async () => {
  const bucket = new FakeBucket();
  bucket.url = (path) => `https://bucket.test${path}`;
  template = ticketFor(bucket, { directories: ['/tmp'] });
  store = await startLocalObjectStore();
  capture = store.issueCredentials();
  sweep = store.issueCredentials();
  uploadId = await by(capture).createMultipartUpload('dump', 'application/zstd');
  [logLines, wishes, pauseCount] = [[], [], 0];
  onPause = () => undefined;
  onWish = () => undefined;
});
afterEach(async () => {
  live.close();
  await store.close();
});

function by(credentials = capture): ObjectStore {
  return createS3ObjectStore({ ...store, credentials: credentials! });
}

/** Writes a ticket into its place, its URLs signed by one of the functions. */
async function write(
  number: number,
  credentials: typeof capture,
  { partCount = 3, wishTime = later, change = {} } = {},
): Promise<Ticket> {
  const objects = by(credentials);
  const ticket: Ticket = {
    ...template,
    heapDump: {
      ...template.heapDump!,
      partUrls: [...(await objects.presignParts('dump', uploadId, partCount, 600))],
    },
    manifestUrl: await objects.presignPut('manifest.json', 600),
    renewal: { getUrl: await objects.presignGet(ticketKey, 600), number, wishTime },
    ...change,
  };
  await objects.putObject(ticketKey, Buffer.from(JSON.stringify(ticket)), {
    contentType: 'application/json',
  });
  return ticket;
}

function follow(ticket: Ticket, deadlineMilliseconds = 60_000): LiveTicket {
  live = new LiveTicket({
    ticket,
    log: createLogger('test', { write: (line) => void logLines.push(line) }),
    deadline: Date.now() + deadlineMilliseconds,
    wish: (wish) => {
      wishes.push(wish);
      onWish();
    },
    pause: async () => {
      pauseCount += 1;
      await onPause();
    },
  });
  return live;
}

function bodyOf(text: string): PutBody {
  const bytes = Buffer.from(text);
  return { chunks: [bytes], bytes: bytes.length, md5: createHash('md5').update(bytes).digest() };
}

const putPart = (n: number, milliseconds = 20_000): Promise<string> =>
  live.put(({ heapDump }) => heapDump!.partUrls[n - 1], bodyOf(`part ${n}`), {
    deadline: Date.now() + milliseconds,
  });
const storedNumbers = async (): Promise<number[] | undefined> =>
  (await by(sweep).listParts('dump', uploadId))?.map(({ partNumber }) => partNumber);

describe('LiveTicket', () => {
  it('puts by the URLs of a fresh ticket once the first ones have ended', async () => {
    follow(await write(0, capture));
    await putPart(1);
    onPause = async () => {
      if (pauseCount === 3) await write(1, sweep);
    };
    store.faults.next({ method: 'PUT', partNumber: 2, kind: 'expired' });

    await putPart(2);
    store.endCredentials(capture!.accessKeyId);
    await putPart(3);

    expect(await storedNumbers()).toEqual([1, 2, 3]);
    expect([pauseCount, wishes]).toEqual([3, [{ number: 1 }, undefined]]);
    expect(live.current.renewal?.number).toBe(1);
    expect(logLines.join()).not.toMatch(/X-Amz-|Signature/);
  });

  it('asks from the ticket’s time on, before anything is refused, and again by the next one’s', async () => {
    const now = new Date().toISOString();
    let done: () => void = () => undefined;
    const twice = new Promise<void>((resolve) => (done = resolve));
    onPause = async () => {
      if (pauseCount === 1) await write(1, sweep, { wishTime: now });
      if (pauseCount === 2) await write(2, sweep);
    };
    follow(await write(0, capture, { wishTime: now }));
    onWish = () => {
      if (wishes.length === 4) done();
    };

    await twice;
    store.endCredentials(capture!.accessKeyId);

    expect(wishes).toEqual([{ number: 1 }, undefined, { number: 2 }, undefined]);
    await putPart(1);
    expect(await storedNumbers()).toEqual([1]);
  });

  it('waits once for all parts that were refused', async () => {
    follow(await write(0, capture));
    for (const partNumber of [1, 2, 3]) {
      store.faults.next({ method: 'PUT', partNumber, kind: 'expired' });
    }
    let refused: () => void = () => undefined;
    const allRefused = new Promise<void>((resolve) => (refused = resolve));
    onPause = async () => {
      await allRefused;
      await write(1, sweep);
    };

    const puts = [putPart(1), putPart(2), putPart(3)];
    while (store.faults.pendingCount > 0) await new Promise((resolve) => setImmediate(resolve));
    refused();
    await Promise.all(puts);

    expect(await storedNumbers()).toEqual([1, 2, 3]);
    expect(wishes).toEqual([{ number: 1 }, undefined]);
  });

  it('gives up at once when the URL of the fresh ticket has ended as well', async () => {
    follow(await write(0, capture));
    store.endCredentials(capture!.accessKeyId);

    await expect(putPart(1)).rejects.toMatchObject({ code: 'TicketExpired' });
    await expect(putPart(2)).rejects.toMatchObject({ code: 'TicketExpired' });
    expect(pauseCount).toBe(1);
    expect(logLines.join()).toContain('no fresh ticket can come');
  });

  it('gives up at once when the capture has ended and its ticket is gone', async () => {
    follow(await write(0, capture));
    await by(sweep).deleteObject(ticketKey);
    store.faults.next({ method: 'PUT', kind: 'expired' });

    await expect(putPart(1)).rejects.toMatchObject({ code: 'TicketExpired' });
  });

  it('gives a part up at its deadline when no fresh ticket came', async () => {
    follow(await write(0, capture));
    store.faults.next({ method: 'PUT', kind: 'expired' });
    onPause = () => new Promise((resolve) => setImmediate(resolve));

    await expect(putPart(1, 50)).rejects.toMatchObject({ code: 'TicketExpired' });
  });

  it('fails as before with a ticket of a function that renews none', async () => {
    const ticket = await write(0, capture);
    delete ticket.renewal;
    follow(ticket);
    store.faults.next({ method: 'PUT', kind: 'expired' });

    await expect(putPart(1)).rejects.toMatchObject({ code: 'TicketExpired' });
    expect(await live.morePartUrls(10, new AbortController().signal)).toBe(3);
    expect(wishes).toEqual([]);
  });

  it('looks again after a fault of the network, and after what is not its ticket', async () => {
    follow(await write(0, capture));
    store.faults.next({ method: 'PUT', kind: 'expired' });
    onPause = async () => {
      if (pauseCount === 1) store.faults.next({ method: 'GET', kind: 'status-503' });
      if (pauseCount === 2) store.faults.next({ method: 'GET', kind: 'reset' });
      if (pauseCount === 3) await write(1, sweep, { change: { captureId: 'bbbbbbbbbbbbbbbb' } });
      if (pauseCount === 4) await write(1, sweep, { change: { fencingToken: 2 } });
      if (pauseCount === 5) await write(1, sweep, { partCount: 2 });
      if (pauseCount === 6) await write(1, sweep, { change: { progressUrl: 'ftp://secret' } });
      if (pauseCount === 7) await write(1, sweep);
    };

    await putPart(1);

    expect(pauseCount).toBe(7);
    expect(logLines.join()).not.toContain('secret');
  });

  it('does not fetch a ticket again that it has seen', async () => {
    const bucket = await FakeBucket.start();
    const ticket = await write(0, capture);
    ticket.renewal = { ...ticket.renewal!, getUrl: bucket.url('/ticket') };
    const put = (one: Ticket) => bucket.objects.set('/ticket', Buffer.from(JSON.stringify(one)));
    put(ticket);
    follow(ticket);
    store.faults.next({ method: 'PUT', kind: 'expired' });
    onPause = async () => {
      if (pauseCount === 2) put(await write(1, sweep));
    };

    await putPart(1);
    await bucket.stop();

    const asked = bucket.requests.map(({ headers }) => headers['if-none-match']);
    expect(asked).toEqual([undefined, expect.stringMatching(/^"[0-9a-f]{32}"$/)]);
  });

  it('asks for more part URLs, also while a ticket with too few is on its way', async () => {
    follow(await write(0, capture));
    onPause = async () => {
      if (pauseCount === 1) await write(1, sweep);
      if (pauseCount === 2) await write(2, sweep, { partCount: 7 });
    };

    expect(await live.morePartUrls(6, new AbortController().signal)).toBe(7);
    expect(wishes).toEqual([
      { number: 1, partCount: 6 },
      undefined,
      { number: 2, partCount: 6 },
      undefined,
    ]);
    await putPart(7);
  });

  it('stops asking for part URLs when it is told to, or when two tickets had too few', async () => {
    const stop = new AbortController();
    follow(await write(0, capture));
    onPause = () => {
      stop.abort(new CaptureError('DeadlineExceeded', 'stopped'));
      return new Promise((resolve) => setImmediate(resolve));
    };
    expect(await live.morePartUrls(6, stop.signal)).toBe(3);

    onPause = async () => {
      const { number } = live.current.renewal!;
      await write(number + 1, sweep);
    };
    expect(await live.morePartUrls(6, new AbortController().signal)).toBe(3);
    expect(live.current.renewal?.number).toBe(2);
  });
});
