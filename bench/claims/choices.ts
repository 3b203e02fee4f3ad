/** Everything that a schedule leaves to chance. 0 is always the harmless answer: at once, without a fault. */
export interface Choices {
  /** A whole number of 0 to below `bound`. */
  next(bound: number): number;
}

/** The same seed gives the same schedule. The generator is mulberry32. */
export function seededChoices(seed: number): Choices {
  let state = seed >>> 0;
  return {
    next: (bound) => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
    },
  };
}

/** Choices from a list, which can be made shorter and smaller; behind its end all is harmless. */
export function listedChoices(list: readonly number[]): Choices {
  let at = 0;
  return { next: (bound) => (list[at++] ?? 0) % bound };
}

/** One of several; the first is the harmless one. */
export function chosen<T>(choices: Choices, list: readonly [T, ...T[]]): T {
  return list[choices.next(list.length)] ?? list[0];
}
