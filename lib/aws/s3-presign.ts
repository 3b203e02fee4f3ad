import {
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { ObjectStore } from '../capture/ports.ts';
import { maxPartCount } from '../capture/ticket.ts';
import { CaptureError } from '../errors.ts';
import { presignPartsLike } from './presign-parts.ts';
import { callS3 } from './s3-call.ts';

/** Signature Version 4 ends at a week. With temporary credentials a URL also ends when they do. */
const maxExpiresSeconds = 604_800;

type Presigner = Pick<ObjectStore, 'presignGet' | 'presignPut' | 'presignParts'>;

/**
 * Presigned URLs that a plain HTTP client can use: host is the only signed header, so that Content-Length and
 * Content-MD5 may be sent as they are. S3 checks the latter, signed or not.
 */
export function createS3Presigner(client: S3Client, bucketName: string): Presigner {
  const object = (objectKey: string) => ({ Bucket: bucketName, Key: objectKey });
  /** Asks nobody but, at times, the provider of the credentials. */
  const presign = (
    action: string,
    objectKey: string,
    expiresSeconds: number,
    sign: (options: { expiresIn: number }) => Promise<string>,
  ): Promise<string> => {
    checkExpiry(expiresSeconds);
    return callS3({ action, bucketName, objectKey }, () => sign({ expiresIn: expiresSeconds }));
  };

  return {
    presignGet: async (objectKey, expiresSeconds) =>
      presign('s3:GetObject', objectKey, expiresSeconds, (options) =>
        getSignedUrl(client, new GetObjectCommand(object(objectKey)), options),
      ),

    presignPut: async (objectKey, expiresSeconds) =>
      presign('s3:PutObject', objectKey, expiresSeconds, (options) =>
        getSignedUrl(client, new PutObjectCommand(object(objectKey)), options),
      ),

    async presignParts(objectKey, uploadId, partCount, expiresSeconds) {
      if (!(Number.isInteger(partCount) && partCount >= 1 && partCount <= maxPartCount)) {
        const accepted = `accepted is 1 to ${maxPartCount}`;
        throw new CaptureError('InvalidConfiguration', `partCount ${partCount}: ${accepted}`);
      }
      const presignPart = (partNumber: number): Promise<string> =>
        presign('s3:PutObject', objectKey, expiresSeconds, (options) => {
          const upload = { ...object(objectKey), UploadId: uploadId, PartNumber: partNumber };
          return getSignedUrl(client, new UploadPartCommand(upload), options);
        });
      const first = await presignPart(1);
      const { secretAccessKey } = await client.config.credentials();
      const urls = presignPartsLike(first, secretAccessKey, partCount);
      if (urls !== undefined) return urls;
      return Promise.all(Array.from({ length: partCount }, (_, index) => presignPart(index + 1)));
    },
  };
}

function checkExpiry(expiresSeconds: number): void {
  const valid =
    Number.isInteger(expiresSeconds) && expiresSeconds >= 1 && expiresSeconds <= maxExpiresSeconds;
  if (valid) return;
  throw new CaptureError(
    'InvalidConfiguration',
    `a URL cannot be presigned for ${expiresSeconds} s: accepted is 1 to ${maxExpiresSeconds}`,
  );
}
