import type { ClassCount } from './class-tally.ts';
import { RecordChain, type ChainState } from './record-chain.ts';
import { RecordContents } from './record-contents.ts';

export interface HeapScanOptions {
  /** Classes in `topClasses`; 1..10,000, default 50. */
  topCount?: number;
  /** Names kept at most, in bytes; default 128 MiB. */
  maxNameBytes?: number;
}

/** What a pass over a dump has seen. */
export interface ScanResult {
  /** `chain.ended` tells whether the dump is whole. */
  readonly chain: ChainState;
  /** RFC 3339, by the clock of the JVM. */
  readonly dumpTime?: string;
  /** The classes with most bytes, largest first. */
  readonly topClasses: readonly ClassCount[];
  /** Instances of any class by the name that GC.class_histogram uses; 0 of one that is not in the dump. */
  classNamed(className: string): ClassCount;
  /** Names of classes whose instances were counted. */
  readonly namedClassCount: number;
  /** CLASS_DUMP sub-records, and LOAD_CLASS records, of which JDK 17 writes more than of the former. */
  readonly classCount: number;
  readonly loadedClassCount: number;
  readonly instanceCount: number;
  readonly objectArrayCount: number;
  readonly primitiveArrayCount: number;
  /** All three: fields and elements as the dump has them, see ClassCount.shallowBytes. */
  readonly shallowBytes: number;
  readonly rootCount: number;
  /** UTF8 records: names of classes, fields and methods, not the heap's strings. */
  readonly nameCount: number;
  /** False when there were more names than maxNameBytes: some classes are then called by identifier. */
  readonly namesComplete: boolean;
}

/** The end of the year 9999, the last of RFC 3339; a header that lies may say more. */
const maxDateMillis = 253_402_300_799_999;

/**
 * One pass over a whole dump in chunks of any size: classes with their instances and bytes, and totals.
 * Memory is the names and the classes, both bounded, whatever the dump's size.
 */
export class HeapScan {
  readonly #topCount: number;
  readonly #contents: RecordContents;
  readonly #chain: RecordChain;

  constructor(options: HeapScanOptions = {}) {
    this.#topCount = Math.min(10_000, Math.max(1, options.topCount ?? 50));
    this.#contents = new RecordContents(options.maxNameBytes ?? 128 * 1024 * 1024);
    this.#chain = new RecordChain({ visitor: this.#contents });
  }

  /**
   * @throws CaptureError InvalidHprof: what RecordChain refuses, unknown or overlong sub-records, those of
   *   Android, over a million classes. The scan is over then; `finish` tells what came before.
   */
  push(chunk: Uint8Array): void {
    this.#chain.push(chunk);
  }

  finish(): ScanResult {
    const { tally, names, nameCount, timestampMillis } = this.#contents;
    const byName = tally.byName(names);
    const largestFirst = [...byName.values()].sort(
      (one, other) =>
        other.shallowBytes - one.shallowBytes || (one.className < other.className ? -1 : 1),
    );
    return {
      chain: this.#chain.state,
      ...dumpTimeOf(timestampMillis),
      topClasses: largestFirst.slice(0, this.#topCount),
      classNamed: (className) =>
        byName.get(className) ?? { className, instanceCount: 0, shallowBytes: 0 },
      namedClassCount: byName.size,
      classCount: tally.classCount,
      loadedClassCount: tally.loadedClassCount,
      instanceCount: tally.instanceCount,
      objectArrayCount: tally.objectArrayCount,
      primitiveArrayCount: tally.primitiveArrayCount,
      shallowBytes: tally.shallowBytes,
      rootCount: tally.rootCount,
      nameCount,
      namesComplete: names.complete,
    };
  }
}

/** A header's time, if RFC 3339 can say it. */
export function dumpTimeOf(timestampMillis: number | undefined): { dumpTime?: string } {
  if (timestampMillis === undefined || timestampMillis > maxDateMillis) return {};
  return { dumpTime: new Date(timestampMillis).toISOString() };
}
