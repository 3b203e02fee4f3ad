import type { Progress } from '../capture/manifest.ts';

export type DumpEstimate = NonNullable<Progress['estimate']>;

export interface DumpCounts {
  readonly rawBytes: number;
  readonly compressedBytes: number;
  readonly sentBytes: number;
}

export interface ExpectedDump {
  readonly expectedBytes: number;
  readonly basedOn: DumpEstimate['basedOn'];
}

/** A dump is 1.4 times the used heap; where the JVM did not tell, the ticket's upper estimate has to do. */
export function expectedDump(ticketBytes: number, heapUsedBytes: number | undefined): ExpectedDump {
  const byHeap = heapUsedBytes === undefined ? Infinity : Math.ceil(heapUsedBytes * 1.4);
  return byHeap < ticketBytes
    ? { expectedBytes: byHeap, basedOn: 'heapUsedBytes' }
    : { expectedBytes: ticketBytes, basedOn: 'ticket' };
}

interface Sample extends DumpCounts {
  readonly at: number;
}

const samplePeriodMilliseconds = 500;
/** Some 10 s: parts are sent in steps of megabytes, and over less the rate would jump with each. */
const maxSampleCount = 20;

/**
 * Rates over the last seconds, and the time that is left by them. An estimate in every respect: the size is guessed,
 * the JVM of 22 and later writes its segments before what is counted here grows, and networks change.
 */
export class DumpRates {
  readonly #expected: ExpectedDump;
  readonly #samples: Sample[];

  /** @param at milliseconds of any clock that does not jump, the same in every call. */
  constructor(expected: ExpectedDump, at: number) {
    this.#expected = expected;
    this.#samples = [{ at, rawBytes: 0, compressedBytes: 0, sentBytes: 0 }];
  }

  note(counts: DumpCounts, at: number): void {
    if (at - (this.#samples.at(-1)?.at ?? -Infinity) < samplePeriodMilliseconds) return;
    const { rawBytes, compressedBytes, sentBytes } = counts;
    this.#samples.push({ at, rawBytes, compressedBytes, sentBytes });
    if (this.#samples.length > maxSampleCount) this.#samples.shift();
  }

  /** `remainingSeconds` is absent while nothing moves, and when the dump has outgrown what was expected. */
  estimate(counts: DumpCounts, at: number): DumpEstimate {
    const first = this.#samples[0] ?? { ...counts, at };
    const seconds = Math.max(at - first.at, 1) / 1_000;
    const rawRate = Math.max(0, counts.rawBytes - first.rawBytes) / seconds;
    const sentRate = Math.max(0, counts.sentBytes - first.sentBytes) / seconds;
    const remainingSeconds = this.#remainingSeconds(counts, rawRate, sentRate);
    return {
      ...this.#expected,
      rawBytesPerSecond: Math.round(rawRate),
      sentBytesPerSecond: Math.round(sentRate),
      ...(remainingSeconds !== undefined && { remainingSeconds: Math.ceil(remainingSeconds) }),
    };
  }

  /** Reading and sending overlap: the one that ends later counts. */
  #remainingSeconds(counts: DumpCounts, rawRate: number, sentRate: number): number | undefined {
    const { rawBytes, compressedBytes, sentBytes } = counts;
    const rawLeft = this.#expected.expectedBytes - rawBytes;
    if (rawLeft < 0 || rawRate <= 0 || sentRate <= 0) return undefined;
    const ratio = rawBytes > 0 ? compressedBytes / rawBytes : 1;
    const sentLeft = rawLeft * ratio + Math.max(0, compressedBytes - sentBytes);
    return Math.max(rawLeft / rawRate, sentLeft / sentRate);
  }
}
