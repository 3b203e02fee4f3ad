/**
 * What HotSpot answers to diagnostic commands. The answers are for people and differ between versions: what a
 * parser does not recognise is absent, never a fault.
 */

export interface VmVersion {
  readonly vmName: string;
  readonly vmVersion: string;
  /** As the JVM prints it: `17.0.15`, `25.0.3`, `8.0_412`. */
  readonly jdkVersion?: string;
  readonly jdkMajor?: number;
}

/** The answer of VM.version; `undefined` when it is none. */
export function parseVmVersion(text: string): VmVersion | undefined {
  const vm = /^(.{1,150}?) version (\S{1,150})$/m.exec(text.slice(0, 2_000));
  if (!vm) return undefined;
  const jdkVersion = /^JDK (\S{1,150})$/m.exec(text.slice(0, 2_000))?.[1];
  return {
    vmName: vm[1] ?? '',
    vmVersion: vm[2] ?? '',
    ...(jdkVersion !== undefined && { jdkVersion, ...jdkMajorOf(jdkVersion) }),
  };
}

/** `{ jdkMajor }` of a version such as `25.0.3`, `17`, `8.0_412`, `1.8.0_412`; `{}` when it shows none. */
export function jdkMajorOf(version: string): { jdkMajor?: number } {
  const major = /^(?:1\.)?(\d{1,3})(?=\D|$)/.exec(version)?.[1];
  return major === undefined ? {} : { jdkMajor: Number(major) };
}

export interface ClassHistogramRow {
  readonly rank: number;
  readonly instances: number;
  /** Shallow size of all instances in the heap, headers and padding included. */
  readonly bytes: number;
  /** As the JVM prints it: `java.lang.String`, `[B`, `[Ljava.lang.Object;`. */
  readonly className: string;
  /** `java.base@17.0.15`; absent for classes of the class path. */
  readonly module?: string;
}

export interface ClassHistogram {
  readonly rows: readonly ClassHistogramRow[];
  /** Of all classes, also those over the limit; absent when the answer was cut. */
  readonly total?: { readonly instances: number; readonly bytes: number };
}

const histogramRow =
  /^ *(\d{1,9}): {1,20}(\d{1,16}) {1,20}(\d{1,16}) {1,4}(\S{1,65535})(?: \((\S{1,500})\))?\r?$/;

/** The first `limit` rows of GC.class_histogram, largest first as the JVM prints them. */
export function parseClassHistogram(text: string, limit: number): ClassHistogram {
  const rows: ClassHistogramRow[] = [];
  let at = 0;
  while (rows.length < limit && at < text.length) {
    const lineEnd = text.indexOf('\n', at);
    const end = lineEnd === -1 ? text.length : lineEnd;
    const row = histogramRow.exec(text.slice(at, end));
    if (row) rows.push(rowOf(row));
    at = end + 1;
  }
  const total = /^Total {1,20}(\d{1,16}) {1,20}(\d{1,16})\s*$/m.exec(text.slice(-200));
  return {
    rows,
    ...(total && { total: { instances: Number(total[1]), bytes: Number(total[2]) } }),
  };
}

function rowOf(row: RegExpExecArray): ClassHistogramRow {
  const module = row[5];
  return {
    rank: Number(row[1]),
    instances: Number(row[2]),
    bytes: Number(row[3]),
    className: row[4] ?? '',
    ...(module !== undefined && { module }),
  };
}

export const threadStates = [
  'NEW',
  'RUNNABLE',
  'BLOCKED',
  'WAITING',
  'TIMED_WAITING',
  'TERMINATED',
] as const;
export type ThreadState = (typeof threadStates)[number];

export interface ThreadSummary {
  /** Java threads: those with a java.lang.Thread.State. Virtual threads are not printed by HotSpot. */
  readonly threadCount: number;
  readonly byState: Readonly<Record<ThreadState, number>>;
  /** Deadlocks of object monitors and locks that the JVM found by itself. */
  readonly deadlockCount: number;
}

/** Counts what Thread.print shows; all zero for a text that is none. */
export function parseThreadSummary(text: string): ThreadSummary {
  const byState = { NEW: 0, RUNNABLE: 0, BLOCKED: 0, WAITING: 0, TIMED_WAITING: 0, TERMINATED: 0 };
  let threadCount = 0;
  for (const match of text.matchAll(/^ +java\.lang\.Thread\.State: ([A-Z_]{1,20})/gm)) {
    const state = threadStates.find((known) => known === match[1]);
    if (state === undefined) continue;
    byState[state] += 1;
    threadCount += 1;
  }
  const deadlocks = text.matchAll(/^Found one Java-level deadlock:/gm);
  return { threadCount, byState, deadlockCount: [...deadlocks].length };
}

/** What the JVM says about its dump. For the log: whether the dump is whole, only its bytes tell. */
export type HeapDumpReply =
  | { readonly said: 'created'; readonly bytes: number }
  | { readonly said: 'failed' | 'unknown'; readonly words: string };

export function parseHeapDumpReply(text: string): HeapDumpReply {
  const created = /^Heap dump file created \[(\d{1,16}) bytes in /m.exec(text)?.[1];
  if (created !== undefined) return { said: 'created', bytes: Number(created) };
  const failed =
    /^(?:Unable to create |Dump failed|Dump file is incomplete|File exists|java\.lang\.)[^\n]{0,300}/m.exec(
      text,
    );
  return failed
    ? { said: 'failed', words: failed[0] }
    : { said: 'unknown', words: text.slice(0, 300) };
}
