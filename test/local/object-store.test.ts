import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { createS3ObjectStore } from '../../lib/aws/s3-object-store.ts';
import type { ObjectStore } from '../../lib/capture/ports.ts';
import {
  startLocalObjectStore,
  type LocalObjectStore,
} from '../../lib/local/object-store/object-store.ts';

const text = { contentType: 'text/plain' };
const bytesOf = (content: string): Uint8Array => Buffer.from(content);
const codeOf = (body: string) => /<Code>(.*)<\/Code>/.exec(body)?.[1];

describe('local object store', () => {
  let now: Date;
  let local: LocalObjectStore;
  let objects: ObjectStore;
  let client: S3Client;

  beforeEach(async () => {
    now = new Date();
    local = await startLocalObjectStore({ now: () => now });
    objects = createS3ObjectStore(local);
    client = new S3Client({
      ...local,
      forcePathStyle: true,
      maxAttempts: 1,
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestChecksumCalculation: 'WHEN_REQUIRED',
    });
  });
  afterEach(async () => {
    client.destroy();
    await local.close();
  });

  const put = async (url: string, body: string) => {
    const reply = await fetch(url, { method: 'PUT', body });
    return { status: reply.status, text: await reply.text() };
  };

  describe('time', () => {
    it('takes a presigned URL until it expires, and says then that it has', async () => {
      const url = await objects.presignPut('a', 60);

      now = new Date(now.getTime() + 59_000);
      expect((await put(url, 'x')).status).toBe(200);
      now = new Date(now.getTime() + 3_000);
      const late = await put(url, 'x');

      expect(late.status).toBe(403);
      expect(late.text).toContain(
        '<Code>AccessDenied</Code><Message>Request has expired</Message>',
      );
    });

    it('refuses what was signed a quarter of an hour ahead', async () => {
      const url = await objects.presignPut('a', 60);

      now = new Date(now.getTime() - 16 * 60_000);

      expect(codeOf((await put(url, 'x')).text)).toBe('AccessDenied');
    });

    it('refuses a signed header of another time', async () => {
      now = new Date(now.getTime() + 16 * 60_000);

      // The SDK would correct its clock by the answer and try again; one attempt shows the answer itself.
      const get = client.send(new GetObjectCommand({ Bucket: local.bucketName, Key: 'a' }));

      await expect(get).rejects.toMatchObject({ name: 'RequestTimeTooSkewed' });
    });
  });

  describe('signatures', () => {
    it('refuses a stranger, an unknown key, and another region', async () => {
      const stranger = await fetch(`${local.endpoint}/${local.bucketName}/a`);
      const { secretAccessKey } = local.credentials;
      const unknown = createS3ObjectStore({
        ...local,
        credentials: { accessKeyId: 'other', secretAccessKey },
      });
      const elsewhere = createS3ObjectStore({ ...local, region: 'eu-west-1' });

      expect(codeOf(await stranger.text())).toBe('AccessDenied');
      await expect(unknown.getObject('a', { maxBytes: 1 })).rejects.toThrow('InvalidAccessKeyId');
      await expect(elsewhere.getObject('a', { maxBytes: 1 })).rejects.toThrow(
        'AuthorizationHeaderMalformed',
      );
    });

    it('refuses a header of S3 that was not signed', async () => {
      const url = await objects.presignPut('a', 60);

      const reply = await fetch(url, {
        method: 'PUT',
        body: 'x',
        headers: { 'x-amz-acl': 'public' },
      });

      expect(reply.status).toBe(403);
      expect(await reply.text()).toContain('not signed: x-amz-acl');
    });

    it('refuses a URL that would live for over a week, or for no time', async () => {
      const url = await objects.presignPut('a', 60);

      for (const expires of ['604801', '0', '-1', 'x']) {
        const reply = await put(url.replace('X-Amz-Expires=60', `X-Amz-Expires=${expires}`), 'x');
        expect(codeOf(reply.text)).toBe('AuthorizationQueryParametersError');
      }
    });
  });

  describe('reading', () => {
    const read = async (range: string) => {
      const url = await objects.presignGet('a', 60);
      const reply = await fetch(url, { headers: { range } });
      return [reply.status, reply.headers.get('content-range'), await reply.text()];
    };

    it('reads from a place on, and the last bytes', async () => {
      await objects.putObject('a', bytesOf('0123456789'), text);

      expect(await read('bytes=7-')).toEqual([206, 'bytes 7-9/10', '789']);
      expect(await read('bytes=-3')).toEqual([206, 'bytes 7-9/10', '789']);
      expect(await read('bytes=-99')).toEqual([206, 'bytes 0-9/10', '0123456789']);
      expect((await read('bytes=10-')).slice(0, 2)).toEqual([416, 'bytes */10']);
      expect((await read('bytes=-0')).slice(0, 2)).toEqual([416, 'bytes */10']);
    });

    it('ignores a range that it does not understand', async () => {
      await objects.putObject('a', bytesOf('01'), text);

      for (const range of ['bytes=1-0', 'bytes=-', 'bytes=0-0,1-1', 'lines=0-1']) {
        expect(await read(range)).toEqual([200, null, '01']);
      }
    });

    it('goes on with a list where a token says', async () => {
      for (const key of ['a', 'b', 'c']) await objects.putObject(key, bytesOf(key), text);
      const page = (ContinuationToken?: string) =>
        client.send(
          new ListObjectsV2Command({ Bucket: local.bucketName, MaxKeys: 2, ContinuationToken }),
        );

      const first = await page();
      const second = await page(first.NextContinuationToken);

      expect(first.Contents?.map(({ Key }) => Key)).toEqual(['a', 'b']);
      expect(first.IsTruncated).toBe(true);
      expect(second.Contents?.map(({ Key }) => Key)).toEqual(['c']);
      expect(second.IsTruncated).toBe(false);
    });
  });

  it('accepts issued credentials until they end, and with them what they have signed', async () => {
    const credentials = local.issueCredentials();
    const url = await createS3ObjectStore({ ...local, credentials }).presignPut('a', 60);

    expect((await put(url, 'x')).status).toBe(200);
    local.endCredentials(credentials.accessKeyId);
    const late = await put(url, 'x');

    expect([late.status, codeOf(late.text)]).toEqual([400, 'ExpiredToken']);
    expect((await put(await objects.presignPut('a', 60), 'x')).status).toBe(200);
  });

  it('gives an object again only when it is another than the one that is named', async () => {
    await objects.putObject('a', bytesOf('first'), text);
    const url = await objects.presignGet('a', 60);
    const eTag = (await fetch(url)).headers.get('etag') ?? '';
    const again = () => fetch(url, { headers: { 'if-none-match': eTag } });

    const same = await again();
    await objects.putObject('a', bytesOf('second'), text);
    const other = await again();

    expect([same.status, await same.text()]).toEqual([304, '']);
    expect([other.status, await other.text()]).toEqual([200, 'second']);
  });

  it('says what it does not do', async () => {
    const list = new ListObjectsV2Command({ Bucket: local.bucketName, Delimiter: '/' });

    await expect(client.send(list)).rejects.toMatchObject({ name: 'NotImplemented' });
  });

  it('refuses a body that is not the one that was signed', async () => {
    client.middlewareStack.add(
      (next) => (args) => {
        (args.request as { body: Uint8Array }).body = bytesOf('other');
        return next(args);
      },
      // After the signature, which belongs to the step before.
      { step: 'deserialize', priority: 'high' },
    );

    const put = client.send(
      new PutObjectCommand({ Bucket: local.bucketName, Key: 'a', Body: bytesOf('first') }),
    );

    await expect(put).rejects.toMatchObject({ name: 'XAmzContentSHA256Mismatch' });
    expect(await objects.headObject('a')).toBeUndefined();
  });

  it('leaves no file of a body that is refused, and none when it closes', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'object-store-test-'));
    const other = await startLocalObjectStore({ folder });
    const url = await createS3ObjectStore(other).presignPut('a', 60);
    const headers = { 'content-md5': createHash('md5').update('other').digest('base64') };

    const reply = await fetch(url, { method: 'PUT', body: 'x', headers });

    expect(reply.status).toBe(400);
    const [own] = readdirSync(folder);
    expect(readdirSync(path.join(folder, own!))).toEqual([]);
    await put(url, 'x');
    await other.close();
    expect(readdirSync(folder)).toEqual([]);
    rmdirSync(folder);
  });

  it('keeps nothing of a body that breaks off', async () => {
    const url = await objects.presignPut('a', 60);
    const broken = new Promise((resolve) => {
      const request = httpRequest(url, { method: 'PUT', headers: { 'content-length': 10 } });
      request.on('error', resolve);
      request.write('12345', () => request.destroy(new Error('gone')));
    });

    await broken;
    await objects.putObject('b', bytesOf('x'), text);

    expect(await objects.headObject('a')).toBeUndefined();
  });

  it('lets two write an object that must not be there before, and one of them succeed', async () => {
    const once = { ...text, ifNoneMatch: true };

    const outcomes = await Promise.all(
      ['one', 'two', 'three'].map((body) => objects.putObject('a', bytesOf(body), once)),
    );

    expect(outcomes.sort()).toEqual(['exists', 'exists', 'written']);
  });

  describe('created objects', () => {
    it('tells of each object that was put or completed, and not of parts', async () => {
      const seen: string[] = [];
      const end = local.onObjectCreated(({ objectKey, how, bytes }) => {
        seen.push(`${objectKey} ${how} ${bytes}`);
      });
      await objects.putObject('a', bytesOf('12'), text);
      const uploadId = await objects.createMultipartUpload('b', 'x/y');
      const part = await objects.uploadPart('b', uploadId, 1, bytesOf('345'));
      await objects.completeMultipartUpload('b', uploadId, [part]);
      await objects.completeMultipartUpload('b', uploadId, [part]);
      await local.settled();

      expect(seen).toEqual(['a Put 2', 'b CompleteMultipartUpload 3']);

      end();
      await objects.putObject('c', bytesOf('x'), text);
      await local.settled();
      expect(seen).toHaveLength(2);
    });

    it('waits for what a listener causes, and shows what it throws', async () => {
      local.onObjectCreated(async ({ objectKey }) => {
        if (objectKey.length === 3) throw new Error(`no more of ${objectKey}`);
        await objects.putObject(`${objectKey}a`, bytesOf('x'), text);
      });
      await objects.putObject('a', bytesOf('x'), text);

      await expect(local.settled()).rejects.toThrow('no more of aaa');
      expect(await objects.headObject('aaa')).toBeDefined();
    });
  });

  describe('faults', () => {
    it('meets the requests that match, as often as planned, and no others', async () => {
      local.faults.next({ method: 'PUT', keyMatch: /^tickets\//, kind: 'status-503', times: 2 });
      const url = await objects.presignPut('tickets/a', 60);
      const other = await objects.presignPut('dumps/a', 60);

      const statuses = [];
      for (const each of [other, url, url, url]) statuses.push((await put(each, 'x')).status);

      expect(statuses).toEqual([200, 503, 503, 200]);
      expect(local.faults.pendingCount).toBe(0);
    });

    it('meets one part of an upload', async () => {
      const uploadId = await objects.createMultipartUpload('a', 'x/y');
      const urls = await objects.presignParts('a', uploadId, 3, 60);
      local.faults.next({ partNumber: 2, kind: 'slow-down' });

      const statuses = await Promise.all(urls.map(async (url) => (await put(url, 'x')).status));

      expect(statuses).toEqual([200, 503, 200]);
    });

    it('forgets the faults that nobody met', async () => {
      local.faults.next({ kind: 'status-503', times: 5 });

      local.faults.clear();

      expect((await put(await objects.presignPut('a', 60), 'x')).status).toBe(200);
    });

    it('leaves a client without an answer, until it goes', async () => {
      local.faults.next({ kind: 'stall' });
      const url = await objects.presignPut('a', 60);

      const stalled = fetch(url, { method: 'PUT', body: 'x', signal: AbortSignal.timeout(50) });

      await expect(stalled).rejects.toMatchObject({ name: 'TimeoutError' });
      expect(await objects.headObject('a')).toBeUndefined();
    });

    it('breaks a connection before anything is done, or after all is done', async () => {
      const url = await objects.presignPut('a', 60);

      local.faults.next({ kind: 'reset' });
      await expect(put(url, 'x')).rejects.toThrow();
      expect(await objects.headObject('a')).toBeUndefined();

      local.faults.next({ method: 'PUT', kind: 'truncate-reply' });
      await expect(put(url, 'x')).rejects.toThrow();
      expect(await objects.headObject('a')).toBeDefined();
    });
  });

  it('says that a port is taken', async () => {
    const port = Number(new URL(local.endpoint).port);

    await expect(startLocalObjectStore({ port })).rejects.toMatchObject({
      code: 'InvalidConfiguration',
      message: `cannot listen on 127.0.0.1:${port}`,
    });
  });
});
