import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { putObject, type PutBody } from '../../lib/agent/put-object.ts';
import { FakeBucket, s3Error, type Fault } from './fake-bucket.ts';

let bucket: FakeBucket;

beforeEach(async () => {
  bucket = await FakeBucket.start();
});
afterEach(() => bucket.stop());

function bodyOf(bytes: Buffer): PutBody {
  const chunks = [bytes.subarray(0, 3), bytes.subarray(3)];
  return { chunks, bytes: bytes.length, md5: createHash('md5').update(bytes).digest() };
}

const content = Buffer.alloc(300_000, 7);

function put(deadlineSeconds = 20, inactivityTimeoutMilliseconds = 100) {
  const retries: string[] = [];
  const result = putObject(bucket.url('/part'), bodyOf(content), {
    deadline: Date.now() + deadlineSeconds * 1_000,
    inactivityTimeoutMilliseconds,
    onRetry: (_attempt, reason) => retries.push(reason),
  });
  return { result, retries };
}

describe('putObject', () => {
  it('stores the body with its length and MD5, and no other header that would have to be signed', async () => {
    const eTag = await put().result;

    expect(bucket.objects.get('/part')?.equals(content)).toBe(true);
    expect(eTag).toMatch(/^"[0-9a-f]{32}"$/);
    expect(Object.keys(bucket.requests[0]?.headers ?? {}).sort()).toEqual([
      'connection',
      'content-length',
      'content-md5',
      'host',
    ]);
  });

  it.each<[string, Fault, string]>([
    ['a 503 SlowDown', s3Error(503, 'SlowDown'), 'HTTP 503 SlowDown'],
    ['a 500', s3Error(500, 'InternalError'), 'HTTP 500 InternalError'],
    ['a proxy that has no answer', { status: 502, body: '' }, 'HTTP 502'],
    ['a 429', { status: 429, body: '' }, 'HTTP 429'],
    ['a timeout that S3 calls a 400', s3Error(400, 'RequestTimeout'), 'HTTP 400 RequestTimeout'],
    ['a body that was damaged on its way', s3Error(400, 'BadDigest'), 'HTTP 400 BadDigest'],
    ['a connection that is reset in the body', 'reset', 'ECONNRESET'],
    ['a bucket that stalls', 'stall', 'stalled'],
    [
      'a URL that was signed by a clock ahead of the bucket’s',
      s3Error(403, 'AccessDenied', 'Request is not yet valid'),
      'the URL is not valid yet',
    ],
  ])('tries again after %s', async (_name, fault, reason) => {
    bucket.onPut = ({ attempt }) => (attempt === 1 ? fault : undefined);

    const { result, retries } = put();
    await result;

    expect(bucket.attempts('/part')).toBe(2);
    expect(retries).toHaveLength(1);
    expect(retries[0] === reason || (fault === 'reset' && retries[0] === 'EPIPE')).toBe(true);
    expect(bucket.objects.get('/part')?.equals(content)).toBe(true);
  });

  it.each<[string, Fault, object]>([
    [
      'TicketExpired when the URL has expired',
      s3Error(403, 'AccessDenied', 'Request has expired'),
      { code: 'TicketExpired' },
    ],
    [
      'UploadFailed when access is denied',
      s3Error(403, 'AccessDenied', 'Access Denied'),
      { code: 'UploadFailed', details: { status: 403, s3Code: 'AccessDenied' } },
    ],
    [
      'UploadFailed when the upload was finished by somebody else',
      s3Error(404, 'NoSuchUpload'),
      { code: 'UploadFailed', details: { status: 404, s3Code: 'NoSuchUpload' } },
    ],
  ])('gives up at once with %s', async (_name, fault, error) => {
    bucket.onPut = () => fault;

    await expect(put().result).rejects.toMatchObject(error);
    expect(bucket.attempts('/part')).toBe(1);
  });

  it('outlasts a minute in which nothing answers, in pauses of 5 s at most', async () => {
    let outageMilliseconds = 0;
    const pauses: number[] = [];
    bucket.onPut = () => (outageMilliseconds < 60_000 ? { status: 503, body: '' } : undefined);
    const bytes = bodyOf(content);

    await putObject(bucket.url('/part'), bytes, {
      deadline: Date.now() + 20_000,
      pause: (milliseconds) => {
        pauses.push(milliseconds);
        outageMilliseconds += milliseconds;
        return Promise.resolve();
      },
    });

    expect(bucket.objects.get('/part')?.equals(content)).toBe(true);
    expect(bucket.attempts('/part')).toBe(pauses.length + 1);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(5_000);
    expect(pauses.length).toBeLessThan(40);
  });

  it('gives up at its deadline, and says what stood in the way', async () => {
    bucket.onPut = () => s3Error(503, 'SlowDown');

    await expect(put(1.5).result).rejects.toMatchObject({
      code: 'DeadlineExceeded',
      message: expect.stringContaining('HTTP 503 SlowDown'),
    });
  });

  it('does not wait over its deadline for a bucket that never answers', async () => {
    bucket.onPut = () => 'stall';

    await expect(put(0.2, 60_000).result).rejects.toMatchObject({ code: 'DeadlineExceeded' });
  });

  it('loses no connection to a bucket that refuses before it has read the body', async () => {
    let asked = 0;
    // The server never closes a connection that lies idle, which would give a lost one back.
    const server = createServer({ keepAliveTimeout: 0 }, (incoming, response) => {
      asked += 1;
      const refused = asked <= 8;
      incoming.resume();
      const answer = (): unknown =>
        response.writeHead(refused ? 503 : 200, { etag: '"stored"' }).end();
      if (refused) answer();
      else incoming.once('end', answer);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    // More than fits into the buffers of a connection, in pieces as of a part.
    const chunks = Array.from({ length: 20 }, () => Buffer.alloc(256 * 1024, 1));
    const body = { chunks, bytes: 20 * 256 * 1024, md5: Buffer.alloc(16) };

    const refusals: string[] = [];
    const put = putObject(`http://127.0.0.1:${port}/part`, body, {
      deadline: Date.now() + 50_000,
      pause: () => Promise.resolve(),
      // A try that waits in vain for a lost connection ends as stalled.
      onRetry: (_attempt, reason) => refusals.push(reason),
    });
    const eTag = await put.finally(() => {
      server.closeAllConnections();
      server.close();
    });

    expect([eTag, asked]).toEqual(['"stored"', 9]);
    expect(new Set(refusals)).toEqual(new Set(['HTTP 503']));
  });

  it('never shows the query of a URL in an error', async () => {
    bucket.onPut = () => s3Error(400, 'InvalidRequest');

    const error: unknown = await put().result.catch((reason: unknown) => reason);

    expect(JSON.stringify([String(error), error])).not.toContain('secret');
  });
});
