import { createHash } from 'node:crypto';
import type { Manifest } from '../capture/manifest.ts';
import { minPartBytes } from '../capture/ticket.ts';
import { CaptureError } from '../errors.ts';
import type { OpenRecord } from './block-cutter.ts';
import type { Frame, FrameSink } from './frame-stream.ts';
import { collectGarbage } from './garbage.ts';
import type { PutBody } from './put-object.ts';

export type StoredPart = NonNullable<Manifest['dump']>['parts'][number];

/** Stores part n; resolves with its ETag once it is durable. */
export type PutPart = (partNumber: number, body: PutBody) => Promise<string>;

export interface PartWriterOptions {
  readonly partBytes: number;
  readonly maxPartCount: number;
  readonly putPart: PutPart;
  /** Must be durable before a part that ends inside a record is sent. */
  readonly announceOpenPart: (partNumber: number, remainingBytes: number) => Promise<void>;
  /** Must be durable before a last part is sent that could be taken for one of many by its size. */
  readonly announceFinalPart: (partNumber: number) => Promise<void>;
  readonly onStored?: (part: StoredPart) => void;
  /** Is told how many dump bytes, from the first on, are stored without a gap. */
  readonly onDurable?: (rawBytes: number) => void;
}

interface OpenPart {
  frames: Uint8Array[];
  bytes: number;
  md5: ReturnType<typeof createHash>;
}

const concurrentPuts = 2;

/**
 * Gathers frames into parts and sends them, two at a time. A part is closed when it has partBytes and ends
 * on a record boundary; inside a record that is larger than a part, it is announced and closed all the same.
 */
export class PartWriter implements FrameSink {
  readonly #options: PartWriterOptions;
  readonly #sha256 = createHash('sha256');
  readonly #stored: StoredPart[] = [];
  readonly #sending = new Set<Promise<void>>();
  /** Dump bytes up to the end of each part that is stored behind one that is not. */
  readonly #storedAhead = new Map<number, number>();
  #durablePartCount = 0;
  #rawBytes = 0;
  #part: OpenPart = emptyPart();
  #partNumber = 1;
  #compressedBytes = 0;
  #storedBytes = 0;
  #failure: { error: unknown } | undefined;

  constructor(options: PartWriterOptions) {
    this.#options = options;
  }

  get compressedBytes(): number {
    return this.#compressedBytes;
  }

  get storedPartCount(): number {
    return this.#stored.length;
  }

  get storedBytes(): number {
    return this.#storedBytes;
  }

  /**
   * The last URL is in use and its part has its size: nothing but the end may follow.
   * The dump is then larger than the ticket was made for.
   */
  get exhausted(): boolean {
    const { maxPartCount, partBytes } = this.#options;
    return this.#partNumber >= maxPartCount && this.#part.bytes >= partBytes;
  }

  /** @throws what a part's upload threw. */
  async add({ bytes, rawBytes, open }: Frame): Promise<void> {
    this.#append(bytes);
    this.#rawBytes += rawBytes;
    const { partBytes, maxPartCount } = this.#options;
    if (this.#part.bytes < partBytes || this.#partNumber >= maxPartCount) return;
    if (open && open.recordBytes < partBytes) return;
    await this.#send(open);
  }

  /** Closes the last part with the end frame and waits until everything is stored. */
  async finish(
    endFrame: Uint8Array,
  ): Promise<{ parts: readonly StoredPart[]; sha256: string; compressedBytes: number }> {
    this.#append(endFrame);
    // A smaller part can only be the last one of an object: sweep knows it by its size.
    if (this.#part.bytes >= minPartBytes) await this.#options.announceFinalPart(this.#partNumber);
    await this.#send(undefined);
    await Promise.all(this.#sending);
    this.#throwFailure();
    return {
      parts: this.#stored.toSorted((a, b) => a.partNumber - b.partNumber),
      sha256: this.#sha256.digest('hex'),
      compressedBytes: this.#compressedBytes,
    };
  }

  /** Waits for the parts that are under way, whatever becomes of them. */
  async settle(): Promise<void> {
    await Promise.all(this.#sending);
  }

  #append(frame: Uint8Array): void {
    this.#throwFailure();
    this.#part.frames.push(frame);
    this.#part.bytes += frame.length;
    this.#part.md5.update(frame);
    this.#sha256.update(frame);
    this.#compressedBytes += frame.length;
  }

  async #send(open: OpenRecord | undefined): Promise<void> {
    while (this.#sending.size >= concurrentPuts) await Promise.race(this.#sending);
    this.#throwFailure();
    const part = { ...this.#part, rawEndBytes: this.#rawBytes };
    const partNumber = this.#partNumber;
    this.#part = emptyPart();
    this.#partNumber += 1;
    const sending: Promise<void> = this.#store(partNumber, part, open)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
  }

  async #store(
    partNumber: number,
    part: OpenPart & { rawEndBytes: number },
    open: OpenRecord | undefined,
  ): Promise<void> {
    const { putPart, announceOpenPart, onStored } = this.#options;
    if (open) await announceOpenPart(partNumber, open.remainingBytes);
    const md5 = part.md5.digest();
    const eTag = await putPart(partNumber, { chunks: part.frames, bytes: part.bytes, md5 });
    part.frames = [];
    collectGarbage();
    const stored = { partNumber, bytes: part.bytes, md5: md5.toString('hex'), eTag };
    this.#stored.push(stored);
    this.#storedBytes += stored.bytes;
    onStored?.(stored);
    this.#noteDurable(partNumber, part.rawEndBytes);
  }

  #noteDurable(partNumber: number, rawEndBytes: number): void {
    this.#storedAhead.set(partNumber, rawEndBytes);
    let durableBytes: number | undefined;
    for (;;) {
      const next = this.#storedAhead.get(this.#durablePartCount + 1);
      if (next === undefined) break;
      this.#durablePartCount += 1;
      this.#storedAhead.delete(this.#durablePartCount);
      durableBytes = next;
    }
    if (durableBytes !== undefined) this.#options.onDurable?.(durableBytes);
  }

  #throwFailure(): void {
    if (!this.#failure) return;
    const { error } = this.#failure;
    throw error instanceof Error
      ? error
      : new CaptureError('UploadFailed', 'a part could not be stored', { cause: error });
  }
}

function emptyPart(): OpenPart {
  return { frames: [], bytes: 0, md5: createHash('md5') };
}
