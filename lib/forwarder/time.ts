import { setTimeout } from 'node:timers/promises';

/** Clock and waiting as the forwarder's parts are given them, so that tests hold the time. */
export interface Time {
  now(): Date;
  /** Waits; an abort ends the wait early, without an error. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

export const systemTime: Time = {
  now: () => new Date(),
  sleep: async (milliseconds, signal) => {
    try {
      await setTimeout(milliseconds, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      if (signal?.aborted !== true) throw error;
    }
  },
};

/** Waits that double from `baseMilliseconds` to at most `maxMilliseconds`, half of each random. */
export interface Backoff {
  next(): number;
  reset(): void;
}

/** @param random 0 (inclusive) to 1 (exclusive), as Math.random. */
export function createBackoff(options: {
  baseMilliseconds: number;
  maxMilliseconds: number;
  random: () => number;
}): Backoff {
  let failureCount = 0;
  return {
    next: () => {
      // 2 ** 30 is far beyond any maximum here; the exponent stays bounded however long an outage is.
      const doubled = options.baseMilliseconds * 2 ** Math.min(failureCount, 30);
      failureCount += 1;
      const longest = Math.min(doubled, options.maxMilliseconds);
      return longest / 2 + (options.random() * longest) / 2;
    },
    reset: () => {
      failureCount = 0;
    },
  };
}
