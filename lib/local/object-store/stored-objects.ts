import type { BodyFile } from './body-files.ts';
import { S3Fault } from './s3-fault.ts';

export interface StoredObject {
  /** One for each part that it was made of. */
  files: readonly BodyFile[];
  bytes: number;
  /** With its quotes, as S3 writes it. */
  eTag: string;
  contentType: string;
  lastModified: Date;
  tags?: Readonly<Record<string, string>>;
}

export interface CreatedObject {
  objectKey: string;
  bytes: number;
  eTag: string;
  how: 'Put' | 'CompleteMultipartUpload';
}

/** The objects of one bucket. Their files stay on disk, also of what was replaced, so that a reader is never cut off. */
export class StoredObjects {
  readonly #objects = new Map<string, StoredObject>();
  readonly #onCreated: (created: CreatedObject) => void;

  constructor(onCreated: (created: CreatedObject) => void) {
    this.#onCreated = onCreated;
  }

  put(
    objectKey: string,
    object: StoredObject,
    how: CreatedObject['how'],
    ifNoneMatch = false,
  ): void {
    if (ifNoneMatch && this.#objects.has(objectKey)) {
      const message = 'At least one of the pre-conditions you specified did not hold';
      throw new S3Fault(412, 'PreconditionFailed', message);
    }
    this.#objects.set(objectKey, object);
    this.#onCreated({ objectKey, bytes: object.bytes, eTag: object.eTag, how });
  }

  /** @throws S3Fault NoSuchKey. */
  tag(objectKey: string, tags: Readonly<Record<string, string>>): void {
    this.#objects.set(objectKey, { ...this.get(objectKey), tags });
  }

  find(objectKey: string): StoredObject | undefined {
    return this.#objects.get(objectKey);
  }

  /** @throws S3Fault NoSuchKey. */
  get(objectKey: string): StoredObject {
    const object = this.#objects.get(objectKey);
    if (object !== undefined) return object;
    throw new S3Fault(404, 'NoSuchKey', 'The specified key does not exist.');
  }

  delete(objectKey: string): void {
    this.#objects.delete(objectKey);
  }

  /** In the order of their UTF-8 bytes, which is not that of JavaScript strings. */
  list(prefix: string, after: string): (readonly [objectKey: string, object: StoredObject])[] {
    const isAfter = (key: string): boolean => after === '' || byBytes(key, after) > 0;
    return [...this.#objects]
      .filter(([key]) => key.startsWith(prefix) && isAfter(key))
      .sort(([one], [other]) => byBytes(one, other));
  }
}

function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
