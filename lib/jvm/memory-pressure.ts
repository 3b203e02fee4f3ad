/** Where the trouble of a JVM that runs short of memory is. */
export const pressures = ['heap', 'offHeap', 'unknown'] as const;
export type Pressure = (typeof pressures)[number];

/** What is known about the memory of a JVM and of its container; what is not known is absent. */
export interface MemoryNumbers {
  readonly heapUsedBytes?: number;
  /** Heap in use as of the last GC, without what became garbage since; absent before the first. */
  readonly heapUsedAfterGcBytes?: number;
  readonly heapCommittedBytes?: number;
  readonly heapMaxBytes?: number;
  /** Memory of the process that is not heap: by native memory tracking, else resident less committed heap. */
  readonly offHeapBytes?: number;
  /** Direct buffers and Unsafe: the category `Other` of native memory tracking. */
  readonly directBytes?: number;
  readonly directMaxBytes?: number;
  /** Anonymous resident memory of the process. */
  readonly residentBytes?: number;
  /** Of the container, without page cache that can be dropped. */
  readonly containerUsedBytes?: number;
  readonly containerLimitBytes?: number;
}

export interface PressureJudgement {
  readonly pressure: Pressure;
  /** The numbers that decided, in a sentence of at most 300 characters. */
  readonly explanation: string;
}

const nearlyFull = 0.85;
/** What a JVM without direct buffers takes beside its heap: metaspace, code, threads, structures of the GC. */
const ordinaryOffHeapBytes = 256 * 1024 * 1024;

/**
 * Says where the pressure is. The heap comes first: where it is nearly full, a heap dump explains the trouble
 * whatever lies beside it. `unknown` when nothing is nearly full, or the numbers do not tell.
 */
export function judgePressure(numbers: MemoryNumbers): PressureJudgement {
  return heapPressure(numbers) ?? directPressure(numbers) ?? containerPressure(numbers);
}

function heapPressure(numbers: MemoryNumbers): PressureJudgement | undefined {
  const { heapUsedBytes, heapUsedAfterGcBytes, heapMaxBytes } = numbers;
  const used = leastOf(heapUsedBytes, heapUsedAfterGcBytes);
  if (!isNearlyFull(used, heapMaxBytes)) return undefined;
  return { pressure: 'heap', explanation: `the heap holds ${used} of ${heapMaxBytes} bytes` };
}

/** The JVM bounds direct buffers by -XX:MaxDirectMemorySize, or by the size of its heap. */
function directPressure(numbers: MemoryNumbers): PressureJudgement | undefined {
  const { directBytes, directMaxBytes, heapMaxBytes } = numbers;
  const limit = directMaxBytes ?? heapMaxBytes;
  if (!isNearlyFull(directBytes, limit)) return undefined;
  return {
    pressure: 'offHeap',
    explanation: `direct buffers and the like hold ${directBytes} of ${limit} bytes`,
  };
}

function containerPressure(numbers: MemoryNumbers): PressureJudgement {
  const { heapMaxBytes: max, heapCommittedBytes: committed, offHeapBytes: offHeap } = numbers;
  const { containerUsedBytes: used, containerLimitBytes: limit } = numbers;
  if (offHeap === undefined || max === undefined || committed === undefined) {
    return { pressure: 'unknown', explanation: 'too few numbers' };
  }
  const beside = `${offHeap} bytes lie outside of the heap`;
  if (limit === undefined) {
    if (offHeap <= max + ordinaryOffHeapBytes) return nothingFull;
    const explanation = `${beside}, more than the heap may ever hold (${max} bytes)`;
    return { pressure: 'offHeap', explanation };
  }
  if (!isNearlyFull(used, limit)) return nothingFull;
  const container = `the container holds ${used} of ${limit} bytes`;
  if (max >= limit && committed >= offHeap) {
    return { pressure: 'heap', explanation: `${container}; the heap may grow to ${max} bytes` };
  }
  if (offHeap > committed || (max < limit && offHeap > limit - max)) {
    return { pressure: 'offHeap', explanation: `${container}; ${beside}` };
  }
  return { pressure: 'unknown', explanation: `${container}; ${beside}, ${committed} are heap` };
}

const nothingFull: PressureJudgement = { pressure: 'unknown', explanation: 'nothing is full' };

function isNearlyFull(used: number | undefined, limit: number | undefined): boolean {
  return used !== undefined && limit !== undefined && limit > 0 && used >= nearlyFull * limit;
}

function leastOf(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}

/**
 * -XX:MaxDirectMemorySize among the options of a JVM, in bytes; the last one counts. `undefined` when there is none, or it
 * is 0, which means the size of the heap.
 */
export function directMaxBytesOf(options: string): number | undefined {
  const last = [...options.matchAll(/-XX:MaxDirectMemorySize=(\d{1,15})([kKmMgGtT]?)/g)].at(-1);
  if (last === undefined) return undefined;
  const bytes = Number(last[1]) * 1024 ** ' KMGT'.indexOf((last[2] ?? '').toUpperCase() || ' ');
  return bytes === 0 ? undefined : bytes;
}
