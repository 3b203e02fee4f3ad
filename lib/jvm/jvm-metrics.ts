import type { GcTotals, Metric, MetricSample } from '../policy/thresholds.ts';
import type { GcCounters } from './gc-counters.ts';

/** Of the container. */
export interface MemoryUse {
  /** What the kernel cannot give back by dropping page cache, be it in use or not. */
  readonly heldBytes: number;
  /** What the kubelet calls so: page cache that is in use counts as well. */
  readonly workingSetBytes: number;
  readonly limitBytes?: number;
}

/** What was derived of one JVM at one moment; what is not known is absent. */
export interface JvmReading extends MetricSample {
  readonly totals: GcTotals;
  /** An estimate: eden's size for each young collection, over the last 10 to 30 s. */
  readonly allocatedBytesPerSecond?: number;
  /** Of heldBytes, over the last 10 to 30 s; negative while it shrinks. */
  readonly heldBytesPerSecond?: number;
  readonly memory?: MemoryUse;
}

const trendSeconds = 30;
const leastTrendSeconds = 10;
/** Of Shenandoah's current use: the least of so long is what its last cycle left. */
const lowWaterSeconds = 5;
/** Below this share of the limit a growth is a start, and not a way to the limit. */
const nearLimitShare = 0.8;
/** Stands for itself and anything longer, and for no growth: a trouble that is over must be heard of. */
export const longestSecondsToLimit = 3_600;
/** Full collections that somebody asked for tell nothing of the heap's need. Source: GCCause::to_string of HotSpot. */
const askedCauses =
  /^(System\.gc\(\)|JvmtiEnv ForceGarbageCollection|Heap (Inspection|Dump) Initiated GC|Diagnostic Command|WhiteBox .*|FullGCAlot|ScavengeAlot)$/;

interface Moment {
  readonly seconds: number;
  readonly heldBytes: number | undefined;
  readonly youngGcCount: number | undefined;
  readonly oldUsedBytes: number | undefined;
}

/** Derives metrics of one JVM from what is read of it about once a second. Holds half a minute of it. */
export class JvmMetrics {
  #last: GcCounters = {};
  #known = false;
  #askedFullGcCount = 0;
  /** Of the old generation, after it was last collected. */
  #oldAfterGcBytes: number | undefined;
  #recent: Moment[] = [];

  /** @param epochMilliseconds later than the last one's. */
  add(epochMilliseconds: number, counters: GcCounters, memory?: MemoryUse): JvmReading {
    const seconds = epochMilliseconds / 1000;
    // A clock that is set back begins the trend anew.
    this.#recent = this.#recent.filter(
      (one) => seconds > one.seconds && seconds - one.seconds <= trendSeconds,
    );
    this.#recent.push({
      seconds,
      heldBytes: memory?.heldBytes,
      youngGcCount: counters.youngGcCount,
      oldUsedBytes: counters.oldUsedBytes,
    });
    this.#noteCollections(counters);
    this.#last = counters;
    this.#known = true;
    const growth = this.#growth();
    const { heapMaxBytes, oldMaxBytes, heapUsedBytes, edenCapacityBytes } = counters;
    const collected = (counters.gcSeconds ?? 0) > 0;
    const values = withoutAbsent<Record<Metric, number>>({
      heapUsedPercent: collected ? percent(heapUsedBytes, heapMaxBytes) : undefined,
      heapAfterGcPercent: percent(this.#oldAfterGcBytes, oldMaxBytes),
      cgroupUsedPercent: percent(memory?.heldBytes, memory?.limitBytes),
      secondsToLimit: secondsToLimit(memory, growth),
    });
    const totals = withoutAbsent<GcTotals>({
      fullGcCount:
        counters.fullGcCount === undefined
          ? undefined
          : counters.fullGcCount - this.#askedFullGcCount,
      youngGcCount: counters.youngGcCount,
      gcSeconds: counters.gcSeconds,
    });
    const youngPerSecond = this.#rate((one) => one.youngGcCount);
    return {
      epochMilliseconds,
      values,
      totals,
      ...withoutAbsent({
        allocatedBytesPerSecond: product(youngPerSecond, edenCapacityBytes),
        heldBytesPerSecond: this.#rate((one) => one.heldBytes),
        memory,
      }),
    };
  }

  /** What a collection left: of the old generation, as soon as one shows. */
  #noteCollections(now: GcCounters): void {
    const last = this.#last;
    if (!this.#known) return;
    const rose = (name: 'fullGcCount' | 'cyclePauseCount'): number =>
      (now[name] ?? 0) - (last[name] ?? 0);
    const fullCount = rose('fullGcCount');
    if (fullCount > 0 && askedCauses.test(now.lastCause ?? '')) this.#askedFullGcCount += 1;
    const used = now.oldUsedBytes;
    if (used === undefined) return;
    if (now.collector === 'Shenandoah') {
      // Its counter of use is current, so that the least of the last seconds is nearest to what a cycle left.
      if (rose('cyclePauseCount') > 0) this.#oldAfterGcBytes = this.#leastOldUsed();
      return;
    }
    const shrank = used < (last.oldUsedBytes ?? used);
    if (fullCount > 0 || rose('cyclePauseCount') > 0 || shrank) this.#oldAfterGcBytes = used;
  }

  #leastOldUsed(): number {
    const since = (this.#recent.at(-1)?.seconds ?? 0) - lowWaterSeconds;
    const values = this.#recent.flatMap(({ seconds, oldUsedBytes }) =>
      seconds >= since && oldUsedBytes !== undefined ? [oldUsedBytes] : [],
    );
    return Math.min(...values);
  }

  /** Growth of what is held that both halves of the trend show: a single jump is no trend. */
  #growth(): number | undefined {
    const first = this.#recent[0];
    const last = this.#recent.at(-1);
    if (first === undefined || last === undefined) return undefined;
    const middle = (first.seconds + last.seconds) / 2;
    const older = this.#rate((one) => one.heldBytes, -Infinity, middle);
    const newer = this.#rate((one) => one.heldBytes, middle, Infinity);
    const both = this.#rate((one) => one.heldBytes);
    if (older === undefined || newer === undefined || both === undefined) return undefined;
    return Math.min(older, newer);
  }

  /** Per second, between the first and the last moment in which it is known; `undefined` over less than 10 s of all. */
  #rate(
    of: (moment: Moment) => number | undefined,
    from = -Infinity,
    to = Infinity,
  ): number | undefined {
    const known = this.#recent.filter(
      (one) => of(one) !== undefined && one.seconds >= from && one.seconds <= to,
    );
    const first = known[0];
    const last = known.at(-1);
    if (first === undefined || last === undefined) return undefined;
    const seconds = last.seconds - first.seconds;
    const least = from === -Infinity && to === Infinity ? leastTrendSeconds : 1;
    if (seconds < least) return undefined;
    return ((of(last) ?? 0) - (of(first) ?? 0)) / seconds;
  }
}

function secondsToLimit(
  memory: MemoryUse | undefined,
  growth: number | undefined,
): number | undefined {
  if (memory?.limitBytes === undefined || growth === undefined) return undefined;
  const { heldBytes, limitBytes } = memory;
  if (growth <= 0 || heldBytes < nearLimitShare * limitBytes) return longestSecondsToLimit;
  return Math.min(longestSecondsToLimit, Math.max(0, limitBytes - heldBytes) / growth);
}

function percent(part: number | undefined, whole: number | undefined): number | undefined {
  if (part === undefined || whole === undefined || whole <= 0) return undefined;
  return (part / whole) * 100;
}

function product(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : one * other;
}

function withoutAbsent<T extends object>(values: {
  [Key in keyof T]?: T[Key] | undefined;
}): Partial<T> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as Partial<T>;
}
