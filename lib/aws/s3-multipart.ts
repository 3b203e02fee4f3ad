import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListPartsCommand,
  UploadPartCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { ObjectStore, StoredPart } from '../capture/ports.ts';
import { maxPartCount } from '../capture/ticket.ts';
import { callS3, unavailable, type S3Subject } from './s3-call.ts';

/**
 * S3 begins its answer at once and sends white space until the object is made, which "could take several minutes":
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html. Less than seal's own time.
 */
const completeDeadlineMillis = 90_000;
/** Pages have 1,000 parts; a store that makes them smaller is followed as well, within reason. */
const maxPageCount = 200;

type Uploads = Pick<
  ObjectStore,
  | 'createMultipartUpload'
  | 'uploadPart'
  | 'listParts'
  | 'completeMultipartUpload'
  | 'abortMultipartUpload'
>;

/** One upload, as all requests but the first name it. */
interface UploadOf {
  Bucket: string;
  Key: string;
  UploadId: string;
}

/** Multipart uploads without a checksum algorithm: parts carry their Content-MD5, S3 adds a CRC64NVME of its own. */
export function createS3MultipartUploads(client: S3Client, bucketName: string): Uploads {
  const upload = (objectKey: string, uploadId: string): UploadOf => ({
    Bucket: bucketName,
    Key: objectKey,
    UploadId: uploadId,
  });
  const subject = (action: string, objectKey: string): S3Subject => ({
    action,
    bucketName,
    objectKey,
  });
  return {
    /** A lost reply leaves an upload without parts, which the bucket's lifecycle rule drops. */
    createMultipartUpload: (objectKey, contentType) =>
      createUpload(client, subject('s3:PutObject', objectKey), contentType),

    uploadPart: (objectKey, uploadId, partNumber, body) =>
      uploadPart(client, subject('s3:PutObject', objectKey), {
        ...upload(objectKey, uploadId),
        PartNumber: partNumber,
        Body: body,
      }),

    listParts: (objectKey, uploadId) => {
      const of = subject('s3:ListMultipartUploadParts', objectKey);
      return callS3<readonly StoredPart[] | undefined>(
        of,
        (signal) => listAllParts(client, of, upload(objectKey, uploadId), signal),
        whenNoSuchUpload(undefined),
      );
    },

    completeMultipartUpload: (objectKey, uploadId, parts) =>
      complete(client, subject('s3:PutObject', objectKey), upload(objectKey, uploadId), parts),

    abortMultipartUpload: (objectKey, uploadId) =>
      callS3<undefined>(
        subject('s3:AbortMultipartUpload', objectKey),
        async (signal) => {
          const command = new AbortMultipartUploadCommand(upload(objectKey, uploadId));
          await client.send(command, { abortSignal: signal });
          return undefined;
        },
        whenNoSuchUpload(undefined),
      ),
  };
}

function whenNoSuchUpload<T>(answer: T) {
  return (code: string): { answer: T } | undefined =>
    code === 'NoSuchUpload' ? { answer } : undefined;
}

function createUpload(client: S3Client, of: S3Subject, contentType: string): Promise<string> {
  return callS3(of, async (signal) => {
    const command = new CreateMultipartUploadCommand({
      Bucket: of.bucketName,
      Key: of.objectKey,
      ContentType: contentType,
    });
    const { UploadId } = await client.send(command, { abortSignal: signal });
    if (UploadId === undefined) throw unavailable(of, 'was answered without an upload id', true);
    return UploadId;
  });
}

function uploadPart(
  client: S3Client,
  of: S3Subject,
  input: UploadOf & { PartNumber: number; Body: Uint8Array },
): Promise<StoredPart> {
  return callS3(of, async (signal) => {
    const { ETag } = await client.send(new UploadPartCommand(input), { abortSignal: signal });
    if (ETag === undefined) throw unavailable(of, 'was answered without an ETag', true);
    return { partNumber: input.PartNumber, bytes: input.Body.byteLength, eTag: ETag };
  });
}

function complete(
  client: S3Client,
  of: S3Subject,
  upload: UploadOf,
  parts: readonly StoredPart[],
): Promise<'completed' | 'noSuchUpload'> {
  const command = new CompleteMultipartUploadCommand({
    ...upload,
    MultipartUpload: {
      Parts: parts.map(({ partNumber, eTag }) => ({ PartNumber: partNumber, ETag: eTag })),
    },
  });
  return callS3<'completed' | 'noSuchUpload'>(
    of,
    async (signal) => {
      const { ETag } = await client.send(command, { abortSignal: signal });
      // The status comes before the work is done, so that 200 alone says nothing. The SDK recognizes an error in
      // the body only where the body ends with it.
      if (ETag === undefined) throw unavailable(of, 'was answered 200 without an ETag', true);
      return 'completed';
    },
    whenNoSuchUpload('noSuchUpload'),
    completeDeadlineMillis,
  );
}

async function listAllParts(
  client: S3Client,
  of: S3Subject,
  upload: UploadOf,
  signal: AbortSignal,
): Promise<readonly StoredPart[]> {
  const parts: StoredPart[] = [];
  let marker: string | undefined;
  for (let page = 0; page < maxPageCount; page += 1) {
    const command = new ListPartsCommand({
      ...upload,
      MaxParts: 1_000,
      ...(marker === undefined ? {} : { PartNumberMarker: marker }),
    });
    const reply = await client.send(command, { abortSignal: signal });
    for (const { PartNumber, Size, ETag } of reply.Parts ?? []) {
      parts.push({ partNumber: PartNumber ?? 0, bytes: Size ?? 0, eTag: ETag ?? '' });
    }
    marker = reply.NextPartNumberMarker;
    if (reply.IsTruncated !== true || marker === undefined) return parts;
    if (parts.length > maxPartCount) break;
  }
  throw unavailable(of, `listed over ${maxPartCount} parts, or over ${maxPageCount} pages`, false);
}
