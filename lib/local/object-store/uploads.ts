import { createHash, randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { maxPartCount, minPartBytes } from '../../capture/ticket.ts';
import type { BodyFile } from './body-files.ts';
import { invalidArgument, noSuchUpload, S3Fault } from './s3-fault.ts';
import type { StoredObjects } from './stored-objects.ts';

interface Upload {
  objectKey: string;
  contentType: string;
  parts: Map<number, StoredPartFile>;
}

export interface StoredPartFile extends BodyFile {
  lastModified: Date;
}

interface ListedPart {
  partNumber: number;
  /** Without its quotes. */
  eTag: string;
}

/** The multipart uploads of one bucket. */
export class Uploads {
  readonly #objects: StoredObjects;
  readonly #uploads = new Map<string, Upload>();
  /** What a completed upload was completed with: S3 answers the same request again with the same result. */
  readonly #completed = new Map<string, { request: string; eTag: string }>();

  constructor(objects: StoredObjects) {
    this.#objects = objects;
  }

  create(objectKey: string, contentType: string): string {
    const uploadId = randomBytes(48).toString('base64url');
    this.#uploads.set(uploadId, { objectKey, contentType, parts: new Map() });
    return uploadId;
  }

  /** @throws S3Fault NoSuchUpload. */
  check(objectKey: string, uploadId: string): void {
    this.#upload(objectKey, uploadId);
  }

  /** A part that is sent again replaces the one before. */
  async putPart(
    objectKey: string,
    uploadId: string,
    partNumber: number,
    part: StoredPartFile,
  ): Promise<void> {
    const upload = this.#uploads.get(uploadId);
    // It may have ended while the part was on its way.
    if (upload?.objectKey !== objectKey) {
      await rm(part.file, { force: true });
      throw noSuchUpload();
    }
    const replaced = upload.parts.get(partNumber);
    upload.parts.set(partNumber, part);
    if (replaced !== undefined) await rm(replaced.file, { force: true });
  }

  /** In ascending order of the part number. */
  listParts(
    objectKey: string,
    uploadId: string,
  ): readonly (readonly [partNumber: number, part: StoredPartFile])[] {
    const { parts } = this.#upload(objectKey, uploadId);
    return [...parts].sort(([one], [other]) => one - other);
  }

  /** @returns the object's ETag. */
  complete(objectKey: string, uploadId: string, listed: readonly ListedPart[], now: Date): string {
    const request = JSON.stringify([objectKey, listed]);
    const earlier = this.#completed.get(uploadId);
    if (earlier?.request === request && this.#objects.find(objectKey)?.eTag === earlier.eTag) {
      return earlier.eTag;
    }
    const upload = this.#upload(objectKey, uploadId);
    const files = partsOf(upload, listed);
    const digests = files.map(({ md5 }) => Buffer.from(md5, 'hex'));
    const digest = createHash('md5').update(Buffer.concat(digests)).digest('hex');
    const eTag = `"${digest}-${files.length}"`;
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    const { contentType } = upload;
    this.#uploads.delete(uploadId);
    this.#completed.set(uploadId, { request, eTag });
    const object = { files, bytes, eTag, contentType, lastModified: now };
    this.#objects.put(objectKey, object, 'CompleteMultipartUpload');
    return eTag;
  }

  async abort(objectKey: string, uploadId: string): Promise<void> {
    const { parts } = this.#upload(objectKey, uploadId);
    this.#uploads.delete(uploadId);
    for (const { file } of parts.values()) await rm(file, { force: true });
  }

  #upload(objectKey: string, uploadId: string): Upload {
    const upload = this.#uploads.get(uploadId);
    if (upload?.objectKey !== objectKey) throw noSuchUpload();
    return upload;
  }
}

/** @returns the number, 1 to 10,000. @throws S3Fault InvalidArgument. */
export function checkedPartNumber(text: string): number {
  const partNumber = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  if (partNumber >= 1 && partNumber <= maxPartCount) return partNumber;
  throw invalidArgument('Part number must be an integer between 1 and 10000, inclusive');
}

function partsOf(upload: Upload, listed: readonly ListedPart[]): readonly BodyFile[] {
  const files: BodyFile[] = [];
  let last = 0;
  for (const { partNumber, eTag } of listed) {
    if (partNumber <= last) {
      const message = 'The list of parts was not in ascending order.';
      throw new S3Fault(400, 'InvalidPartOrder', message);
    }
    last = partNumber;
    const part = upload.parts.get(partNumber);
    if (part?.md5 !== eTag) {
      const message = `Part ${partNumber} could not be found, or its entity tag is another one.`;
      throw new S3Fault(400, 'InvalidPart', message);
    }
    files.push(part);
  }
  const small = files.slice(0, -1).find(({ bytes }) => bytes < minPartBytes);
  if (small !== undefined) {
    const message = `Your proposed upload is smaller than the minimum allowed size: ${small.bytes} of ${minPartBytes} bytes`;
    throw new S3Fault(400, 'EntityTooSmall', message);
  }
  return files;
}
