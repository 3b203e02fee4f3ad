import { receiveBody, receiveText } from './body-files.ts';
import { checkKey, pageSizeOf, type Bucket } from './object-requests.ts';
import type { S3Reply, S3Request } from './s3-exchange.ts';
import { checkedPartNumber, type Uploads } from './uploads.ts';
import { maxCompleteBodyBytes, parseCompleteBody, resultXml, type Fields } from './xml.ts';

export interface UploadBucket extends Bucket {
  uploads: Uploads;
}

const uploadIdOf = ({ query }: S3Request): string => query.get('uploadId') ?? '';

export function createUpload(bucket: UploadBucket, request: S3Request): S3Reply {
  const { objectKey, incoming } = request;
  checkKey(objectKey);
  const contentType = incoming.headers['content-type'] ?? 'binary/octet-stream';
  const fields: Fields = [
    ['Bucket', bucket.bucketName],
    ['Key', objectKey],
    ['UploadId', bucket.uploads.create(objectKey, contentType)],
  ];
  return { status: 200, body: resultXml('InitiateMultipartUploadResult', fields) };
}

export async function uploadPart(bucket: UploadBucket, request: S3Request): Promise<S3Reply> {
  const { objectKey, incoming, query, signedSha256 } = request;
  const uploadId = uploadIdOf(request);
  const partNumber = checkedPartNumber(query.get('partNumber') ?? '');
  bucket.uploads.check(objectKey, uploadId);
  const body = await receiveBody(incoming, bucket.folder, signedSha256);
  const part = { ...body, lastModified: bucket.now() };
  await bucket.uploads.putPart(objectKey, uploadId, partNumber, part);
  return { status: 200, headers: { ETag: `"${body.md5}"` } };
}

export function listParts(bucket: UploadBucket, request: S3Request): S3Reply {
  const { objectKey, query } = request;
  const uploadId = uploadIdOf(request);
  const marker = Number(query.get('part-number-marker') ?? '0');
  const pageSize = pageSizeOf(query.get('max-parts'));
  const parts = bucket.uploads.listParts(objectKey, uploadId);
  const found = parts.filter(([partNumber]) => partNumber > marker);
  const page = found.slice(0, pageSize);
  const fields: Fields = [
    ['Bucket', bucket.bucketName],
    ['Key', objectKey],
    ['UploadId', uploadId],
    ['PartNumberMarker', marker],
    ['NextPartNumberMarker', page.at(-1)?.[0] ?? 0],
    ['MaxParts', pageSize],
    ['IsTruncated', page.length < found.length],
  ];
  const items = page.map(([partNumber, part]): Fields => [
    ['PartNumber', partNumber],
    ['LastModified', part.lastModified.toISOString()],
    ['ETag', `"${part.md5}"`],
    ['Size', part.bytes],
  ]);
  return { status: 200, body: resultXml('ListPartsResult', fields, { name: 'Part', items }) };
}

export async function completeUpload(bucket: UploadBucket, request: S3Request): Promise<S3Reply> {
  const { objectKey, incoming } = request;
  const listed = parseCompleteBody(await receiveText(incoming, maxCompleteBodyBytes));
  const eTag = bucket.uploads.complete(objectKey, uploadIdOf(request), listed, bucket.now());
  const fields: Fields = [
    ['Bucket', bucket.bucketName],
    ['Key', objectKey],
    ['ETag', eTag],
  ];
  return { status: 200, body: resultXml('CompleteMultipartUploadResult', fields) };
}

export async function abortUpload(bucket: UploadBucket, request: S3Request): Promise<S3Reply> {
  await bucket.uploads.abort(request.objectKey, uploadIdOf(request));
  return { status: 204 };
}
