import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { callS3 } from '../../lib/aws/s3-call.ts';
import { createS3ObjectStore } from '../../lib/aws/s3-object-store.ts';
import type { ObjectStore } from '../../lib/capture/ports.ts';
import {
  startLocalObjectStore,
  type LocalObjectStore,
} from '../../lib/local/object-store/object-store.ts';

const text = { contentType: 'text/plain' };
const bytesOf = (content: string): Uint8Array => Buffer.from(content);

describe('S3 object store', () => {
  let local: LocalObjectStore;
  let objects: ObjectStore;

  beforeEach(async () => {
    local = await startLocalObjectStore();
    objects = createS3ObjectStore(local);
  });
  afterEach(() => local.close());

  const readText = async (objectKey: string) =>
    Buffer.from((await objects.getObject(objectKey, { maxBytes: 1_000 })) ?? []).toString();
  const openWithOnePart = async (key: string) => {
    const uploadId = await objects.createMultipartUpload(key, 'application/zstd');
    return { uploadId, parts: [await objects.uploadPart(key, uploadId, 1, bytesOf('all'))] };
  };

  it.each(['status-503', 'slow-down', 'reset', 'truncate-reply'] as const)(
    'gets over two attempts that end in %s',
    async (kind) => {
      local.faults.next({ method: 'PUT', kind, times: 2 });

      expect(await objects.putObject('a', bytesOf('body'), text)).toBe('written');

      expect(local.faults.pendingCount).toBe(0);
      expect(await readText('a')).toBe('body');
    },
  );

  it('gives up after three attempts, retryable, and says what failed', async () => {
    local.faults.next({ kind: 'status-503', times: 4 });

    await expect(objects.putObject('a/b', bytesOf('body'), text)).rejects.toMatchObject({
      code: 'ObjectStoreUnavailable',
      retryable: true,
      message:
        's3:PutObject on s3://heapcatch-dumps/a/b failed: ServiceUnavailable (HTTP 503): Service is unable to handle request.',
    });
    expect(local.faults.pendingCount).toBe(1);
  });

  it('is not retryable when access is denied, and names the action, the key and the missing right', async () => {
    local.faults.next({ kind: 'expired', times: 2 });

    const put = objects.putObject('a/b', bytesOf('body'), text);
    await expect(put).rejects.toMatchObject({ code: 'ObjectStoreUnavailable', retryable: false });
    await expect(put).rejects.toThrow(
      /^s3:PutObject on s3:\/\/heapcatch-dumps\/a\/b failed: AccessDenied.*the role needs s3:PutObject on it$/,
    );
    // The answer to a HEAD has no body that could say more than 403.
    await expect(objects.headObject('a/b')).rejects.toThrow('the role needs s3:GetObject on it');
  });

  it('does not take wrong credentials for a missing right', async () => {
    const credentials = { ...local.credentials, secretAccessKey: 'another' };
    const stranger = createS3ObjectStore({ ...local, credentials });

    const get = stranger.getObject('a', { maxBytes: 1 });

    await expect(get).rejects.toMatchObject({ retryable: false });
    await expect(get).rejects.toThrow('SignatureDoesNotMatch');
    await expect(get).rejects.not.toThrow('the role needs');
  });

  it('takes a bucket that is not there for a fault, not for an absent object', async () => {
    const elsewhere = createS3ObjectStore({ ...local, bucketName: 'no-such-bucket' });

    await expect(elsewhere.getObject('a', { maxBytes: 1 })).rejects.toThrow('NoSuchBucket');
    await expect(elsewhere.listObjects('', { limit: 1 })).rejects.toThrow('NoSuchBucket');
  });

  it('is retryable when nobody answers', async () => {
    await local.close();

    await expect(objects.headObject('a')).rejects.toMatchObject({
      code: 'ObjectStoreUnavailable',
      retryable: true,
    });
    local = await startLocalObjectStore();
  });

  it('reads a body again that breaks off in the middle', async () => {
    await objects.putObject('a', bytesOf('0123456789'), text);
    local.faults.next({ method: 'GET', kind: 'truncate-reply', times: 2 });

    expect(await readText('a')).toBe('0123456789');

    local.faults.next({ method: 'GET', kind: 'truncate-reply', times: 9 });
    await expect(objects.getObject('a', { maxBytes: 10 })).rejects.toMatchObject({
      code: 'ObjectStoreUnavailable',
      retryable: true,
    });
  });

  it('answers exists for its own object when the reply to the first attempt was lost', async () => {
    local.faults.next({ method: 'PUT', kind: 'truncate-reply' });

    const outcome = await objects.putObject('a', bytesOf('x'), { ...text, ifNoneMatch: true });

    expect(outcome).toBe('exists');
    expect(await readText('a')).toBe('x');
  });

  it('completes an upload although the first answer is 200 with an error in its body', async () => {
    const { uploadId, parts } = await openWithOnePart('a');
    local.faults.next({ method: 'POST', kind: 'error-in-200' });

    expect(await objects.completeMultipartUpload('a', uploadId, parts)).toBe('completed');

    expect(await readText('a')).toBe('all');
  });

  it('does not believe a 200 whose body stays an error', async () => {
    const { uploadId, parts } = await openWithOnePart('a');
    local.faults.next({ method: 'POST', kind: 'error-in-200', times: 3 });

    await expect(objects.completeMultipartUpload('a', uploadId, parts)).rejects.toMatchObject({
      code: 'ObjectStoreUnavailable',
      retryable: true,
    });
    expect(await objects.headObject('a')).toBeUndefined();
  });

  it('does not believe a 200 whose error is followed by a line break, which the SDK overlooks', async () => {
    const body = '<?xml version="1.0"?>\n<Error><Code>InternalError</Code></Error>\n';
    const server = createServer((_request, response) => response.end(body));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const broken = createS3ObjectStore({ ...local, endpoint: `http://127.0.0.1:${port}` });

    const part = { partNumber: 1, bytes: 1, eTag: '"00"' };
    const completion = broken.completeMultipartUpload('a', 'upload', [part]);

    await expect(completion).rejects.toMatchObject({ retryable: true });
    await expect(completion).rejects.toThrow('was answered 200 without an ETag');
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it.each(['reset', 'truncate-reply'] as const)(
    'completes an upload once, though the reply to the first attempt was lost: %s',
    async (kind) => {
      const { uploadId, parts } = await openWithOnePart('a');
      local.faults.next({ method: 'POST', kind });

      expect(await objects.completeMultipartUpload('a', uploadId, parts)).toBe('completed');

      expect(await readText('a')).toBe('all');
    },
  );

  it('presigns where pods reach the bucket, and asks itself where it does', async () => {
    const publicEndpoint = 'http://objects.example:9000';
    const both = createS3ObjectStore({ ...local, publicEndpoint });
    await both.putObject('a', bytesOf('x'), text);

    const urls = [
      await both.presignGet('a', 60),
      await both.presignPut('a', 60),
      ...(await both.presignParts('a', 'upload', 2, 60)),
    ];

    for (const url of urls)
      expect(url).toMatch(/^http:\/\/objects\.example:9000\/heapcatch-dumps\/a\?/);
    expect(urls.map((url) => new URL(url).searchParams.get('X-Amz-SignedHeaders'))).toEqual(
      urls.map(() => 'host'),
    );
  });

  it('presigns all parts of the largest upload, in order', async () => {
    const urls = await objects.presignParts('a', 'upload', 10_000, 60);

    expect(urls.map((url) => Number(new URL(url).searchParams.get('partNumber')))).toEqual(
      Array.from({ length: 10_000 }, (_, index) => index + 1),
    );
  });

  it('refuses what cannot be signed or listed, and says what is accepted', async () => {
    await expect(objects.presignGet('a', 0)).rejects.toThrow('accepted is 1 to 604800');
    await expect(objects.presignPut('a', 604_801)).rejects.toThrow('accepted is 1 to 604800');
    await expect(objects.presignParts('a', 'u', 10_001, 60)).rejects.toThrow(
      'partCount 10001: accepted is 1 to 10000',
    );
    await expect(objects.listObjects('', { limit: 1_001 })).rejects.toThrow(
      'limit 1001: accepted is 1 to 1000',
    );
  });
});

describe('callS3', () => {
  it('ends at its deadline, whatever hangs', async () => {
    const subject = { action: 's3:GetObject', bucketName: 'b', objectKey: 'k' };
    const hanging = () => new Promise<never>(() => undefined);

    const call = callS3(subject, hanging, undefined, 5);

    await expect(call).rejects.toMatchObject({
      code: 'ObjectStoreUnavailable',
      retryable: true,
      message: 's3:GetObject on s3://b/k took over 0.005 s',
    });
  });
});
