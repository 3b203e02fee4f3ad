import {
  DeleteObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  PutObjectTaggingCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import type { ObjectStore } from '../capture/ports.ts';
import { CaptureError } from '../errors.ts';
import { callS3, createS3Client, type S3Options, type S3Subject } from './s3-call.ts';
import { createS3MultipartUploads } from './s3-multipart.ts';
import { createS3Presigner } from './s3-presign.ts';
import { readS3Object } from './s3-read.ts';

/**
 * The bucket, in S3 or in something that speaks its protocol. What is absent is an answer; AccessDenied is a fault
 * that names the action and the key, and is not worth a retry. Where the caller may not list the bucket, S3 answers
 * AccessDenied for what is merely absent.
 * @param options publicEndpoint is where pods reach the same bucket: for presigned URLs alone.
 */
export function createS3ObjectStore(options: S3Options & { publicEndpoint?: string }): ObjectStore {
  const { bucketName, publicEndpoint } = options;
  const client = createS3Client(options);
  const presigningClient =
    publicEndpoint === undefined
      ? client
      : createS3Client({
          ...options,
          endpoint: publicEndpoint,
          credentials: client.config.credentials,
        });
  return {
    ...createS3Objects(client, bucketName),
    ...createS3MultipartUploads(client, bucketName),
    ...createS3Presigner(presigningClient, bucketName),
  };
}

type Objects = Pick<
  ObjectStore,
  'putObject' | 'getObject' | 'headObject' | 'deleteObject' | 'tagObject' | 'listObjects'
>;

function createS3Objects(client: S3Client, bucketName: string): Objects {
  const object = (objectKey: string) => ({ Bucket: bucketName, Key: objectKey });
  const subject = (action: string, objectKey: string): S3Subject => ({
    action,
    bucketName,
    objectKey,
  });
  return {
    /** With ifNoneMatch, a first attempt whose reply was lost makes the next one answer `exists`. */
    putObject: (objectKey, body, { contentType, ifNoneMatch }) =>
      callS3<'written' | 'exists'>(
        subject('s3:PutObject', objectKey),
        async (signal) => {
          const command = new PutObjectCommand({
            ...object(objectKey),
            Body: body,
            ContentType: contentType,
            ...(ifNoneMatch === true ? { IfNoneMatch: '*' } : {}),
          });
          await client.send(command, { abortSignal: signal });
          return 'written';
        },
        (_code, status) => (status === 412 ? { answer: 'exists' } : undefined),
      ),

    getObject: (objectKey, bounds) =>
      readS3Object(client, subject('s3:GetObject', objectKey), bounds),

    /** Also `undefined` when there is no such bucket: the answer to a HEAD does not tell. */
    headObject: (objectKey) =>
      callS3<{ bytes: number; eTag: string } | undefined>(
        subject('s3:GetObject', objectKey),
        async (signal) => {
          const command = new HeadObjectCommand(object(objectKey));
          const reply = await client.send(command, { abortSignal: signal });
          return { bytes: reply.ContentLength ?? 0, eTag: reply.ETag ?? '' };
        },
        (_code, status) => (status === 404 ? { answer: undefined } : undefined),
      ),

    deleteObject: (objectKey) =>
      callS3<undefined>(
        subject('s3:DeleteObject', objectKey),
        async (signal) => {
          await client.send(new DeleteObjectCommand(object(objectKey)), { abortSignal: signal });
          return undefined;
        },
        (code) => (code === 'NoSuchKey' ? { answer: undefined } : undefined),
      ),

    tagObject: (objectKey, tag) =>
      tagS3Object(client, subject('s3:PutObjectTagging', objectKey), tag),

    listObjects: (prefix, options) =>
      listS3Objects(client, subject('s3:ListBucket', prefix), options),
  };
}

function tagS3Object(
  client: S3Client,
  subject: S3Subject,
  { key, value }: { key: string; value: string },
): Promise<undefined> {
  return callS3<undefined>(
    subject,
    async (signal) => {
      const command = new PutObjectTaggingCommand({
        Bucket: subject.bucketName,
        Key: subject.objectKey,
        Tagging: { TagSet: [{ Key: key, Value: value }] },
      });
      await client.send(command, { abortSignal: signal });
      return undefined;
    },
    (code) => (code === 'NoSuchKey' ? { answer: undefined } : undefined),
  );
}

async function listS3Objects(
  client: S3Client,
  subject: S3Subject,
  { limit, startAfter }: { limit: number; startAfter?: string },
): ReturnType<ObjectStore['listObjects']> {
  if (!(Number.isInteger(limit) && limit >= 1 && limit <= 1_000)) {
    throw new CaptureError('InvalidConfiguration', `limit ${limit}: accepted is 1 to 1000`);
  }
  return callS3(subject, async (signal) => {
    const command = new ListObjectsV2Command({
      Bucket: subject.bucketName,
      Prefix: subject.objectKey,
      MaxKeys: limit,
      ...(startAfter === undefined ? {} : { StartAfter: startAfter }),
    });
    const reply = await client.send(command, { abortSignal: signal });
    return (reply.Contents ?? []).map(({ Key, Size }) => ({
      objectKey: Key ?? '',
      bytes: Size ?? 0,
    }));
  });
}
