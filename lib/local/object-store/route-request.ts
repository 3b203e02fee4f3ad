import { deleteObject, getObject, listObjects, putObject, tagObject } from './object-requests.ts';
import type { S3Reply, S3Request } from './s3-exchange.ts';
import { notImplemented, S3Fault } from './s3-fault.ts';
import {
  abortUpload,
  completeUpload,
  createUpload,
  listParts,
  uploadPart,
  type UploadBucket,
} from './upload-requests.ts';

/** Parameters that an operation can have; any other asks for something that is not here. */
const knownParameters = new Set([
  'list-type',
  'prefix',
  'start-after',
  'continuation-token',
  'max-keys',
  'delimiter',
  'encoding-type',
  'fetch-owner',
  'uploads',
  'uploadId',
  'partNumber',
  'part-number-marker',
  'max-parts',
  'tagging',
  'x-id',
]);
/** Headers that would have to be obeyed, and are not. */
const refusedHeaders =
  /^x-amz-(?:copy-source|checksum-(?!mode)|sdk-checksum|trailer|tagging|acl|grant-|object-lock|server-side-encryption|write-offset)|^if-match$/;

/** Finds the operation of a request and carries it out. @throws S3Fault. */
export function routeRequest(bucket: UploadBucket, request: S3Request): S3Reply | Promise<S3Reply> {
  const { query, incoming } = request;
  for (const name of query.keys()) {
    if (!knownParameters.has(name) && !name.startsWith('X-Amz-')) throw notImplemented(name);
  }
  for (const name of Object.keys(incoming.headers)) {
    // S3 asks for a checksum of tags, and of nothing else that is here.
    if (name === 'x-amz-checksum-crc32' && query.has('tagging')) continue;
    if (name === 'x-amz-sdk-checksum-algorithm' && query.has('tagging')) continue;
    if (refusedHeaders.test(name)) throw notImplemented(name);
  }
  if (request.bucketName !== bucket.bucketName) {
    throw new S3Fault(404, 'NoSuchBucket', 'The specified bucket does not exist');
  }
  return request.objectKey === '' ? onBucket(bucket, request) : onObject(bucket, request);
}

function onBucket(bucket: UploadBucket, request: S3Request): S3Reply {
  if (request.method === 'GET' && request.query.get('list-type') === '2') {
    return listObjects(bucket, request);
  }
  throw notImplemented(`${request.method} of a bucket`);
}

function onObject(bucket: UploadBucket, request: S3Request): S3Reply | Promise<S3Reply> {
  const { method, query } = request;
  const ofUpload = query.has('uploadId');
  if (query.has('tagging')) {
    if (method === 'PUT') return tagObject(bucket, request);
    throw notImplemented(`${method} of tags`);
  }
  switch (method) {
    case 'PUT':
      return ofUpload ? uploadPart(bucket, request) : putObject(bucket, request);
    case 'GET':
      return ofUpload ? listParts(bucket, request) : getObject(bucket, request);
    case 'HEAD':
      return getObject(bucket, request);
    case 'DELETE':
      return ofUpload ? abortUpload(bucket, request) : deleteObject(bucket, request);
    case 'POST':
      if (query.has('uploads')) return createUpload(bucket, request);
      if (ofUpload) return completeUpload(bucket, request);
  }
  throw notImplemented(`${method} of an object`);
}
