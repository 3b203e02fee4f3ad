import type { Manifest } from '../capture/manifest.ts';
import { CaptureError } from '../errors.ts';
import { PagePool, type PartPages } from './part-pages.ts';
import type { PutBody } from './put-object.ts';

export type StoredPart = NonNullable<Manifest['dump']>['parts'][number];

/** Stores part n; resolves with its ETag once it is durable. */
export type PutPart = (partNumber: number, body: PutBody) => Promise<string>;

export interface PartSenderOptions {
  /** Parts that are sent at once; 2 unless told. */
  readonly concurrentPuts?: number;
  readonly putPart: PutPart;
  /** Must be durable before a part that ends inside a record is sent. */
  readonly announceOpenPart: (partNumber: number, remainingBytes: number) => Promise<void>;
  readonly onStored?: (part: StoredPart) => void;
}

export interface OutgoingPart {
  readonly partNumber: number;
  readonly pages: PartPages;
  readonly md5: Buffer;
  /** Bytes still to come of the record in which it ends; absent on a boundary. */
  readonly openBytes?: number;
  readonly onStored: () => void;
}

const defaultConcurrentPuts = 2;

/**
 * Sends the parts of all streams of a dump, two at a time unless told. Part 1 does not wait for a turn: without the
 * file's header no other part is of use.
 */
export class PartSender {
  /** Of all streams. */
  readonly pagePool = new PagePool();
  readonly #options: PartSenderOptions;
  readonly #stored: StoredPart[] = [];
  readonly #sending = new Set<Promise<void>>();
  #storedBytes = 0;
  #failure: { error: unknown } | undefined;

  constructor(options: PartSenderOptions) {
    this.#options = options;
  }

  /** In the order of their numbers. */
  get stored(): StoredPart[] {
    return this.#stored.toSorted((a, b) => a.partNumber - b.partNumber);
  }

  get storedPartCount(): number {
    return this.#stored.length;
  }

  get storedBytes(): number {
    return this.#storedBytes;
  }

  /** Resolves when the part is under way. @throws what an earlier part's upload threw. */
  async send(part: OutgoingPart): Promise<void> {
    const { concurrentPuts = defaultConcurrentPuts } = this.#options;
    while (part.partNumber > 1 && this.#sending.size >= concurrentPuts) {
      await Promise.race(this.#sending);
    }
    this.throwFailure();
    const sending: Promise<void> = this.#store(part)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#sending.delete(sending);
        part.pages.release();
      });
    this.#sending.add(sending);
  }

  /** Waits for the parts that are under way, whatever becomes of them. */
  async settle(): Promise<void> {
    while (this.#sending.size > 0) await Promise.all(this.#sending);
  }

  throwFailure(): void {
    if (!this.#failure) return;
    const { error } = this.#failure;
    throw error instanceof Error
      ? error
      : new CaptureError('UploadFailed', 'a part could not be stored', { cause: error });
  }

  async #store({ partNumber, pages, md5, openBytes, onStored }: OutgoingPart): Promise<void> {
    const { putPart, announceOpenPart } = this.#options;
    if (openBytes !== undefined) await announceOpenPart(partNumber, openBytes);
    const { bytes, chunks } = pages;
    const eTag = await putPart(partNumber, { chunks, bytes, md5 });
    const stored = { partNumber, bytes, md5: md5.toString('hex'), eTag };
    this.#stored.push(stored);
    this.#storedBytes += bytes;
    this.#options.onStored?.(stored);
    onStored();
  }
}
