/**
 * The performance counters that every HotSpot JVM keeps in `/tmp/hsperfdata_<user>/<pid>`: a little file, mapped
 * into memory, that tells about the JVM without attaching to it. The directory may be missing
 * (-XX:-UsePerfData) or the counters private (-XX:+PerfDisableSharedMem).
 * Source: perfMemory.hpp of OpenJDK, data format 2.0.
 */
import type { Collector } from './heap-info.ts';
import { jdkMajorOf } from './diagnostic-replies.ts';

const magic = 0xcafe_c0c0;
const prologueBytes = 32;
const entryHeadBytes = 20;
/** HotSpot keeps some 300 counters in 32 KiB. */
const maxEntryCount = 20_000;
const maxTextBytes = 65_536;

export type PerfData = ReadonlyMap<string, number | string>;

/**
 * All counters by name: longs as numbers, byte vectors as text up to their NUL.
 * `undefined` for bytes that are no counters, another format version, or counters that the starting JVM has not
 * released yet. Entries that do not fit into the bytes end the list: the file is read while it changes.
 */
export function parsePerfData(bytes: Uint8Array): PerfData | undefined {
  const entries = perfDataEntries(bytes);
  if (entries === undefined) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { littleEndian } = entries;
  return new Map(
    entries.list.map(({ name, dataAt, textEnd }) => [
      name,
      textEnd === undefined
        ? Number(view.getBigInt64(dataAt, littleEndian))
        : textAt(bytes, dataAt, textEnd),
    ]),
  );
}

/** Where the counters lie, which does not change while `entryCount` does not; the same answers as parsePerfData. */
export interface PerfDataEntries {
  readonly littleEndian: boolean;
  /** As the prologue says: HotSpot adds counters while it starts. */
  readonly entryCount: number;
  readonly list: readonly {
    readonly name: string;
    readonly dataAt: number;
    /** Of a text, where its field ends; absent of a long, whose 8 bytes all are there. */
    readonly textEnd?: number;
  }[];
}

export function perfDataEntries(bytes: Uint8Array): PerfDataEntries | undefined {
  const entryCount = perfDataEntryCount(bytes);
  if (entryCount === undefined) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const littleEndian = view.getUint8(4) === 1;
  const list: { name: string; dataAt: number; textEnd?: number }[] = [];
  let at = view.getUint32(24, littleEndian);
  for (let index = 0; index < Math.min(entryCount, maxEntryCount); index += 1) {
    if (at + entryHeadBytes > bytes.length) break;
    const entryBytes = view.getUint32(at, littleEndian);
    const end = at + entryBytes;
    if (entryBytes < entryHeadBytes || end > bytes.length) break;
    const nameAt = at + view.getUint32(at + 4, littleEndian);
    const vectorLength = view.getUint32(at + 8, littleEndian);
    const type = view.getUint8(at + 12);
    const dataAt = at + view.getUint32(at + 16, littleEndian);
    if (type === 0x4a && vectorLength === 0 && dataAt + 8 <= end) {
      list.push({ name: textAt(bytes, nameAt, end), dataAt });
    } else if (type === 0x42 && vectorLength > 0 && dataAt <= end) {
      const textEnd = Math.min(end, dataAt + vectorLength);
      list.push({ name: textAt(bytes, nameAt, end), dataAt, textEnd });
    }
    at = end;
  }
  return { littleEndian, entryCount, list };
}

/** The prologue's number of counters; `undefined` for what parsePerfData does not take. */
export function perfDataEntryCount(bytes: Uint8Array): number | undefined {
  if (bytes.length < prologueBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const accessible = view.getUint8(7) === 1;
  if (view.getUint32(0) !== magic || view.getUint8(5) !== 2 || !accessible) return undefined;
  return view.getUint32(28, view.getUint8(4) === 1);
}

/** Up to its NUL. */
export function textAt(bytes: Uint8Array, start: number, end: number): string {
  const field = bytes.subarray(start, Math.min(end, start + maxTextBytes));
  const nul = field.indexOf(0);
  return new TextDecoder().decode(nul === -1 ? field : field.subarray(0, nul));
}

/** A JVM as its counters show it; what they do not hold is absent. */
export interface JvmSummary {
  readonly jdkVersion?: string;
  readonly jdkMajor?: number;
  readonly vmName?: string;
  readonly vmVersion?: string;
  readonly collector?: Collector;
  /** Main class or jar with its arguments: may hold secrets, never logged. */
  readonly javaCommand?: string;
  /** As of the last GC, 0 before the first; only JDK 17's Serial and Parallel, and Shenandoah keep it current. */
  readonly heapUsedBytes?: number;
  readonly heapCommittedBytes?: number;
  readonly heapMaxBytes?: number;
  /** Pauses of all collectors since the JVM started. */
  readonly gcCount?: number;
  /** Seconds spent in them. */
  readonly gcSeconds?: number;
}

export function jvmSummary(counters: PerfData): JvmSummary {
  const text = (name: string): string | undefined => {
    const value = counters.get(name);
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const jdkVersion = text('java.property.java.version');
  const collector = collectorOf(counters);
  const frequency = counters.get('sun.os.hrt.frequency');
  const ticks = sumOf(counters, /^sun\.gc\.collector\.\d+\.time$/);
  const gcSeconds =
    ticks === undefined || typeof frequency !== 'number' || frequency <= 0
      ? undefined
      : ticks / frequency;
  return withoutAbsent({
    jdkVersion,
    ...(jdkVersion !== undefined && jdkMajorOf(jdkVersion)),
    vmName: text('java.property.java.vm.name'),
    vmVersion: text('java.property.java.vm.version'),
    collector,
    javaCommand: text('sun.rt.javaCommand'),
    heapUsedBytes: sumOf(counters, /^sun\.gc\.generation\.\d+\.space\.\d+\.used$/),
    heapCommittedBytes: sumOf(counters, /^sun\.gc\.generation\.\d+\.capacity$/),
    heapMaxBytes: maxHeapOf(counters, collector),
    gcCount: sumOf(counters, /^sun\.gc\.collector\.\d+\.invocations$/),
    gcSeconds,
  });
}

function collectorOf(counters: PerfData): Collector | undefined {
  const words = [...counters]
    .filter(([name]) => /^sun\.gc\.(collector\.\d+|policy)\.name$/.test(name))
    .map(([, value]) => String(value));
  const known: readonly [Collector, RegExp][] = [
    ['G1', /^(G1 |GarbageFirst$)/],
    ['ZGC', /^(ZGC|Z) /],
    ['Shenandoah', /^Shenandoah /],
    ['Parallel', /^(Parallel |PSScavenge|ParScav:)/],
    ['Serial', /^(Serial |Copy:MSC$)/],
  ];
  return known.find(([, pattern]) => words.some((word) => pattern.test(word)))?.[0];
}

/** Generations of Serial and Parallel split the heap; those of the others may each grow to all of it. */
function maxHeapOf(counters: PerfData, collector: Collector | undefined): number | undefined {
  const sizes = valuesOf(counters, /^sun\.gc\.generation\.\d+\.maxCapacity$/);
  if (collector === undefined || sizes.length === 0) return undefined;
  const split = collector === 'Serial' || collector === 'Parallel';
  return split ? sizes.reduce((sum, bytes) => sum + bytes, 0) : Math.max(...sizes);
}

function sumOf(counters: PerfData, pattern: RegExp): number | undefined {
  const values = valuesOf(counters, pattern);
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0);
}

function valuesOf(counters: PerfData, pattern: RegExp): readonly number[] {
  return [...counters]
    .filter(([name]) => pattern.test(name))
    .map(([, value]) => value)
    .filter((value) => typeof value === 'number');
}

function withoutAbsent(summary: {
  [Key in keyof JvmSummary]: JvmSummary[Key] | undefined;
}): JvmSummary {
  return Object.fromEntries(Object.entries(summary).filter(([, value]) => value !== undefined));
}
