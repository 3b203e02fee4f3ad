import { createHash } from 'node:crypto';
import type { Progress, RenewalWish } from '../capture/manifest.ts';
import { DumpRates, type DumpCounts, type ExpectedDump } from './dump-estimate.ts';
import type { PutBody } from './put-object.ts';

const reportPeriodMilliseconds = 1_000;
const tellPeriodMilliseconds = 5_000;

export interface ProgressOptions {
  readonly captureId: string;
  readonly fencingToken: number;
  /** Puts the progress object; tries again by itself until the capture's deadline. */
  readonly put: (body: PutBody) => Promise<unknown>;
  /** Is told at most every 5 s, as long as something moves: for the log. */
  readonly onTell?: (progress: Progress) => void;
  readonly now?: () => number;
}

type Changes = Partial<
  Omit<
    Progress,
    'schemaVersion' | 'captureId' | 'fencingToken' | 'openParts' | 'estimate' | 'renewalWish'
  >
>;

/**
 * The running account of a capture. Puts go out one after the other, so that an older one never overwrites
 * a newer one. An open part stays announced until a part after it is stored without a gap: as long as
 * it could be the last that arrived, its record may have to be filled up.
 */
export class ProgressReporter {
  readonly #options: ProgressOptions;
  readonly #now: () => number;
  readonly #openParts = new Map<number, number>();
  readonly #storedParts = new Set<number>();
  /** The streams of parts, by their first number, and the first of each that is not stored. */
  #streams: readonly { first: number; missing: number }[] = [{ first: 1, missing: 1 }];
  #state: Changes = {};
  #renewalWish: RenewalWish | undefined;
  #lastPut = -Infinity;
  #lastTold: number;
  #rates: DumpRates | undefined;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#lastTold = this.#now();
  }

  /** From here on the numbers are those of a dump that is expected to be so large. */
  expect(expected: ExpectedDump): void {
    this.#rates = new DumpRates(expected, this.#now());
  }

  /** The account as it is now. */
  snapshot(): Progress {
    return this.#document();
  }

  /** Notes the changes, and puts them unless a put went out within the last second. A failed put is let go. */
  update(changes: Changes): void {
    this.#state = { ...this.#state, ...changes };
    this.#rates?.note(countsOf(this.#state), this.#now());
    this.#tell();
    if (this.#now() - this.#lastPut < reportPeriodMilliseconds || this.#next) return;
    this.#put().catch(() => undefined);
  }

  /** Tells of it at once, and as long as it stands; `undefined` ends it. A failed put is let go. */
  wish(renewalWish: RenewalWish | undefined): void {
    this.#renewalWish = renewalWish;
    if (renewalWish) this.#put().catch(() => undefined);
  }

  /** Resolves when the announcement is durable. @throws what the put threw. */
  async announceOpenPart(partNumber: number, remainingBytes: number): Promise<void> {
    this.#openParts.set(partNumber, remainingBytes);
    await this.#put();
  }

  /** As announceOpenPart: the first part numbers of all streams, ascending. Before that, all parts are one. */
  async announceStreams(firstPartNumbers: readonly number[]): Promise<void> {
    this.#streams = firstPartNumbers.map((first) => {
      const known = this.#streams.find((stream) => stream.first === first);
      return known ?? { first, missing: first };
    });
    this.#state = { ...this.#state, streams: [...firstPartNumbers] };
    await this.#put();
  }

  /** As announceOpenPart: for the part that holds the end record. */
  async announceFinalPart(partNumber: number): Promise<void> {
    this.#state = { ...this.#state, finalPartNumber: partNumber };
    await this.#put();
  }

  partStored(partNumber: number): void {
    this.#storedParts.add(partNumber);
    this.#streams = this.#streams.map(({ first, missing }, index) => {
      const end = this.#streams[index + 1]?.first ?? Infinity;
      let next = missing;
      while (next < end && this.#storedParts.delete(next)) next += 1;
      for (const open of this.#openParts.keys()) {
        if (open >= first && open < next - 1) this.#openParts.delete(open);
      }
      return { first, missing: next };
    });
  }

  /** Waits for puts that are under way; their failure is let go. */
  async settle(): Promise<void> {
    await Promise.allSettled([this.#running, this.#next]);
  }

  #tell(): void {
    if (this.#now() - this.#lastTold < tellPeriodMilliseconds) return;
    this.#lastTold = this.#now();
    this.#options.onTell?.(this.#document());
  }

  /** One put runs, at most one waits; whoever comes while one waits shares it, since it reads the state late. */
  #put(): Promise<void> {
    if (this.#next) return this.#next;
    if (this.#running === undefined) return this.#start();
    this.#next = this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#start();
      });
    return this.#next;
  }

  #start(): Promise<void> {
    this.#lastPut = this.#now();
    const bytes = Buffer.from(JSON.stringify(this.#document()));
    const md5 = createHash('md5').update(bytes).digest();
    this.#running = this.#options
      .put({ chunks: [bytes], bytes: bytes.length, md5 })
      .then(() => undefined)
      .finally(() => (this.#running = undefined));
    return this.#running;
  }

  #document(): Progress {
    const { captureId, fencingToken } = this.#options;
    const estimate = this.#rates?.estimate(countsOf(this.#state), this.#now());
    return {
      schemaVersion: 1,
      captureId,
      fencingToken,
      time: new Date(this.#now()).toISOString(),
      step: 'heapInfo',
      rawBytes: 0,
      compressedBytes: 0,
      sentBytes: 0,
      sentPartCount: 0,
      ...this.#state,
      ...(estimate && { estimate }),
      ...(this.#renewalWish && { renewalWish: this.#renewalWish }),
      openParts: [...this.#openParts].map(([partNumber, remainingBytes]) => ({
        partNumber,
        remainingBytes,
      })),
    };
  }
}

function countsOf({ rawBytes = 0, compressedBytes = 0, sentBytes = 0 }: Changes): DumpCounts {
  return { rawBytes, compressedBytes, sentBytes };
}
