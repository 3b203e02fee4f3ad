/** The heap after collections, and how it changes. */
export interface HeapAfterGc {
  /** After the last collection; bytes. */
  readonly lastBytes: number;
  readonly maxBytes: number;
  /** What the heap may hold: the limit that the log tells, else the largest capacity that was seen. */
  readonly capacityBytes: number | undefined;
  /** `lastBytes` of `capacityBytes`, 0..1. */
  readonly lastShare: number | undefined;
  /** Least squares over the collections of the last life of the JVM; absent below three, or within a second. */
  readonly slopeBytesPerHour: number | undefined;
}

const fewestPoints = 3;
const shortestSeconds = 1;

/** Gathers heap sizes; sums only, so that memory does not grow. */
export class HeapTrend {
  #count = 0;
  #lastBytes = 0;
  #maxBytes = 0;
  #capacityBytes: number | undefined;
  #points = 0;
  #firstSeconds: number | undefined;
  #lastSeconds = 0;
  #meanX = 0;
  #meanY = 0;
  #variance = 0;
  #covariance = 0;

  get count(): number {
    return this.#count;
  }

  add(heap: { afterBytes: number; capacityBytes: number | undefined }, seconds?: number): void {
    this.#count += 1;
    this.#lastBytes = heap.afterBytes;
    this.#maxBytes = Math.max(this.#maxBytes, heap.afterBytes);
    if (heap.capacityBytes !== undefined) {
      this.#capacityBytes = Math.max(this.#capacityBytes ?? 0, heap.capacityBytes);
    }
    if (seconds === undefined) return;
    this.#firstSeconds ??= seconds;
    this.#lastSeconds = seconds;
    // Welford's way: numbers of epoch seconds and of bytes squared would lose their small digits in plain sums.
    this.#points += 1;
    const x = seconds - this.#firstSeconds;
    const fromMean = x - this.#meanX;
    this.#meanX += fromMean / this.#points;
    this.#meanY += (heap.afterBytes - this.#meanY) / this.#points;
    this.#variance += fromMean * (x - this.#meanX);
    this.#covariance += fromMean * (heap.afterBytes - this.#meanY);
  }

  /** Another life of the JVM begins with another heap: the slope begins anew. */
  restart(): void {
    this.#points = 0;
    this.#firstSeconds = undefined;
    this.#meanX = 0;
    this.#meanY = 0;
    this.#variance = 0;
    this.#covariance = 0;
  }

  /** @param maxHeapBytes the limit, where the log or a person tells it. `undefined` without a collection. */
  summary(maxHeapBytes: number | undefined): HeapAfterGc | undefined {
    if (this.#count === 0) return undefined;
    const capacityBytes = maxHeapBytes ?? this.#capacityBytes;
    const known = capacityBytes !== undefined && capacityBytes > 0;
    return {
      lastBytes: this.#lastBytes,
      maxBytes: this.#maxBytes,
      capacityBytes,
      lastShare: known ? this.#lastBytes / capacityBytes : undefined,
      slopeBytesPerHour: this.#slope(),
    };
  }

  #slope(): number | undefined {
    const lasted = this.#lastSeconds - (this.#firstSeconds ?? this.#lastSeconds);
    if (this.#points < fewestPoints || lasted < shortestSeconds) return undefined;
    return (this.#covariance / this.#variance) * 3_600;
  }
}
