// The words of HotSpot's own log lines, the same in unified logs and in Shenandoah's of JDK 8:
// "Pause Young (Normal) (G1 Evacuation Pause) 24M->5M(256M) 3.1ms". Sources: gcTraceTime.cpp and the collectors of JDK 9 to 25.
import type { GcEvent, GcEventKind } from './gc-event.ts';
import { isDigit, readDecimal, readSize } from './read-number.ts';

/** What a message says of an event; when it happened is said elsewhere in the line. */
export type GcMessage = Omit<GcEvent, 'startSeconds' | 'startEpochMilliseconds'>;

interface Heap {
  beforeBytes: number;
  afterBytes: number;
  capacityBytes: number | undefined;
}

const space = 32;
const open = 40;
const close = 41;
const percent = 37;
/** Types of G1's young collections: they stand where others have their cause. */
const g1Types: ReadonlySet<string> = new Set([
  'Normal',
  'Concurrent Start',
  'Prepare Mixed',
  'Mixed',
]);
const maxGroupCount = 8;
const stopTheWorldKinds: ReadonlySet<GcEventKind> = new Set([
  'young',
  'mixed',
  'full',
  'degenerated',
]);

/**
 * Whether the bytes at `at` are `word`. Words are of ASCII.
 */
export function startsWith(bytes: Buffer, at: number, end: number, word: string): boolean {
  if (end - at < word.length) return false;
  for (let index = 0; index < word.length; index += 1) {
    if (bytes[at + index] !== word.charCodeAt(index)) return false;
  }
  return true;
}

/**
 * A heap transition: `24M->5M(256M)`, or ZGC's with shares of the largest heap, `22M(23%)->26M(27%)`, from which the
 * capacity is known to about a percent.
 */
export function readHeap(bytes: Buffer, start: number, end: number): Heap | undefined {
  let arrow = start;
  while (arrow < end && bytes[arrow] !== 45) arrow += 1;
  if (bytes[arrow + 1] !== 62 || bytes[end - 1] !== close) return undefined;
  const before = readSizeAndNote(bytes, start, arrow);
  const after = readSizeAndNote(bytes, arrow + 2, end);
  if (before === undefined || after === undefined) return undefined;
  const capacityBytes = after.share === undefined ? after.noteBytes : capacityOf(before, after);
  return { beforeBytes: before.bytes, afterBytes: after.bytes, capacityBytes };
}

interface SizeAndNote {
  bytes: number;
  /** The size in parentheses behind it. */
  noteBytes: number | undefined;
  /** The share in parentheses behind it, 0..1. */
  share: number | undefined;
}

function readSizeAndNote(bytes: Buffer, start: number, end: number): SizeAndNote | undefined {
  let noteAt = start;
  while (noteAt < end && bytes[noteAt] !== open) noteAt += 1;
  const size = readSize(bytes, start, noteAt);
  if (size === undefined) return undefined;
  const noteEnd = end - 1;
  const shared = noteAt < end && bytes[noteEnd - 1] === percent;
  const share = shared ? readDecimal(bytes, noteAt + 1, noteEnd - 1) : undefined;
  const noteBytes = noteAt < end && !shared ? readSize(bytes, noteAt + 1, noteEnd) : undefined;
  return { bytes: size, noteBytes, share: share === undefined ? undefined : share / 100 };
}

/** Of two roundings the one of the larger share is the finer. */
function capacityOf(before: SizeAndNote, after: SizeAndNote): number | undefined {
  const larger = (before.share ?? 0) > (after.share ?? 0) ? before : after;
  return larger.share === undefined || larger.share === 0 ? undefined : larger.bytes / larger.share;
}

/** The parts of `NAME [HEAP] [DURATION]`, read from the end of it. */
export interface Tail {
  nameEnd: number;
  heap: Heap | undefined;
  seconds: number | undefined;
}

/** Reads duration and heap from the end of a message; a message that has neither is all name. */
export function readTail(bytes: Buffer, start: number, end: number): Tail {
  let at = end;
  let seconds: number | undefined;
  if (bytes[end - 1] === 115) {
    const milli = bytes[end - 2] === 109;
    const numberEnd = milli ? end - 2 : end - 1;
    const token = tokenStart(bytes, start, numberEnd);
    const value = isDigit(bytes[token]) ? readDecimal(bytes, token, numberEnd) : undefined;
    if (value !== undefined) {
      seconds = milli ? value / 1000 : value;
      at = token - 1;
    }
  }
  const token = tokenStart(bytes, start, at);
  const heap = isDigit(bytes[token]) ? readHeap(bytes, token, at) : undefined;
  return { nameEnd: heap === undefined ? at : token - 1, heap, seconds };
}

function tokenStart(bytes: Buffer, start: number, end: number): number {
  let at = end;
  while (at > start && bytes[at - 1] !== space) at -= 1;
  return at;
}

/** The contents of the outer parentheses of start..end: causes, types, notes. At most eight. */
export function readGroups(bytes: Buffer, start: number, end: number): readonly string[] {
  const groups: string[] = [];
  let depth = 0;
  let from = start;
  for (let at = start; at < end && groups.length < maxGroupCount; at += 1) {
    if (bytes[at] === open) {
      if (depth === 0) from = at + 1;
      depth += 1;
    } else if (bytes[at] === close && depth > 0) {
      depth -= 1;
      if (depth === 0) groups.push(bytes.toString('latin1', from, Math.min(at, from + 100)));
    }
  }
  return groups;
}

/**
 * `Pause …` with its duration. `undefined` for the line that only announces the pause, which has none.
 * @param start behind `Pause `.
 */
export function readPause(bytes: Buffer, start: number, end: number): GcMessage | undefined {
  const { nameEnd, heap, seconds } = readTail(bytes, start, end);
  if (seconds === undefined) return undefined;
  const groups = readGroups(bytes, start, nameEnd);
  const kind = pauseKind(bytes, start, nameEnd, groups);
  // Behind the pauses of concurrent collections stand notes: "(unload classes)", "(Young)".
  const cause = stopTheWorldKinds.has(kind) ? causeOf(groups) : undefined;
  return messageOf(kind, cause, { heap, seconds, groups });
}

function pauseKind(
  bytes: Buffer,
  start: number,
  end: number,
  groups: readonly string[],
): GcEventKind {
  if (startsWith(bytes, start, end, 'Young')) return groups.includes('Mixed') ? 'mixed' : 'young';
  if (startsWith(bytes, start, end, 'Full')) return 'full';
  if (startsWith(bytes, start, end, 'Mixed')) return 'mixed';
  if (startsWith(bytes, start, end, 'Degenerated')) return 'degenerated';
  if (startsWith(bytes, start, end, 'Init Mark')) {
    return groups.includes('Young') ? 'minorCycle' : 'majorCycle';
  }
  // G1 of JDK 9 and 10: a young collection that also begins the marking. CMS has the same words without a cause.
  if (startsWith(bytes, start, end, 'Initial Mark') && groups.length > 0) return 'young';
  return 'phase';
}

/** `Garbage Collection (…)`, `Major Collection (…)`, `Minor Collection (…)` of ZGC, once they have ended. */
export function readCycle(
  bytes: Buffer,
  start: number,
  end: number,
  kind: 'minorCycle' | 'majorCycle',
): GcMessage | undefined {
  const { nameEnd, heap } = readTail(bytes, start, end);
  if (heap === undefined) return undefined;
  const groups = readGroups(bytes, start, nameEnd);
  return messageOf(kind, causeOf(groups), { heap, seconds: undefined, groups });
}

/** `Allocation Stall (thread) 11.2ms`. */
export function readStall(bytes: Buffer, start: number, end: number): GcMessage | undefined {
  const { seconds } = readTail(bytes, start, end);
  if (seconds === undefined) return undefined;
  return messageOf('allocationStall', undefined, { heap: undefined, seconds, groups: [] });
}

/** `Concurrent cleanup 50M->40M(96M) 0.1ms` of Shenandoah. */
export function readHeapSample(bytes: Buffer, start: number, end: number): GcMessage | undefined {
  const { heap } = readTail(bytes, start, end);
  if (heap === undefined) return undefined;
  return messageOf('heapSample', undefined, { heap, seconds: undefined, groups: [] });
}

function causeOf(groups: readonly string[]): string | undefined {
  return groups.find((group) => !g1Types.has(group));
}

export function messageOf(
  kind: GcEventKind,
  cause: string | undefined,
  found: { heap: Heap | undefined; seconds: number | undefined; groups: readonly string[] },
): GcMessage {
  const { heap, seconds, groups } = found;
  return {
    kind,
    cause,
    pauseSeconds: seconds,
    heapBeforeBytes: heap?.beforeBytes,
    heapAfterBytes: heap?.afterBytes,
    heapCapacityBytes: heap?.capacityBytes,
    evacuationFailed: groups.some(saysEvacuationFailed),
  };
}

/** Words of G1 (JDK 7 to 25), ParNew and Serial. */
export function saysEvacuationFailed(group: string): boolean {
  return (
    group.startsWith('Evacuation Failure') ||
    group.startsWith('to-space') ||
    group.startsWith('promotion failed')
  );
}
