import { receiveBody, receiveText } from './body-files.ts';
import type { S3Reply, S3Request } from './s3-exchange.ts';
import { invalidArgument, notImplemented, S3Fault } from './s3-fault.ts';
import type { StoredObject, StoredObjects } from './stored-objects.ts';
import { maxTaggingBodyBytes, parseTaggingBody, resultXml, type Fields } from './xml.ts';

export interface Bucket {
  bucketName: string;
  folder: string;
  objects: StoredObjects;
  now: () => Date;
}

const maxKeyBytes = 1_024;
const maxPageSize = 1_000;

export function checkKey(objectKey: string): void {
  if (Buffer.byteLength(objectKey) <= maxKeyBytes) return;
  throw new S3Fault(400, 'KeyTooLongError', 'Your key is too long');
}

export async function putObject(bucket: Bucket, request: S3Request): Promise<S3Reply> {
  const { incoming, objectKey, signedSha256 } = request;
  const { 'if-none-match': ifNoneMatch, 'content-type': contentType } = incoming.headers;
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*') {
    throw notImplemented(`If-None-Match with another value than "*"`);
  }
  checkKey(objectKey);
  const body = await receiveBody(incoming, bucket.folder, signedSha256);
  const object: StoredObject = {
    files: [body],
    bytes: body.bytes,
    eTag: `"${body.md5}"`,
    contentType: contentType ?? 'binary/octet-stream',
    lastModified: bucket.now(),
  };
  bucket.objects.put(objectKey, object, 'Put', ifNoneMatch === '*');
  return { status: 200, headers: { ETag: object.eTag } };
}

/** PutObjectTagging; replaces all tags. */
export async function tagObject(bucket: Bucket, request: S3Request): Promise<S3Reply> {
  const tags = parseTaggingBody(await receiveText(request.incoming, maxTaggingBodyBytes));
  bucket.objects.tag(request.objectKey, tags);
  return { status: 200 };
}

/** GET and HEAD. */
export function getObject(bucket: Bucket, request: S3Request): S3Reply {
  const object = bucket.objects.get(request.objectKey);
  if (request.incoming.headers['if-none-match'] === object.eTag) {
    return { status: 304, headers: { ETag: object.eTag } };
  }
  const range = rangeOf(request.incoming.headers.range, object.bytes);
  const start = range?.start ?? 0;
  const end = range?.end ?? object.bytes - 1;
  const headers = {
    'Accept-Ranges': 'bytes',
    'Content-Length': String(end - start + 1),
    'Content-Type': object.contentType,
    ETag: object.eTag,
    'Last-Modified': object.lastModified.toUTCString(),
    ...(object.tags && { 'x-amz-tagging-count': String(Object.keys(object.tags).length) }),
    ...(range === undefined ? {} : { 'Content-Range': `bytes ${start}-${end}/${object.bytes}` }),
  };
  const status = range === undefined ? 200 : 206;
  if (request.method === 'HEAD') return { status, headers };
  return { status, headers, body: { files: object.files, start, end } };
}

/** RFC 9110, section 14: what is not understood is ignored, and so are several ranges at once. */
function rangeOf(
  header: string | undefined,
  bytes: number,
): { start: number; end: number } | undefined {
  const [, first = '', last = ''] = /^bytes=([0-9]{0,16})-([0-9]{0,16})$/.exec(header ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  const start = first === '' ? Math.max(0, bytes - Number(last)) : Number(first);
  const end = first === '' || last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1);
  if (start < bytes && start <= end) return { start, end };
  const message = 'The requested range is not satisfiable';
  throw new S3Fault(416, 'InvalidRange', message, { 'Content-Range': `bytes */${bytes}` });
}

export function deleteObject(bucket: Bucket, request: S3Request): S3Reply {
  bucket.objects.delete(request.objectKey);
  return { status: 204 };
}

/** ListObjectsV2. */
export function listObjects(bucket: Bucket, { query }: S3Request): S3Reply {
  for (const name of ['delimiter', 'encoding-type']) {
    if (query.has(name)) throw notImplemented(name);
  }
  const prefix = query.get('prefix') ?? '';
  const token = query.get('continuation-token');
  const after =
    token === undefined
      ? (query.get('start-after') ?? '')
      : Buffer.from(token, 'base64url').toString();
  const pageSize = pageSizeOf(query.get('max-keys'));
  const found = bucket.objects.list(prefix, after);
  const page = found.slice(0, pageSize);
  const lastKey = page.at(-1)?.[0];
  const isTruncated = page.length < found.length;
  const next: Fields =
    isTruncated && lastKey !== undefined
      ? [['NextContinuationToken', Buffer.from(lastKey).toString('base64url')]]
      : [];
  const fields: Fields = [
    ['Name', bucket.bucketName],
    ['Prefix', prefix],
    ['MaxKeys', pageSize],
    ['KeyCount', page.length],
    ['IsTruncated', isTruncated],
    ...next,
  ];
  const items = page.map(([objectKey, object]): Fields => [
    ['Key', objectKey],
    ['LastModified', object.lastModified.toISOString()],
    ['ETag', object.eTag],
    ['Size', object.bytes],
    ['StorageClass', 'STANDARD'],
  ]);
  return { status: 200, body: resultXml('ListBucketResult', fields, { name: 'Contents', items }) };
}

/** Absent means 1,000, and more than that does too. */
export function pageSizeOf(text: string | undefined): number {
  if (text === undefined) return maxPageSize;
  if (/^[0-9]{1,9}$/.test(text)) return Math.min(Number(text), maxPageSize);
  throw invalidArgument('a page size must be an integer between 0 and 2147483647');
}
