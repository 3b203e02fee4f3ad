// Numbers and times as HotSpot writes them, read from bytes: one pass over each byte, no backtracking.

const zero = 48;

export function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= zero && byte <= 57;
}

/**
 * A decimal number without sign or exponent, `.` or `,` before its fraction (the JVM of JDK 8 follows the locale).
 * `undefined` unless all of start..end is one. At most 20 characters, so that it stays finite.
 */
export function readDecimal(bytes: Buffer, start: number, end: number): number | undefined {
  if (end <= start || end - start > 20) return undefined;
  let whole = 0;
  let scale = 0;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte >= zero && byte <= 57) {
      whole = whole * 10 + (byte - zero);
      scale *= 10;
    } else if ((byte === 46 || byte === 44) && scale === 0 && at > start) scale = 1;
    else return undefined;
  }
  return scale > 1 ? whole / scale : whole;
}

const kibi = 1024;

/** Bytes of a unit letter: B, K, M, G, T. `undefined` for another one. */
export function unitBytes(letter: number | undefined): number | undefined {
  if (letter === 66) return 1;
  if (letter === 75) return kibi;
  if (letter === 77) return kibi ** 2;
  if (letter === 71) return kibi ** 3;
  return letter === 84 ? kibi ** 4 : undefined;
}

/** A size such as `512K`, `24.5M`; bytes. `undefined` when it is none. */
export function readSize(bytes: Buffer, start: number, end: number): number | undefined {
  const unit = unitBytes(bytes[end - 1]);
  const count = unit === undefined ? undefined : readDecimal(bytes, start, end - 1);
  return unit === undefined || count === undefined ? undefined : count * unit;
}

/**
 * `2026-11-25T18:10:03.123+0000`, which both kinds of logs use, in milliseconds since 1970. `undefined` for anything else.
 * The offset may be absent or `Z`, which both mean UTC here.
 */
export function readIsoTime(bytes: Buffer, start: number, end: number): number | undefined {
  if (end - start < 19 || end - start > 40 || bytes[start + 10] !== 84) return undefined;
  const part = (from: number, length: number): number =>
    readDecimal(bytes, start + from, start + from + length) ?? Number.NaN;
  const epoch = Date.UTC(
    part(0, 4),
    part(5, 2) - 1,
    part(8, 2),
    part(11, 2),
    part(14, 2),
    part(17, 2),
  );
  let at = start + 19;
  let milliseconds = 0;
  if (bytes[at] === 46 || bytes[at] === 44) {
    const from = at + 1;
    at = from;
    while (at < end && isDigit(bytes[at])) at += 1;
    milliseconds = (readDecimal(bytes, from, at) ?? 0) / 10 ** (at - from - 3);
  }
  const offset = readOffset(bytes, at, end);
  const time = epoch + milliseconds - (offset ?? Number.NaN);
  return Number.isFinite(time) ? time : undefined;
}

/** `+0100`, `-02:30`, `Z` or nothing; milliseconds. */
function readOffset(bytes: Buffer, start: number, end: number): number | undefined {
  if (start === end || (bytes[start] === 90 && end === start + 1)) return 0;
  const sign = bytes[start] === 43 ? 1 : bytes[start] === 45 ? -1 : 0;
  const minutesAt = bytes[start + 3] === 58 ? start + 4 : start + 3;
  const hours = readDecimal(bytes, start + 1, start + 3);
  const minutes = readDecimal(bytes, minutesAt, minutesAt + 2);
  if (sign === 0 || hours === undefined || minutes === undefined) return undefined;
  if (minutesAt + 2 !== end) return undefined;
  return sign * (hours * 60 + minutes) * 60_000;
}
