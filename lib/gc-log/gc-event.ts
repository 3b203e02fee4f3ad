/**
 * What one line, or one record of several lines, of a GC log says:
 * - `young`, `mixed`, `full`: a collection in one pause, by the words of HotSpot.
 * - `degenerated`: a concurrent collection of Shenandoah that had to end in a pause.
 * - `minorCycle`, `majorCycle`: a mostly concurrent collection of ZGC or Shenandoah; only Shenandoah's has a pause here,
 *   the one that begins it.
 * - `phase`: a pause of a concurrent collection (remark, cleanup, mark end, …).
 * - `allocationStall`: one thread of the application waited for memory (ZGC); no pause of the others.
 * - `heapSample`: a concurrent phase that only says what the heap holds now.
 */
export const gcEventKinds = [
  'young',
  'mixed',
  'full',
  'degenerated',
  'minorCycle',
  'majorCycle',
  'phase',
  'allocationStall',
  'heapSample',
] as const;
export type GcEventKind = (typeof gcEventKinds)[number];

/** One event. What the log does not say is absent, never a stand-in. */
export interface GcEvent {
  readonly kind: GcEventKind;
  /** As HotSpot prints it: `G1 Evacuation Pause`, `System.gc()`; gcCause.cpp has them all. */
  readonly cause: string | undefined;
  /** Seconds that the application stood still, or of a stall, that one thread waited. */
  readonly pauseSeconds: number | undefined;
  readonly heapBeforeBytes: number | undefined;
  readonly heapAfterBytes: number | undefined;
  /** What the heap could hold at that time without growing. */
  readonly heapCapacityBytes: number | undefined;
  /** The collector could not copy all it wanted: `To-space exhausted`, `promotion failed`, `Evacuation Failure`. */
  readonly evacuationFailed: boolean;
  /**
   * Seconds on an axis that never runs backwards: the log's own clock, with the lives of an appended log one behind
   * the other. Absent where lines carry no time. It is when the event began, as far as the log tells.
   */
  readonly startSeconds: number | undefined;
  /** Milliseconds since 1970 of the same moment, where the log tells the date. */
  readonly startEpochMilliseconds: number | undefined;
}

/** Causes that someone asked for: no trouble of the heap. Words of gcCause.cpp, JDK 6 to 25. */
const askedCauses: ReadonlySet<string> = new Set([
  'System.gc()',
  'System',
  'Diagnostic Command',
  'Heap Inspection Initiated GC',
  'Heap Dump Initiated GC',
  'JvmtiEnv ForceGarbageCollection',
  'FullGCAlot',
  'ScavengeAlot',
  'WhiteBox Initiated Young GC',
  'WhiteBox Initiated Full GC',
  'WhiteBox Initiated Concurrent Mark',
  'WhiteBox Initiated Run to Breakpoint',
  'Archive Full GC Before Heap Dump',
  'Full GC for -Xshare:dump',
]);

/** Causes that are about memory outside of the heap. */
const metadataCauses: ReadonlySet<string> = new Set([
  'Metadata GC Threshold',
  'Metadata GC Clear Soft References',
  'Last ditch collection',
  'Permanent Generation Full',
  'CodeCache GC Threshold',
  'CodeCache GC Aggressive',
]);

/** Whether the collection was asked for (`System.gc()`, a diagnostic command), and not for want of memory. */
export function isAskedFor(cause: string | undefined): boolean {
  return cause !== undefined && askedCauses.has(cause);
}

/** Whether the collection was for class metadata or code, not for the heap. */
export function isForMetadata(cause: string | undefined): boolean {
  return cause !== undefined && metadataCauses.has(cause);
}

/**
 * Whether the event says that the heap is short: a full or degenerated collection that nobody asked for, or a cycle of ZGC
 * begun because threads already waited. A full collection without a cause (JDK 6) counts.
 */
export function isHeapPressure(event: GcEvent): boolean {
  const { kind, cause } = event;
  if (kind === 'full' || kind === 'degenerated') return !isAskedFor(cause) && !isForMetadata(cause);
  return (kind === 'minorCycle' || kind === 'majorCycle') && cause === 'Allocation Stall';
}

/** A whole collection of the young generation, whatever the collector calls it. */
export function isYoungCollection({ kind }: GcEvent): boolean {
  return kind === 'young' || kind === 'mixed' || kind === 'minorCycle';
}

/** An event in which all threads of the application stood still. */
export function isPause(event: GcEvent): boolean {
  return event.pauseSeconds !== undefined && event.kind !== 'allocationStall';
}
