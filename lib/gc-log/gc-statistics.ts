import {
  gcEventKinds,
  isAskedFor,
  isForMetadata,
  isHeapPressure,
  isPause,
  isYoungCollection,
  type GcEvent,
  type GcEventKind,
} from './gc-event.ts';
import { HeapTrend, type HeapAfterGc } from './heap-trend.ts';
import { PausedTime } from './paused-time.ts';
import { PauseHistogram } from './pause-histogram.ts';
import { StormWatch, type Storm } from './storm.ts';

export interface PauseStatistics {
  readonly count: number;
  readonly sumSeconds: number;
  readonly p50Seconds: number;
  readonly p99Seconds: number;
  readonly maxSeconds: number;
}

export interface CauseStatistics {
  readonly cause: string;
  readonly count: number;
  readonly pauseSeconds: number;
  readonly maxPauseSeconds: number;
}

/**
 * What the full collections say:
 * - `calm`: none.
 * - `asked`: all were asked for (`System.gc()`, a diagnostic command).
 * - `metadata`: none for want of heap, but some for metadata or code.
 * - `pressure`: some for want of heap.
 * - `storm`: so many, one behind the other, that the application hardly ran or got no room.
 */
export type GcVerdict = 'calm' | 'asked' | 'metadata' | 'pressure' | 'storm';

export interface GcStatistics {
  readonly eventCount: number;
  readonly counts: Readonly<Record<GcEventKind, number>>;
  /** Full collections, degenerated ones and cycles of ZGC, for want of heap. */
  readonly pressureCount: number;
  /** Collections that were asked for. */
  readonly askedCount: number;
  /** Full collections for class metadata or code. */
  readonly metadataCount: number;
  readonly evacuationFailureCount: number;
  readonly verdict: GcVerdict;
  readonly storm: Storm | undefined;
  /** All stop-the-world pauses. */
  readonly pauses: PauseStatistics;
  readonly fullPauses: PauseStatistics;
  /** Waits of single threads for memory. */
  readonly stalls: PauseStatistics;
  /** Time from the first event to the last; absent without time stamps. */
  readonly lastedSeconds: number | undefined;
  /** Share of that time in which the application stood still, 0..1. */
  readonly pausedShare: number | undefined;
  /** Collections of the young generation: in the whole, and in the fullest minute. */
  readonly youngPerMinute: number | undefined;
  readonly peakYoungPerMinute: number | undefined;
  /** Most time first; more than 64 causes are one, `other`. */
  readonly causes: readonly CauseStatistics[];
  /** After any collection. */
  readonly heapAfterGc: HeapAfterGc | undefined;
  /** After full collections and cycles of the whole heap: what is really held. */
  readonly heapAfterFullGc: HeapAfterGc | undefined;
  readonly firstEpochMilliseconds: number | undefined;
  readonly lastEpochMilliseconds: number | undefined;
}

const maxCauseCount = 64;
/** Young collections of a minute that are told apart; more count as this many. */
const maxMinuteCount = 8_192;

interface CauseTally {
  count: number;
  pauseSeconds: number;
  maxPauseSeconds: number;
}

/** Adds events up, in the order of the log. Memory does not grow with their number. */
export class GcTally {
  readonly #counts = Object.fromEntries(gcEventKinds.map((kind) => [kind, 0])) as Record<
    GcEventKind,
    number
  >;
  readonly #pauses = new PauseHistogram();
  readonly #fullPauses = new PauseHistogram();
  readonly #stalls = new PauseHistogram();
  readonly #causes = new Map<string, CauseTally>();
  readonly #afterAny = new HeapTrend();
  readonly #afterFull = new HeapTrend();
  readonly #storms = new StormWatch();
  readonly #paused = new PausedTime();
  /** Start times of the young collections of the last minute. */
  readonly #minute = new Float64Array(maxMinuteCount);
  #minuteFrom = 0;
  #minuteCount = 0;
  #peakMinuteCount = 0;
  #pressureCount = 0;
  #askedCount = 0;
  #metadataCount = 0;
  #evacuationFailureCount = 0;
  #eventCount = 0;
  #firstSeconds: number | undefined;
  #lastSeconds: number | undefined;
  #firstEpoch: number | undefined;
  #lastEpoch: number | undefined;
  #largestCapacity = 0;
  #maxHeapBytes: number | undefined;

  /** The limit of the heap, where it is known: shares are of it. */
  set maxHeapBytes(bytes: number | undefined) {
    this.#maxHeapBytes = bytes;
  }

  add(event: GcEvent): void {
    this.#eventCount += 1;
    this.#counts[event.kind] += 1;
    this.#time(event);
    this.#pause(event);
    this.#heap(event);
    if (event.evacuationFailed) this.#evacuationFailureCount += 1;
    const capacityBytes = this.#maxHeapBytes ?? (this.#largestCapacity || undefined);
    this.#storms.add(event, capacityBytes);
    if (isHeapPressure(event)) this.#pressureCount += 1;
    else if (event.kind === 'full') {
      if (isAskedFor(event.cause)) this.#askedCount += 1;
      else if (isForMetadata(event.cause)) this.#metadataCount += 1;
    } else if (event.kind === 'majorCycle' && isAskedFor(event.cause)) this.#askedCount += 1;
    if (isYoungCollection(event) && event.startSeconds !== undefined)
      this.#young(event.startSeconds);
  }

  /** The next event is of another life of the JVM. */
  restart(): void {
    this.#storms.restart();
    this.#afterAny.restart();
    this.#afterFull.restart();
  }

  statistics(): GcStatistics {
    const first = this.#firstSeconds;
    const lasted = first === undefined ? undefined : (this.#lastSeconds ?? first) - first;
    const young = this.#counts.young + this.#counts.mixed + this.#counts.minorCycle;
    return {
      eventCount: this.#eventCount,
      counts: { ...this.#counts },
      pressureCount: this.#pressureCount,
      askedCount: this.#askedCount,
      metadataCount: this.#metadataCount,
      evacuationFailureCount: this.#evacuationFailureCount,
      verdict: this.#verdict(),
      storm: this.#storms.storm,
      pauses: summaryOf(this.#pauses),
      fullPauses: summaryOf(this.#fullPauses),
      stalls: summaryOf(this.#stalls),
      lastedSeconds: lasted,
      pausedShare:
        lasted === undefined || lasted <= 0
          ? undefined
          : Math.min(1, this.#paused.seconds / lasted),
      youngPerMinute: lasted === undefined || lasted < 60 ? undefined : (young * 60) / lasted,
      peakYoungPerMinute: lasted === undefined ? undefined : this.#peakMinuteCount,
      causes: this.#causeList(),
      heapAfterGc: this.#afterAny.summary(this.#maxHeapBytes),
      heapAfterFullGc: this.#afterFull.summary(
        this.#maxHeapBytes ?? (this.#largestCapacity || undefined),
      ),
      firstEpochMilliseconds: this.#firstEpoch,
      lastEpochMilliseconds: this.#lastEpoch,
    };
  }

  #time({ startSeconds, pauseSeconds, startEpochMilliseconds }: GcEvent): void {
    if (startEpochMilliseconds !== undefined) {
      this.#firstEpoch ??= startEpochMilliseconds;
      this.#lastEpoch = startEpochMilliseconds;
    }
    if (startSeconds === undefined) return;
    this.#firstSeconds = Math.min(this.#firstSeconds ?? startSeconds, startSeconds);
    const end = startSeconds + (pauseSeconds ?? 0);
    this.#lastSeconds = Math.max(this.#lastSeconds ?? end, end);
  }

  #pause(event: GcEvent): void {
    const { pauseSeconds, kind, cause } = event;
    if (cause !== undefined) this.#cause(cause, isPause(event) ? (pauseSeconds ?? 0) : 0);
    if (pauseSeconds === undefined) return;
    if (kind === 'allocationStall') {
      this.#stalls.add(pauseSeconds);
      return;
    }
    this.#pauses.add(pauseSeconds);
    if (kind === 'full' || kind === 'degenerated') this.#fullPauses.add(pauseSeconds);
    this.#paused.add(event.startSeconds, pauseSeconds);
  }

  #cause(cause: string, pauseSeconds: number): void {
    const known = this.#causes.has(cause) || this.#causes.size < maxCauseCount;
    const name = known ? cause : 'other';
    let tally = this.#causes.get(name);
    if (tally === undefined) {
      tally = { count: 0, pauseSeconds: 0, maxPauseSeconds: 0 };
      this.#causes.set(name, tally);
    }
    tally.count += 1;
    tally.pauseSeconds += pauseSeconds;
    tally.maxPauseSeconds = Math.max(tally.maxPauseSeconds, pauseSeconds);
  }

  #heap(event: GcEvent): void {
    const { heapAfterBytes: afterBytes, heapCapacityBytes: capacityBytes } = event;
    if (afterBytes === undefined) return;
    this.#largestCapacity = Math.max(this.#largestCapacity, capacityBytes ?? 0);
    this.#afterAny.add({ afterBytes, capacityBytes }, event.startSeconds);
    if (event.kind !== 'full' && event.kind !== 'majorCycle' && event.kind !== 'degenerated')
      return;
    this.#afterFull.add({ afterBytes, capacityBytes }, event.startSeconds);
  }

  #young(startSeconds: number): void {
    while (this.#minuteCount > 0) {
      const oldest = this.#minute[this.#minuteFrom] ?? startSeconds;
      if (oldest > startSeconds - 60 && this.#minuteCount < maxMinuteCount) break;
      this.#minuteFrom = (this.#minuteFrom + 1) % maxMinuteCount;
      this.#minuteCount -= 1;
    }
    this.#minute[(this.#minuteFrom + this.#minuteCount) % maxMinuteCount] = startSeconds;
    this.#minuteCount += 1;
    this.#peakMinuteCount = Math.max(this.#peakMinuteCount, this.#minuteCount);
  }

  #verdict(): GcVerdict {
    if (this.#storms.storm !== undefined) return 'storm';
    if (this.#pressureCount > 0) return 'pressure';
    if (this.#metadataCount > 0) return 'metadata';
    return this.#askedCount > 0 ? 'asked' : 'calm';
  }

  #causeList(): readonly CauseStatistics[] {
    return [...this.#causes]
      .map(([cause, tally]) => ({ cause, ...tally }))
      .sort((one, other) => other.pauseSeconds - one.pauseSeconds || other.count - one.count);
  }
}

function summaryOf(histogram: PauseHistogram): PauseStatistics {
  return {
    count: histogram.count,
    sumSeconds: histogram.sumSeconds,
    p50Seconds: histogram.quantile(0.5),
    p99Seconds: histogram.quantile(0.99),
    maxSeconds: histogram.maxSeconds,
  };
}
