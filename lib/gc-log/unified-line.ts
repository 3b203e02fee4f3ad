// Lines of unified logging (JEP 158 and 271, JDK 9 and later): "[decorator]…[decorator] GC(n) message". Decorators come in
// a fixed order whatever was asked for; https://openjdk.org/jeps/158 lists them.
import { isDigit, readDecimal, readIsoTime, readSize } from './read-number.ts';
import {
  readCycle,
  readHeapSample,
  readPause,
  readStall,
  startsWith,
  type GcMessage,
} from './message.ts';

/** What the decorators say of the time of a line. */
export interface LineTime {
  /** Seconds since the start of the JVM, or of its machine (`timenanos`). */
  uptimeSeconds: number | undefined;
  epochMilliseconds: number | undefined;
}

const bracketOpen = 91;
const bracketClose = 93;
const space = 32;
/** No JVM runs for 31 years: a larger number of milliseconds counts from 1970. */
const smallestEpochMilliseconds = 1e12;
/** JEP 158 has 13 decorators; hosts have names of at most 255 bytes. */
const maxDecoratorCount = 13;
const maxDecoratorBytes = 258;

export type UnifiedFinding =
  | { event: GcMessage }
  /** The collector, said once at the start of each life of a JVM. */
  | { collector: string }
  | { maxHeapBytes: number }
  /** A line of the log that holds nothing that is counted. */
  | 'detail'
  /** It begins as an event and does not go on as one. */
  | 'broken';

/**
 * Where the message of a decorated line begins. -1 when the line does not begin with decorators.
 * A hostname may hold anything but a blank; levels and tags are filled up with blanks.
 */
export function messageStart(bytes: Buffer, start: number, end: number): number {
  let at = start;
  for (let count = 0; count < maxDecoratorCount && bytes[at] === bracketOpen; count += 1) {
    const limit = Math.min(end, at + maxDecoratorBytes);
    let padded = false;
    at += 1;
    while (at < limit && bytes[at] !== bracketClose) {
      if (bytes[at] === space) padded = true;
      else if (padded) return -1;
      at += 1;
    }
    if (at >= limit) return -1;
    at += 1;
    // One bracket alone is a phase of CMS before JDK 9: "[CMS-concurrent-mark-start]".
    if (at === end) return count > 0 || isDigit(bytes[start + 1]) ? at : -1;
    if (bytes[at] === space) return at + 1;
  }
  return -1;
}

/** The number of decorators of a line that has some. */
export function decoratorCount(bytes: Buffer, start: number, message: number): number {
  let count = 0;
  for (let at = start; at < message; at += 1) if (bytes[at] === bracketClose) count += 1;
  return count;
}

/** The times among the decorators; the later of two that say the same wins. */
export function readDecoratorTimes(bytes: Buffer, start: number, message: number): LineTime {
  const time: LineTime = { uptimeSeconds: undefined, epochMilliseconds: undefined };
  let at = start;
  while (at < message && bytes[at] === bracketOpen) {
    const from = at + 1;
    while (at < message && bytes[at] !== bracketClose) at += 1;
    if (isDigit(bytes[from])) readTime(bytes, from, at, time);
    at += 1;
  }
  return time;
}

function readTime(bytes: Buffer, start: number, end: number, time: LineTime): void {
  if (bytes[end - 1] !== 115) {
    time.epochMilliseconds = readIsoTime(bytes, start, end) ?? time.epochMilliseconds;
    return;
  }
  const unit = bytes[end - 2];
  if (unit === 109) {
    const milliseconds = readDecimal(bytes, start, end - 2);
    if (milliseconds === undefined) return;
    if (milliseconds >= smallestEpochMilliseconds) time.epochMilliseconds = milliseconds;
    else time.uptimeSeconds = milliseconds / 1000;
  } else if (unit === 110) {
    const nanoseconds = readDecimal(bytes, start, end - 2);
    if (nanoseconds !== undefined) time.uptimeSeconds = nanoseconds / 1e9;
  } else time.uptimeSeconds = readDecimal(bytes, start, end - 1) ?? time.uptimeSeconds;
}

/** Reads the message of a line. @param start what `messageStart` found, or the start of a line without decorators. */
export function readUnifiedMessage(bytes: Buffer, start: number, end: number): UnifiedFinding {
  const first = bytes[start];
  if (first === 71) {
    const body = bodyStart(bytes, start, end);
    return body < 0 ? 'detail' : readBody(bytes, body, end);
  }
  if (first === 65) return readStallLine(bytes, start, end);
  if (first === 85) return readCollector(bytes, start, end);
  return first === 72 || first === 77 ? readMaxHeap(bytes, start, end) : 'detail';
}

/** Behind `GC(n) ` and ZGC's letter of the generation. -1 without it. */
export function bodyStart(bytes: Buffer, start: number, end: number): number {
  if (bytes[start] !== 71 || bytes[start + 1] !== 67 || bytes[start + 2] !== 40) return -1;
  let at = start + 3;
  while (at < end && isDigit(bytes[at])) at += 1;
  if (bytes[at] !== 41 || bytes[at + 1] !== space) return -1;
  at += 2;
  return bytes[at + 1] === 58 && bytes[at + 2] === space ? at + 3 : at;
}

/** Reads what stands behind `GC(n) `; most lines are told apart by their first letter. */
export function readBody(bytes: Buffer, at: number, end: number): UnifiedFinding {
  const first = bytes[at];
  if (first === 80 && startsWith(bytes, at, end, 'Pause ')) {
    return foundOrAnnounced(readPause(bytes, at + 6, end), bytes, end);
  }
  if (first === 71 && startsWith(bytes, at, end, 'Garbage Collection (')) {
    return foundOrAnnounced(readCycle(bytes, at, end, 'majorCycle'), bytes, end);
  }
  if (first === 77 && startsWith(bytes, at, end, 'Minor Collection (')) {
    return foundOrAnnounced(readCycle(bytes, at, end, 'minorCycle'), bytes, end);
  }
  if (first === 77 && startsWith(bytes, at, end, 'Major Collection (')) {
    return foundOrAnnounced(readCycle(bytes, at, end, 'majorCycle'), bytes, end);
  }
  if (first === 67 && startsWith(bytes, at, end, 'Concurrent cleanup')) {
    return foundOrAnnounced(readHeapSample(bytes, at, end), bytes, end);
  }
  return first === 65 ? readStallLine(bytes, at, end) : 'detail';
}

function readStallLine(bytes: Buffer, at: number, end: number): UnifiedFinding {
  if (!startsWith(bytes, at, end, 'Allocation Stall (')) return 'detail';
  const event = readStall(bytes, at, end);
  return event === undefined ? 'broken' : { event };
}

/** What stands before an event's end (`[gc,start]`) ends in a word or in a cause, not in a number. */
function foundOrAnnounced(
  event: GcMessage | undefined,
  bytes: Buffer,
  end: number,
): UnifiedFinding {
  if (event !== undefined) return { event };
  const last = bytes[end - 1];
  const announces = last === 41 || (last !== undefined && last > 64 && last !== bracketOpen);
  return announces && !endsInNumber(bytes, end) ? 'detail' : 'broken';
}

/** `3.1ms`, `12M`, `0.03s`: a number and its unit. */
function endsInNumber(bytes: Buffer, end: number): boolean {
  return isDigit(bytes[end - 2]) || (bytes[end - 2] === 109 && isDigit(bytes[end - 3]));
}

const using = 'Using ';
const collectorWords = [
  ['Serial', 'Serial'],
  ['Parallel', 'Parallel'],
  ['Concurrent Mark Sweep', 'CMS'],
  ['G1', 'G1'],
  ['The Z Garbage Collector', 'ZGC'],
  ['Shenandoah', 'Shenandoah'],
  ['Epsilon', 'Epsilon'],
] as const;

function readCollector(bytes: Buffer, start: number, end: number): UnifiedFinding {
  if (!startsWith(bytes, start, end, using)) return 'detail';
  const word = bytes.toString('latin1', start + using.length, Math.min(end, start + 60));
  const known = collectorWords.find(([words]) => words === word);
  return known === undefined ? 'detail' : { collector: known[1] };
}

function readMaxHeap(bytes: Buffer, start: number, end: number): UnifiedFinding {
  const words = ['Heap Max Capacity: ', 'Max Capacity: '].find((text) =>
    startsWith(bytes, start, end, text),
  );
  if (words === undefined) return 'detail';
  const maxHeapBytes = readSize(bytes, start + words.length, end);
  return maxHeapBytes === undefined ? 'detail' : { maxHeapBytes };
}
