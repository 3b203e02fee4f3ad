import { isDigit, readDecimal, readIsoTime } from './read-number.ts';
import type { LineTime } from './unified-line.ts';

const colon = 58;
const space = 32;
const tab = 9;

/**
 * Reads what stands before a record: blanks, a date stamp (PrintGCDateStamps), an uptime (PrintGCTimeStamps), a number of
 * the collection (PrintGCID): `2015-05-26T14:45:37.987-0200: 151.126: #3: `. Each may be absent.
 * @returns where the rest begins.
 */
export function readStamps(
  bytes: Buffer,
  start: number,
  end: number,
): { at: number; time: LineTime; indented: boolean } {
  let at = start;
  while (at < end && (bytes[at] === space || bytes[at] === tab)) at += 1;
  const indented = at > start;
  const time: LineTime = { uptimeSeconds: undefined, epochMilliseconds: undefined };
  if (isDigit(bytes[at]) && bytes[at + 4] === 45 && bytes[at + 10] === 84) {
    const stop = dateEnd(bytes, at, end);
    time.epochMilliseconds = readIsoTime(bytes, at, stop);
    if (time.epochMilliseconds !== undefined) at = behindColon(bytes, stop, end);
  }
  const stop = numberEnd(bytes, at, end);
  if (stop > at && bytes[stop] === colon) {
    time.uptimeSeconds = readDecimal(bytes, at, stop);
    if (time.uptimeSeconds !== undefined) at = behindColon(bytes, stop, end);
  }
  if (bytes[at] === 35) {
    const idEnd = numberEnd(bytes, at + 1, end);
    if (idEnd > at + 1 && bytes[idEnd] === colon) at = behindColon(bytes, idEnd, end);
  }
  return { at, time, indented };
}

/** Behind date, time and offset: the colon that is not followed by a digit, or that follows the offset. */
function dateEnd(bytes: Buffer, start: number, end: number): number {
  let at = Math.min(end, start + 19);
  while (at < end && at < start + 40 && bytes[at] !== colon && bytes[at] !== space) at += 1;
  return at;
}

function numberEnd(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (
    at < end &&
    at < start + 20 &&
    (isDigit(bytes[at]) || bytes[at] === 46 || bytes[at] === 44)
  ) {
    at += 1;
  }
  return at;
}

function behindColon(bytes: Buffer, at: number, end: number): number {
  let next = bytes[at] === colon ? at + 1 : at;
  while (next < end && bytes[next] === space) next += 1;
  return next;
}
