/** The collectors whose GC.heap_info is understood, by the words their owners use. */
export type Collector = 'Serial' | 'Parallel' | 'G1' | 'ZGC' | 'Shenandoah';

/** The Java heap. A size that the collector does not print is absent. */
export interface HeapInfo {
  readonly collector: Collector;
  readonly usedBytes?: number;
  readonly committedBytes?: number;
  readonly maxBytes?: number;
}

/**
 * The answer of GC.heap_info; `undefined` for a collector that is not known.
 * Sizes are printed in K or M: ±1 MiB for ZGC. Serial's and Parallel's committed size leaves one survivor
 * space out, as the JVM prints it. Source: print_on of each collector in OpenJDK 17 and 25.
 */
export function parseHeapInfo(text: string): HeapInfo | undefined {
  const head = text.slice(0, 20_000);
  if (/^ ?garbage-first heap/m.test(head)) return g1(head);
  if (/^ ?ZHeap/m.test(head)) return zgc(head);
  if (/^Shenandoah Heap/m.test(head)) return shenandoah(head);
  if (/^ ?PSYoungGen/m.test(head)) {
    return generations('Parallel', head, /^ ?(?:PSYoungGen|ParOldGen) [^\n]*/gm);
  }
  if (/^ ?(?:def new generation|DefNew) /m.test(head)) {
    return generations(
      'Serial',
      head,
      /^ ?(?:(?:def new|tenured) generation|DefNew|Tenured) [^\n]*/gm,
    );
  }
  return undefined;
}

const size = /(\d{1,15}) ?([BKMGT])/;

/** Bytes behind (or before) a word: `used 1439K`, `1536K used`. */
function sizeBy(text: string, pattern: RegExp): number | undefined {
  const found = pattern.exec(text)?.[0];
  const parts = found === undefined ? null : size.exec(found);
  return parts ? Number(parts[1]) * 1024 ** 'BKMGT'.indexOf(parts[2] ?? 'B') : undefined;
}

/** Bytes between the first and the last address of `[0x…, 0x…, 0x…)`. */
function reservedBytes(line: string): number | undefined {
  const addresses = [...line.matchAll(/0x([0-9a-f]{1,16})/g)].map((match) =>
    BigInt(`0x${match[1] ?? '0'}`),
  );
  const [first, last] = [addresses[0], addresses.at(-1)];
  if (first === undefined || last === undefined || last <= first) return undefined;
  return Number(last - first);
}

function heapInfo(
  collector: Collector,
  usedBytes: number | undefined,
  committedBytes: number | undefined,
  maxBytes: number | undefined,
): HeapInfo {
  return {
    collector,
    ...(usedBytes !== undefined && { usedBytes }),
    ...(committedBytes !== undefined && { committedBytes }),
    ...(maxBytes !== undefined && { maxBytes }),
  };
}

function g1(text: string): HeapInfo {
  const line = /^ ?garbage-first heap[^\n]*/m.exec(text)?.[0] ?? '';
  // JDK 25 prints "total reserved" and "committed"; before it, "total" is what is committed.
  return heapInfo(
    'G1',
    sizeBy(line, /used \d{1,15} ?[BKMGT]/),
    sizeBy(line, /committed \d{1,15} ?[BKMGT]/) ?? sizeBy(line, /total \d{1,15} ?[BKMGT]/),
    sizeBy(line, /reserved \d{1,15} ?[BKMGT]/) ?? reservedBytes(line),
  );
}

function zgc(text: string): HeapInfo {
  const line = /^ ?ZHeap[^\n]*/m.exec(text)?.[0] ?? '';
  return heapInfo(
    'ZGC',
    sizeBy(line, /used \d{1,15} ?[BKMGT]/),
    sizeBy(line, /, capacity \d{1,15} ?[BKMGT]/),
    sizeBy(line, /max capacity \d{1,15} ?[BKMGT]/),
  );
}

function shenandoah(text: string): HeapInfo {
  return heapInfo(
    'Shenandoah',
    sizeBy(text, /\d{1,15} ?[BKMGT] used/),
    sizeBy(text, /\d{1,15} ?[BKMGT] committed/),
    sizeBy(text, /\d{1,15} ?[BKMGT] max/),
  );
}

function generations(collector: Collector, text: string, pattern: RegExp): HeapInfo {
  const lines = [...text.matchAll(pattern)].map((match) => match[0]);
  const sum = (sizeOf: (line: string) => number | undefined): number | undefined => {
    const sizes = lines.map(sizeOf);
    return sizes.reduce((all, bytes) =>
      all === undefined || bytes === undefined ? undefined : all + bytes,
    );
  };
  return heapInfo(
    collector,
    sum((line) => sizeBy(line, /used \d{1,15} ?[BKMGT]/)),
    sum((line) => sizeBy(line, /total \d{1,15} ?[BKMGT]/)),
    sum(reservedBytes),
  );
}
