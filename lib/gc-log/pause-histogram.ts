/** Buckets for each doubling: a quantile is at most 1.1 % off. */
const bucketsPerDoubling = 32;
const smallestSeconds = 1e-6;
const doublings = 40;

/** Length of pauses: count, sum and largest exactly, quantiles within 1.1 %. Memory does not grow with the count. */
export class PauseHistogram {
  readonly #counts = new Float64Array(doublings * bucketsPerDoubling);
  #count = 0;
  #sumSeconds = 0;
  #maxSeconds = 0;

  get count(): number {
    return this.#count;
  }

  get sumSeconds(): number {
    return this.#sumSeconds;
  }

  /** 0 when there is none. */
  get maxSeconds(): number {
    return this.#maxSeconds;
  }

  add(seconds: number): void {
    this.#count += 1;
    this.#sumSeconds += seconds;
    this.#maxSeconds = Math.max(this.#maxSeconds, seconds);
    const bucket = Math.floor(
      Math.log2(Math.max(seconds, smallestSeconds) / smallestSeconds) * bucketsPerDoubling,
    );
    const last = this.#counts.length - 1;
    const index = Math.min(last, bucket);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
  }

  /** The pause that `share` (0..1) of all are not longer than. 0 when there is none. */
  quantile(share: number): number {
    const wanted = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (const [index, count] of this.#counts.entries()) {
      seen += count;
      if (seen < wanted) continue;
      const middle = smallestSeconds * 2 ** ((index + 0.5) / bucketsPerDoubling);
      return Math.min(middle, this.#maxSeconds);
    }
    return this.#maxSeconds;
  }
}
