// What the text of a record before JDK 9 says, once its brackets have told which text is its own.
import type { GcEventKind } from './gc-event.ts';
import {
  messageOf,
  readGroups,
  readHeap,
  saysEvacuationFailed,
  startsWith,
  type GcMessage,
} from './message.ts';
import { isDigit, readDecimal } from './read-number.ts';
import type { LineTime } from './unified-line.ts';

const space = 32;
/** Groups of G1's pauses that are no cause. */
const g1Notes: ReadonlySet<string> = new Set(['young', 'mixed', 'partial', 'initial-mark']);

/** What is known of a record so far. */
export interface OpenRecord {
  time: LineTime;
  depth: number;
  lineCount: number;
  outerLength: number;
  /** It collected the old generation too, whatever it is called. */
  whole: boolean;
  /** A short pause of a concurrent collection. */
  phase: boolean;
  evacuationFailed: boolean;
  /** A remark of CMS, in which CMSScavengeBeforeRemark can begin a record of its own on the next line. */
  remark: boolean;
}

/**
 * Reads what a record's outer text says, once its last bracket has come: `GC (cause) … 24K->5K(256K), 0.01 secs`.
 * `undefined` when it has no duration.
 */
export function readRecord(record: OpenRecord, outer: Buffer): GcMessage | undefined {
  const end = record.outerLength;
  const secondsAt = lastSeconds(outer, end);
  let numberAt = secondsAt;
  while (numberAt > 0 && outer[numberAt - 1] !== space) numberAt -= 1;
  const seconds = secondsAt < 0 ? undefined : readDecimal(outer, numberAt, secondsAt);
  if (seconds === undefined) return undefined;
  const arrow = firstArrow(outer, end);
  const heapAt = arrow < 0 ? -1 : heapStart(outer, arrow);
  const heap = arrow < 0 ? undefined : readHeap(outer, heapAt, heapEnd(outer, arrow, end));
  const groups = readGroups(outer, 0, heap === undefined ? numberAt : heapAt);
  const cause = groups.find((group) => /^[A-Z]/.test(group) && !g1Notes.has(group));
  const failed = record.evacuationFailed || groups.some(saysEvacuationFailed);
  const message = messageOf(kindOf(record, outer, groups, heap !== undefined), cause, {
    heap,
    seconds,
    groups,
  });
  return failed ? { ...message, evacuationFailed: true } : message;
}

/** Where the last ` secs` is, of which the record's own is the last; -1 without one. */
function lastSeconds(outer: Buffer, end: number): number {
  let at = end - ' secs'.length;
  while (at >= 0 && !startsWith(outer, at, end, ' secs')) at -= 1;
  return at;
}

function firstArrow(outer: Buffer, end: number): number {
  for (let at = 0; at < end - 1; at += 1) if (outer[at] === 45 && outer[at + 1] === 62) return at;
  return -1;
}

function kindOf(
  record: OpenRecord,
  outer: Buffer,
  groups: readonly string[],
  hasHeap: boolean,
): GcEventKind {
  const end = record.outerLength;
  const concurrent =
    startsWith(outer, 0, end, 'GC remark') || startsWith(outer, 0, end, 'GC cleanup');
  if (record.phase || concurrent) return 'phase';
  if (record.whole) return 'full';
  // Without details CMS's short pauses only say what the heap holds: "[GC 1024K(2048K), 0.01 secs]".
  if (!hasHeap && !startsWith(outer, 0, end, 'GC pause')) return 'phase';
  return groups.includes('mixed') || groups.includes('partial') ? 'mixed' : 'young';
}

/** Sizes hold digits, a point or comma, and a unit. */
function isSizeByte(byte: number | undefined): boolean {
  return (
    isDigit(byte) || byte === 46 || byte === 44 || (byte !== undefined && byte >= 66 && byte <= 77)
  );
}

function heapStart(bytes: Buffer, arrow: number): number {
  let at = arrow;
  while (at > 0 && isSizeByte(bytes[at - 1])) at -= 1;
  return at;
}

function heapEnd(bytes: Buffer, arrow: number, end: number): number {
  let at = arrow + 2;
  while (at < end && bytes[at] !== 41) at += 1;
  return Math.min(end, at + 1);
}

/** Adds the heap of `[Eden: … Heap: 24.0M(256.0M)->21.9M(256.0M)]`, which G1 prints some lines behind a pause. */
export function withEdenLine(
  message: GcMessage,
  bytes: Buffer,
  start: number,
  end: number,
): GcMessage {
  const found =
    /Heap: ([\d.,]{1,20})([BKMG])\([^)]{1,30}\)->([\d.,]{1,20}[BKMG]\([^)]{1,30}\))/.exec(
      bytes.toString('latin1', start, Math.min(end, start + 300)),
    );
  if (found === null) return message;
  const [, before = '', unit = '', after = ''] = found;
  const text = Buffer.from(`${before}${unit}->${after}`, 'latin1');
  const heap = readHeap(text, 0, text.length);
  if (heap === undefined) return message;
  return {
    ...message,
    heapBeforeBytes: heap.beforeBytes,
    heapAfterBytes: heap.afterBytes,
    heapCapacityBytes: heap.capacityBytes,
  };
}

/** The limit of the heap in `CommandLine flags: …`. */
export function maxHeapOf(text: string): number | undefined {
  const found = /-XX:MaxHeapSize=(\d{1,15})/.exec(text);
  return found === null ? undefined : Number(found[1]);
}
