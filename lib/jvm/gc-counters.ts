/**
 * What the performance counters tell of collections, read over and over at the least cost: where the counters lie is
 * looked up once. Names are those of JDK 8 to 25 (HotSpot: memory/, gc/…/…Counters, CollectorCounters); what a collector
 * does not count, or counts as something else, is absent:
 * Shenandoah and ZGC count pauses, several to a collection; CMS counts its phases as collections of the old generation.
 */
import type { Collector } from './heap-info.ts';
import {
  jvmSummary,
  parsePerfData,
  perfDataEntries,
  perfDataEntryCount,
  textAt,
} from './hsperfdata.ts';

export interface GcCounters {
  readonly collector?: Collector;
  /** Collections of the whole heap that stopped the application, since the JVM started. */
  readonly fullGcCount?: number;
  readonly youngGcCount?: number;
  /** Pauses of cycles that look at the old generation beside the application (G1, ZGC, Shenandoah). */
  readonly cyclePauseCount?: number;
  /** In pauses, of all collectors. */
  readonly gcSeconds?: number;
  /** Of the old generation; where there is no such thing, of the heap. Can be as of the last collection. */
  readonly oldUsedBytes?: number;
  readonly oldMaxBytes?: number;
  readonly heapUsedBytes?: number;
  readonly heapMaxBytes?: number;
  readonly edenCapacityBytes?: number;
  /** Of the last collection, as the GC log prints it. */
  readonly lastCause?: string;
}

const youngNames =
  /^(Copy|PCopy|ParNew|PSScavenge|(Serial|Parallel|G1) young collection pauses|G1 incremental collections)$/;
const fullNames =
  /^(MSC|PSParallelCompact|PSMarkSweep|(Serial|Parallel|G1) full collection pauses|G1 stop-the-world full collections)$/;
const cycleNames =
  /^(G1 concurrent cycle pauses|G1 stop-the-world phases|Z concurrent cycle pauses|ZGC major collection pauses|Shenandoah full)$/;

/** Reads the counters of one JVM out of ever fresh bytes of its file. */
export class GcCounterReader {
  readonly #entryCount: number;
  readonly #littleEndian: boolean;
  readonly #longs: ReadonlyMap<string, number>;
  readonly #causeAt: { dataAt: number; textEnd: number } | undefined;
  readonly #count: Partial<Record<'young' | 'full' | 'cycle', number>> = {};
  readonly #times: readonly number[];
  readonly #usedAts: readonly number[];
  readonly #ticksPerSecond: number;
  readonly #heapMaxBytes: number | undefined;
  readonly #collector: Collector | undefined;

  /** `undefined` for what parsePerfData does not take: it may be there a second later. */
  static of(bytes: Uint8Array): GcCounterReader | undefined {
    const entries = perfDataEntries(bytes);
    return entries && new GcCounterReader(bytes, entries);
  }

  private constructor(bytes: Uint8Array, entries: NonNullable<ReturnType<typeof perfDataEntries>>) {
    const counters = parsePerfData(bytes) ?? new Map<string, number | string>();
    const { collector, heapMaxBytes } = jvmSummary(counters);
    this.#collector = collector;
    this.#heapMaxBytes = heapMaxBytes;
    this.#entryCount = entries.entryCount;
    this.#littleEndian = entries.littleEndian;
    this.#longs = new Map(
      entries.list.flatMap(({ name, dataAt, textEnd }) =>
        textEnd === undefined && name.startsWith('sun.gc.') ? [[name, dataAt]] : [],
      ),
    );
    const cause = entries.list.find(({ name }) => name === 'sun.gc.lastCause');
    this.#causeAt =
      cause?.textEnd === undefined ? undefined : { dataAt: cause.dataAt, textEnd: cause.textEnd };
    for (const index of [0, 1, 2]) {
      const name = String(counters.get(`sun.gc.collector.${index}.name`) ?? '');
      const at = this.#longs.get(`sun.gc.collector.${index}.invocations`);
      if (at === undefined) continue;
      if (youngNames.test(name)) this.#count.young = at;
      if (fullNames.test(name)) this.#count.full = at;
      if (cycleNames.test(name)) this.#count.cycle = at;
    }
    this.#times = this.#matching(/^sun\.gc\.collector\.\d\.time$/);
    this.#usedAts = this.#matching(/^sun\.gc\.generation\.[01]\.space\.\d\.used$/);
    const frequency = counters.get('sun.os.hrt.frequency');
    this.#ticksPerSecond = typeof frequency === 'number' && frequency > 0 ? frequency : Infinity;
  }

  /** `undefined` when the counters no longer lie where they lay: a new reader is needed. */
  read(bytes: Uint8Array): GcCounters | undefined {
    if (perfDataEntryCount(bytes) !== this.#entryCount) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const long = (at: number | undefined): number | undefined => {
      if (at === undefined || at + 8 > bytes.length) return undefined;
      const value = Number(view.getBigInt64(at, this.#littleEndian));
      return value >= 0 ? value : undefined;
    };
    const sum = (ats: readonly number[]): number | undefined =>
      ats.length === 0 ? undefined : ats.reduce((all, at) => all + (long(at) ?? 0), 0);
    const named = (name: string): number | undefined => long(this.#longs.get(name));
    const ticks = sum(this.#times);
    const heapUsedBytes = sum(this.#usedAts);
    const old = this.#old(named, heapUsedBytes);
    return withoutAbsent({
      collector: this.#collector,
      fullGcCount: long(this.#count.full),
      youngGcCount: long(this.#count.young),
      cyclePauseCount: long(this.#count.cycle),
      gcSeconds:
        ticks === undefined || this.#ticksPerSecond === Infinity
          ? undefined
          : ticks / this.#ticksPerSecond,
      ...old,
      heapUsedBytes,
      heapMaxBytes: this.#heapMaxBytes,
      edenCapacityBytes:
        this.#count.young === undefined ? undefined : named('sun.gc.generation.0.space.0.capacity'),
      lastCause: this.#causeAt && textAt(bytes, this.#causeAt.dataAt, this.#causeAt.textEnd),
    });
  }

  /** Serial, Parallel and CMS split the heap for good; G1's generations share it; ZGC and Shenandoah are looked at as a whole. */
  #old(named: (name: string) => number | undefined, heapUsedBytes: number | undefined) {
    const usedBytes = named('sun.gc.generation.1.space.0.used');
    if (this.#collector === 'ZGC' || this.#collector === 'Shenandoah') {
      return { oldUsedBytes: heapUsedBytes, oldMaxBytes: this.#heapMaxBytes };
    }
    const oldMaxBytes =
      this.#collector === 'G1' ? this.#heapMaxBytes : named('sun.gc.generation.1.maxCapacity');
    return { oldUsedBytes: usedBytes, oldMaxBytes };
  }

  #matching(pattern: RegExp): readonly number[] {
    return [...this.#longs].filter(([name]) => pattern.test(name)).map(([, at]) => at);
  }
}

function withoutAbsent(counters: {
  [Key in keyof GcCounters]: GcCounters[Key] | undefined;
}): GcCounters {
  return Object.fromEntries(Object.entries(counters).filter(([, value]) => value !== undefined));
}
