import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { zstdDecompressSync } from 'node:zlib';
import type { ObjectStore } from '../../capture/ports.ts';
import type { SealedAccount } from '../../capture/sealed-reader.ts';
import { ZstdFrames } from '../../capture/zstd-frames.ts';
import { CaptureError, messageOf } from '../../errors.ts';
import { RecordChain } from '../../hprof/record-chain.ts';
import {
  decryptObject,
  type EncryptedCapture,
  type StoredObject,
} from '../decrypt/decrypt-capture.ts';

const rangeBytes = 8 * 1024 * 1024;
/** Of a ticket's largest blocks, and of the zeros that a salvage appends. */
const maxBlockBytes = 64 * 1024 * 1024;

export interface Unpacking {
  /** The stored object, as it was brought. */
  readonly storedPath: string;
  readonly storedBytes: number;
  /** Present where it is encrypted. */
  readonly sealed?:
    | {
        readonly capture: EncryptedCapture;
        readonly stored: StoredObject;
        readonly dataKey: Uint8Array;
      }
    | undefined;
  /** Where the hprof is put; without it the dump is only verified. */
  readonly dumpPath?: string | undefined;
  /** Where the zstd frames of an encrypted dump are put. */
  readonly framesPath?: string | undefined;
  readonly stop: AbortSignal;
  readonly onProgress?: (doneBytes: number) => void;
}

/** What a dump turned out to be. */
export interface UnpackedDump {
  readonly rawBytes: number;
  readonly recordCount: number;
  /** The record chain is unbroken, and ends in the end record. */
  readonly ended: boolean;
  /** Where and how the chain breaks. */
  readonly fault?: string;
  /** Of an encrypted dump. */
  readonly account?: SealedAccount;
}

/**
 * Decrypts, decompresses and verifies a dump that was brought into a file. A broken record chain is no error: what there is
 * is written to its end.
 * Memory is bounded by a range and a frame. Files appear under their names when they are whole.
 * @throws CaptureError DecryptionFailed, InvalidHprof (no zstd frames); the reason of `stop`.
 */
export async function unpackDump(order: Unpacking): Promise<UnpackedDump> {
  const stored = await open(order.storedPath, 'r');
  const [dump, frames] = [await Sink.open(order.dumpPath), await Sink.open(order.framesPath)];
  try {
    const reading = new DumpReading(dump);
    const account = await eachChunk(order, stored, async (chunk) => {
      await frames.write(chunk);
      await reading.push(chunk);
    });
    const unpacked = reading.finish();
    await dump.keep();
    await frames.keep();
    return account === undefined ? unpacked : { ...unpacked, account };
  } finally {
    await Promise.all([stored.close(), dump.close(), frames.close()]);
  }
}

/** Gives the object's zstd frames in pieces: as they are stored, or decrypted. */
async function eachChunk(
  { storedBytes, sealed, stop, onProgress }: Unpacking,
  file: FileHandle,
  take: (chunk: Uint8Array) => Promise<void>,
): Promise<SealedAccount | undefined> {
  const read = async (start: number, bytes: number): Promise<Uint8Array> => {
    stop.throwIfAborted();
    const chunk = Buffer.allocUnsafe(bytes);
    const { bytesRead } = await file.read(chunk, 0, bytes, start);
    onProgress?.(start + bytesRead);
    return chunk.subarray(0, bytesRead);
  };
  if (sealed !== undefined) {
    const objects: Pick<ObjectStore, 'getObject'> = {
      getObject: (_key, { range }) =>
        range ? read(range.start, range.end - range.start + 1) : Promise.resolve(undefined),
    };
    const { capture, stored, dataKey } = sealed;
    return decryptObject(objects, capture, stored, { dataKey, write: take });
  }
  for (let at = 0; at < storedBytes; at += rangeBytes) {
    await take(await read(at, Math.min(rangeBytes, storedBytes - at)));
  }
  return undefined;
}

class DumpReading {
  readonly #frames = new ZstdFrames();
  readonly #chain = new RecordChain();
  readonly #dump: Sink;
  #rawBytes = 0;
  #fault: string | undefined;

  constructor(dump: Sink) {
    this.#dump = dump;
  }

  async push(chunk: Uint8Array): Promise<void> {
    for (const frame of this.#frames.push(chunk)) {
      const raw = zstdDecompressSync(frame, { maxOutputLength: maxBlockBytes });
      await this.#dump.write(raw);
      this.#rawBytes += raw.length;
      this.#walk(raw);
    }
  }

  #walk(raw: Uint8Array): void {
    if (this.#fault !== undefined) return;
    try {
      this.#chain.push(raw);
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
      this.#fault = messageOf(error);
    }
  }

  finish(): UnpackedDump {
    const { ended, recordCount } = this.#chain.state;
    const { openBytes } = this.#frames;
    const fault =
      this.#fault ??
      (openBytes > 0 ? `it ends inside a zstd frame, after ${openBytes} bytes of it` : undefined) ??
      (ended ? undefined : 'its record chain has no end record');
    return {
      rawBytes: this.#rawBytes,
      recordCount,
      ended: ended && fault === undefined,
      ...(fault === undefined ? {} : { fault }),
    };
  }
}

/** A file that gets its name when it is whole; nothing at all without a path. */
class Sink {
  readonly #path: string | undefined;
  readonly #file: FileHandle | undefined;

  private constructor(path: string | undefined, file: FileHandle | undefined) {
    this.#path = path;
    this.#file = file;
  }

  static async open(path: string | undefined): Promise<Sink> {
    return new Sink(path, path === undefined ? undefined : await open(`${path}.part`, 'w', 0o600));
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#file?.writeFile(bytes);
  }

  async keep(): Promise<void> {
    if (this.#path === undefined) return;
    await this.#file?.sync();
    await rename(`${this.#path}.part`, this.#path);
  }

  /** What was not kept is removed: nobody shall take it for all that there was. */
  async close(): Promise<void> {
    await this.#file?.close();
    if (this.#path !== undefined) await rm(`${this.#path}.part`, { force: true });
  }
}
