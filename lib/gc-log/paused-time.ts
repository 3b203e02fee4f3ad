/** A full collection lies within a young one at most a few times. */
const keptCount = 8;

/**
 * Adds pauses up so that a full collection within a young one, which HotSpot prints as two pauses, counts once. Pauses
 * come in the order in which they ended.
 */
export class PausedTime {
  readonly #recent: { start: number; seconds: number }[] = [];
  #seconds = 0;

  get seconds(): number {
    return this.#seconds;
  }

  add(start: number | undefined, seconds: number): void {
    this.#seconds += seconds;
    if (start === undefined) return;
    let within = this.#recent.at(-1);
    while (within !== undefined && liesWithin(within, { start, seconds })) {
      this.#seconds -= within.seconds;
      this.#recent.pop();
      within = this.#recent.at(-1);
    }
    this.#recent.push({ start, seconds });
    if (this.#recent.length > keptCount) this.#recent.shift();
  }
}

/** Times are printed in milliseconds, so that the ends of both may seem to differ: half of it is enough. */
function liesWithin(
  inner: { start: number; seconds: number },
  outer: { start: number; seconds: number },
): boolean {
  const end = Math.min(inner.start + inner.seconds, outer.start + outer.seconds);
  return (
    inner.seconds <= outer.seconds && end - Math.max(inner.start, outer.start) > inner.seconds / 2
  );
}
