import { S3Client, UploadPartCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { describe, expect, it } from '@jest/globals';
import { presignPartsLike } from '../../lib/aws/presign-parts.ts';
import { deriveSigningKey, signRequest } from '../../lib/aws/signature-v4.ts';

const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY';

describe('signRequest', () => {
  // The example of https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
  it('signs the documented example as it is documented', () => {
    const scope = { date: '20130524', region: 'us-east-1', service: 's3' };
    const query = [
      'X-Amz-Algorithm=AWS4-HMAC-SHA256',
      'X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request',
      'X-Amz-Date=20130524T000000Z',
      'X-Amz-Expires=86400',
      'X-Amz-SignedHeaders=host',
    ].join('&');

    const signature = signRequest(
      {
        method: 'GET',
        path: '/test.txt',
        query,
        headers: [['host', 'examplebucket.s3.amazonaws.com']],
        payloadHash: 'UNSIGNED-PAYLOAD',
      },
      '20130524T000000Z',
      scope,
      deriveSigningKey(secretAccessKey, scope),
    );

    expect(signature).toBe('aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404');
  });
});

describe('presignPartsLike', () => {
  const signingDate = new Date('2026-03-01T10:00:00.000Z');
  const plain = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey };
  const temporary = { ...plain, sessionToken: 'IQoJb3JpZ2luX2VjE//+=&' };
  const places = {
    'a bucket in S3': { region: 'eu-central-1', credentials: plain },
    'temporary credentials': { region: 'us-east-1', credentials: temporary },
    'a region with another domain': { region: 'cn-north-1', credentials: temporary },
    'an endpoint with a port': { endpoint: 'http://127.0.0.1:4566', forcePathStyle: true },
    'an endpoint with the default port': { endpoint: 'http://s3.local:80', forcePathStyle: true },
    'an endpoint with a path': { endpoint: 'https://gate.local/s3/', forcePathStyle: true },
  };
  const urlOf = (
    place: object,
    partNumber: number,
    uploadId = 'up.load_id-~+/=',
  ): Promise<string> => {
    const client = new S3Client({
      region: 'us-east-1',
      credentials: plain,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      ...place,
    });
    const command = new UploadPartCommand({
      Bucket: 'dumps-of-all',
      Key: "dumps/prod/na!C3!AFve (it's) a+b/größe/heap.hprof.zst",
      UploadId: uploadId,
      PartNumber: partNumber,
    });
    return getSignedUrl(client, command, { expiresIn: 1_260, signingDate });
  };
  /** Parameters have no order of their own. */
  const parsed = (url: string) => {
    const { origin, pathname, searchParams } = new URL(url);
    return { origin, pathname, query: [...searchParams].sort() };
  };

  it.each(Object.entries(places))('signs every part as the SDK does: %s', async (_name, place) => {
    const urls = presignPartsLike(await urlOf(place, 1), secretAccessKey, 120);

    expect(urls).toHaveLength(120);
    for (const partNumber of [1, 2, 9, 10, 99, 100, 120]) {
      const url = urls?.[partNumber - 1] ?? '';
      expect(parsed(url)).toEqual(parsed(await urlOf(place, partNumber)));
    }
  });

  it('leaves it to the SDK when the key is not the one that signed the first', async () => {
    const first = await urlOf(places['a bucket in S3'], 1);

    expect(presignPartsLike(first, 'a key that came a moment later', 2)).toBeUndefined();
  });

  it('leaves it to the SDK when the first URL is of another form', async () => {
    const first = await urlOf(places['a bucket in S3'], 1);

    expect(presignPartsLike('https://s3.local/key', secretAccessKey, 2)).toBeUndefined();
    expect(
      presignPartsLike(first.replace('partNumber=1&', ''), secretAccessKey, 2),
    ).toBeUndefined();
    expect(
      presignPartsLike(
        first.replace('SignedHeaders=host', 'SignedHeaders=host%3Bx-amz-a'),
        secretAccessKey,
        2,
      ),
    ).toBeUndefined();
  });
});
