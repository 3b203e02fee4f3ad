import type { GcStatistics } from './gc-statistics.ts';

/** What is allowed; a limit that is absent is not judged. A storm crosses a limit of its own, always. */
export interface GcLimits {
  /** Full collections that nobody asked for: this many are too many. */
  readonly fullGcCount?: number | undefined;
  /** Young collections in the fullest minute: this many are too many. */
  readonly youngPerMinute?: number | undefined;
  /** A pause this long is too long. */
  readonly pauseSeconds?: number | undefined;
  /** A heap this full after a collection is too full, 0..1. */
  readonly heapAfterShare?: number | undefined;
}

export interface CrossedLimit {
  readonly limit: 'storm' | 'fullGc' | 'youngPerMinute' | 'pause' | 'heapAfter';
  readonly value: number;
  readonly allowed: number;
  readonly message: string;
}

/** The limits that the statistics cross, the storm first. Empty when all is well. */
export function crossedLimits(statistics: GcStatistics, limits: GcLimits): readonly CrossedLimit[] {
  const crossed: CrossedLimit[] = [];
  const judge = (
    limit: CrossedLimit['limit'],
    value: number | undefined,
    allowed: number | undefined,
    message: (value: number, allowed: number) => string,
  ): void => {
    if (value === undefined || allowed === undefined || value < allowed) return;
    crossed.push({ limit, value, allowed, message: message(value, allowed) });
  };
  const { storm } = statistics;
  judge('storm', storm?.collectionCount, 1, (count) => {
    const share = Math.round((storm?.timeShare ?? 0) * 100);
    return `a storm: ${count} collections for want of heap within a minute, ${share} % of its time`;
  });
  judge(
    'fullGc',
    statistics.pressureCount + statistics.metadataCount,
    limits.fullGcCount,
    (count, allowed) => `${count} full collections that nobody asked for, the limit is ${allowed}`,
  );
  judge(
    'youngPerMinute',
    statistics.peakYoungPerMinute,
    limits.youngPerMinute,
    (count, allowed) => `${count} young collections within a minute, the limit is ${allowed}`,
  );
  judge(
    'pause',
    statistics.pauses.maxSeconds,
    limits.pauseSeconds,
    (value, allowed) => `a pause of ${value.toFixed(3)} s, the limit is ${allowed} s`,
  );
  judge('heapAfter', heapAfterShare(statistics), limits.heapAfterShare, (value, allowed) => {
    const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
    return `the heap was ${percent(value)} full after the last collection, the limit is ${percent(allowed)}`;
  });
  return crossed;
}

/** After the last full collection or cycle of the whole heap, if there was one: a young one leaves old garbage behind. */
function heapAfterShare(statistics: GcStatistics): number | undefined {
  return (statistics.heapAfterFullGc ?? statistics.heapAfterGc)?.lastShare;
}
