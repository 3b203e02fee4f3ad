/** One category of native memory tracking, by the JVM's own name: `Java Heap`, `Thread`, `Other`. */
export interface NativeMemoryCategory {
  readonly name: string;
  readonly reservedBytes: number;
  readonly committedBytes: number;
}

/** What the JVM knows of its own memory. Memory of native libraries is not in it. */
export interface NativeMemory {
  readonly reservedBytes: number;
  readonly committedBytes: number;
  readonly categories: readonly NativeMemoryCategory[];
}

/** HotSpot has fewer than 40 categories. */
const maxCategoryCount = 100;

/**
 * The answer of VM.native_memory summary, in any of its scales (KB unless another was asked for, ±1 unit).
 * `undefined` when it is none, and when tracking is off. Source: memReporter.cpp of OpenJDK 17 and 25.
 */
export function parseNativeMemory(text: string): NativeMemory | undefined {
  const head = text.slice(0, 200_000);
  const total = sizesOf(/^Total: ([^\n]{1,200})/m.exec(head)?.[1]);
  if (total === undefined) return undefined;
  const categories: NativeMemoryCategory[] = [];
  for (const row of head.matchAll(/^- {1,40}([A-Z][A-Za-z ]{0,60}?) \((reserved=[^\n]{1,200})/gm)) {
    const sizes = sizesOf(row[2]);
    if (sizes && categories.length < maxCategoryCount) {
      categories.push({ name: row[1] ?? '', ...sizes });
    }
  }
  return { ...total, categories };
}

/** Whether the answer says that the JVM was started without -XX:NativeMemoryTracking. */
export function nativeMemoryIsOff(text: string): boolean {
  return /^Native memory tracking is not enabled/m.test(text.slice(0, 2_000));
}

/** Committed bytes of a category; 0 where it is left out, as the JVM does with those below one unit. */
export function committedBytesOf(memory: NativeMemory, name: string): number {
  return memory.categories.find((category) => category.name === name)?.committedBytes ?? 0;
}

function sizesOf(
  text: string | undefined,
): { reservedBytes: number; committedBytes: number } | undefined {
  const sizes = /reserved=(\d{1,15})([KMG]?B)?, committed=(\d{1,15})([KMG]?B)?/.exec(text ?? '');
  if (!sizes) return undefined;
  return {
    reservedBytes: Number(sizes[1]) * unitBytes(sizes[2]),
    committedBytes: Number(sizes[3]) * unitBytes(sizes[4]),
  };
}

function unitBytes(unit: string | undefined): number {
  return 1024 ** 'BKMG'.indexOf(unit?.[0] ?? 'B');
}
