import { createHash } from 'node:crypto';
import type { IndexEntry } from '../dump-index/index-entry.ts';
import { objectKeys } from '../dump-index/object-keys.ts';
import { compositeMd5 } from './composite-md5.ts';
import { manifestSchema } from './manifest.ts';
import type { ObjectStore } from './ports.ts';

const maxManifestBytes = 8 * 1024 * 1024;

export interface PartChecksum {
  readonly bytes: number;
  /** 32 hexadecimal digits. */
  readonly md5: string;
}

/**
 * The checksums of the parts that a stored heap dump is made of, from its manifest. `undefined` where they do not describe this
 * very object: no manifest (the agent died), another size (a salvage without all of its parts), or not what the index
 * entry says of the whole.
 * @throws CaptureError ObjectStoreUnavailable.
 */
export async function readPartChecksums(
  objects: Pick<ObjectStore, 'getObject'>,
  { objects: { prefix, heapDump } }: IndexEntry,
): Promise<readonly PartChecksum[] | undefined> {
  const body = await objects.getObject(objectKeys(prefix).manifest, { maxBytes: maxManifestBytes });
  const parts = body && partsOf(Buffer.from(body).toString('utf8'));
  if (parts === undefined || heapDump === undefined) return undefined;
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  const { compositeMd5: whole } = heapDump;
  const same =
    bytes === heapDump.compressedBytes && (whole === undefined || whole === compositeMd5(parts));
  return same ? parts : undefined;
}

function partsOf(text: string): readonly PartChecksum[] | undefined {
  try {
    return manifestSchema.parse(JSON.parse(text)).dump?.parts;
  } catch {
    return undefined;
  }
}

/** Compares an object, as it streams by, with the MD5 of each of its parts. */
export class PartChecksums {
  readonly #parts: readonly PartChecksum[];
  #index = 0;
  #hash = createHash('md5');
  #missingBytes: number;
  #differ = false;
  #verifiedBytes = 0;

  constructor(parts: readonly PartChecksum[]) {
    this.#parts = parts;
    this.#missingBytes = parts[0]?.bytes ?? 0;
  }

  /** To be asked when all bytes were pushed. */
  get matches(): boolean {
    return !this.#differ && this.#parts.length > 0 && this.#index === this.#parts.length;
  }

  /** Bytes from the start that whole parts vouch for. */
  get verifiedBytes(): number {
    return this.#verifiedBytes;
  }

  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const part = this.#parts[this.#index];
      if (part === undefined) {
        this.#differ = true;
        return;
      }
      const piece = bytes.subarray(at, at + this.#missingBytes);
      this.#hash.update(piece);
      at += piece.length;
      this.#missingBytes -= piece.length;
      if (this.#missingBytes === 0) this.#closePart(part);
    }
  }

  #closePart({ bytes, md5 }: PartChecksum): void {
    if (this.#hash.digest('hex') !== md5) this.#differ = true;
    if (!this.#differ) this.#verifiedBytes += bytes;
    this.#hash = createHash('md5');
    this.#index += 1;
    this.#missingBytes = this.#parts[this.#index]?.bytes ?? 0;
  }
}
