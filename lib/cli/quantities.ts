const secondsOfUnit: Readonly<Record<string, number>> = {
  ms: 0.001,
  s: 1,
  m: 60,
  h: 3_600,
  d: 86_400,
};

/** Seconds of a time such as `200ms`, `2.5h` or `7d`; `undefined` when it is none, or not within the bounds. */
export function durationOf(text: string, min: number, max: number): number | undefined {
  const [, count, unit] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text) ?? [];
  const seconds = Number(count) * (secondsOfUnit[unit ?? ''] ?? Number.NaN);
  return seconds >= min && seconds <= max ? seconds : undefined;
}

/** A whole number from 1 to 999,999,999; `undefined` when it is none. */
export function countOf(text: string): number | undefined {
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined;
}

/** Three digits and a unit: `3.1 ms`, `12.3 s`, `2.5 h`. */
export function timeWords(seconds: number): string {
  if (seconds < 1) return `${rounded(seconds * 1_000)} ms`;
  if (seconds < 120) return `${rounded(seconds)} s`;
  if (seconds < 7_200) return `${rounded(seconds / 60)} min`;
  return seconds < 172_800 ? `${rounded(seconds / 3_600)} h` : `${rounded(seconds / 86_400)} d`;
}

/** Three digits and a unit: `410 MiB`. */
export function sizeWords(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${rounded(value)} ${units[unit] ?? ''}`;
}

function rounded(value: number): number {
  return value >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}
