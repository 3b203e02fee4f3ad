import { compositeMd5 } from '../../lib/capture/composite-md5.ts';
import { createHash } from 'node:crypto';
import type { ObjectStore, StoredPart } from '../../lib/capture/ports.ts';
import { minPartBytes } from '../../lib/capture/ticket.ts';
import { CaptureError } from '../../lib/errors.ts';

interface Upload {
  objectKey: string;
  parts: Map<number, { body: Uint8Array; stored: StoredPart }>;
}

/** A bucket in memory that holds its clients to S3's rules on multipart uploads. */
export class MemoryObjectStore implements ObjectStore {
  readonly objects = new Map<string, { body: Uint8Array; eTag: string }>();
  /** By object key, `key=value`. */
  readonly tags = new Map<string, string>();
  readonly uploads = new Map<string, Upload>();
  #uploadCount = 0;

  putObject: ObjectStore['putObject'] = (objectKey, body, options) => {
    if (options.ifNoneMatch === true && this.objects.has(objectKey)) {
      return Promise.resolve('exists');
    }
    this.objects.set(objectKey, { body: Buffer.from(body), eTag: `"${md5(body)}"` });
    this.tags.delete(objectKey);
    return Promise.resolve('written');
  };

  getObject: ObjectStore['getObject'] = (objectKey, { maxBytes, range }) => {
    const object = this.objects.get(objectKey);
    if (object === undefined) return Promise.resolve(undefined);
    const body =
      range === undefined ? object.body : object.body.subarray(range.start, range.end + 1);
    if (body.byteLength > maxBytes) {
      return Promise.reject(unavailable(`${objectKey} has more than ${maxBytes} bytes`));
    }
    return Promise.resolve(body);
  };

  headObject: ObjectStore['headObject'] = (objectKey) => {
    const object = this.objects.get(objectKey);
    return Promise.resolve(
      object === undefined ? undefined : { bytes: object.body.byteLength, eTag: object.eTag },
    );
  };

  deleteObject: ObjectStore['deleteObject'] = (objectKey) => {
    this.objects.delete(objectKey);
    return Promise.resolve();
  };

  tagObject: ObjectStore['tagObject'] = (objectKey, { key, value }) => {
    if (this.objects.has(objectKey)) this.tags.set(objectKey, `${key}=${value}`);
    return Promise.resolve();
  };

  listObjects: ObjectStore['listObjects'] = (prefix, { limit, startAfter = '' }) =>
    Promise.resolve(
      [...this.objects]
        .filter(([objectKey]) => objectKey.startsWith(prefix) && objectKey > startAfter)
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .slice(0, limit)
        .map(([objectKey, { body }]) => ({ objectKey, bytes: body.byteLength })),
    );

  createMultipartUpload: ObjectStore['createMultipartUpload'] = (objectKey) => {
    const uploadId = `upload-${(this.#uploadCount += 1)}`;
    this.uploads.set(uploadId, { objectKey, parts: new Map() });
    return Promise.resolve(uploadId);
  };

  uploadPart: ObjectStore['uploadPart'] = (_objectKey, uploadId, partNumber, body) => {
    const upload = this.uploads.get(uploadId);
    if (upload === undefined) return Promise.reject(unavailable(`no upload ${uploadId}`));
    const stored = { partNumber, bytes: body.byteLength, eTag: `"${md5(body)}"` };
    upload.parts.set(partNumber, { body, stored });
    return Promise.resolve(stored);
  };

  listParts: ObjectStore['listParts'] = (_objectKey, uploadId) =>
    Promise.resolve(
      this.uploads.has(uploadId)
        ? [...(this.uploads.get(uploadId)?.parts.values() ?? [])]
            .map(({ stored }) => stored)
            .sort((one, other) => one.partNumber - other.partNumber)
        : undefined,
    );

  completeMultipartUpload: ObjectStore['completeMultipartUpload'] = (
    objectKey,
    uploadId,
    parts,
  ) => {
    const upload = this.uploads.get(uploadId);
    if (upload === undefined) return Promise.resolve('noSuchUpload');
    const bodies: Uint8Array[] = [];
    for (const [index, part] of parts.entries()) {
      const known = upload.parts.get(part.partNumber);
      const previous = parts[index - 1]?.partNumber ?? 0;
      const tooSmall = index < parts.length - 1 && (known?.stored.bytes ?? 0) < minPartBytes;
      if (known?.stored.eTag !== part.eTag || part.partNumber <= previous || tooSmall) {
        return Promise.reject(unavailable(`part ${part.partNumber} is not accepted`));
      }
      bodies.push(known.body);
    }
    const body = Buffer.concat(bodies);
    const eTag = compositeMd5(bodies.map((part) => ({ md5: md5(part) })));
    this.objects.set(objectKey, { body, eTag: `"${eTag}"` });
    this.uploads.delete(uploadId);
    return Promise.resolve('completed');
  };

  abortMultipartUpload: ObjectStore['abortMultipartUpload'] = (_objectKey, uploadId) => {
    this.uploads.delete(uploadId);
    return Promise.resolve();
  };

  presignGet: ObjectStore['presignGet'] = (objectKey) =>
    Promise.resolve(`https://bucket.test/${objectKey}?signature=secret`);

  presignPut: ObjectStore['presignPut'] = (objectKey) =>
    Promise.resolve(`https://bucket.test/${objectKey}?signature=secret`);

  presignParts: ObjectStore['presignParts'] = (objectKey, uploadId, partCount) =>
    Promise.resolve(
      Array.from(
        { length: partCount },
        (_, index) =>
          `https://bucket.test/${objectKey}?uploadId=${uploadId}&partNumber=${index + 1}&signature=secret`,
      ),
    );

  /** PUT to one of the presigned URLs, as an agent does it. */
  async putByUrl(url: string, body: Uint8Array): Promise<string> {
    const { pathname, searchParams } = new URL(url);
    const objectKey = decodeURIComponent(pathname.slice(1));
    const uploadId = searchParams.get('uploadId');
    if (uploadId !== null) {
      const partNumber = Number(searchParams.get('partNumber'));
      return (await this.uploadPart(objectKey, uploadId, partNumber, body)).eTag;
    }
    await this.putObject(objectKey, body, { contentType: 'application/octet-stream' });
    return this.objects.get(objectKey)?.eTag ?? '';
  }

  getByUrl(url: string): Uint8Array | undefined {
    return this.objects.get(decodeURIComponent(new URL(url).pathname.slice(1)))?.body;
  }

  keysUnder(prefix: string): string[] {
    return [...this.objects.keys()].filter((objectKey) => objectKey.startsWith(prefix)).sort();
  }
}

function unavailable(message: string): CaptureError {
  return new CaptureError('ObjectStoreUnavailable', message, { retryable: true });
}

/** Of parts: hundreds of worlds store the same one, several times each, and none writes into it. */
const knownMd5 = new WeakMap<Uint8Array, string>();

export function md5(body: Uint8Array): string {
  const known = knownMd5.get(body);
  if (known !== undefined) return known;
  const hash = createHash('md5').update(body).digest('hex');
  if (body.byteLength >= minPartBytes) knownMd5.set(body, hash);
  return hash;
}
