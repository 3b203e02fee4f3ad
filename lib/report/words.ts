/** Numbers as a sentence or a table shows them. */

const byteUnits = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'] as const;
const countUnits = ['', ' k', ' M', ' G'] as const;

/** `0 bytes`, `17.3 MiB`: three digits of it at least. */
export function bytesText(bytes: number): string {
  return scaled(bytes, 1024, byteUnits, ' ');
}

/** `812`, `1.2 M`: whole below ten thousand. */
export function countText(count: number): string {
  return count < 10_000 ? String(count) : scaled(count, 1_000, countUnits, '');
}

/** `82 %`; below ten with one digit more. */
export function percentText(share: number): string {
  const percent = share * 100;
  return `${percent < 9.95 ? percent.toFixed(1) : Math.round(percent)} %`;
}

/** `1 thread`, `2 threads`, `12.3 k threads`. */
export function counted(count: number, noun: string): string {
  return `${countText(count)} ${noun}${count === 1 ? '' : 's'}`;
}

function scaled(value: number, base: number, units: readonly string[], space: string): string {
  let scaledValue = value;
  let unit = 0;
  while (scaledValue >= base && unit < units.length - 1) {
    scaledValue /= base;
    unit += 1;
  }
  if (unit === 0) return `${value}${space}${units[0] ?? ''}`;
  return `${scaledValue < 99.95 ? scaledValue.toFixed(1) : Math.round(scaledValue)}${space}${units[unit] ?? ''}`;
}

const shownNameLength = 240;
const elementNames: Readonly<Record<string, string>> = {
  Z: 'boolean',
  C: 'char',
  F: 'float',
  D: 'double',
  B: 'byte',
  S: 'short',
  I: 'int',
  J: 'long',
};

/** A name of any length, cut in the middle: both ends tell most. */
export function shortName(name: string): string {
  if (name.length <= shownNameLength) return name;
  const half = shownNameLength / 2;
  return `${name.slice(0, half)} … ${name.slice(-half)} (${name.length} characters)`;
}

/** A class as people write it, of a bounded length: `byte[]` for `[B`, `java.lang.Object[][]` for `[[Ljava.lang.Object;`. */
export function readableName(className: string): string {
  const depth = /^\[{0,255}/.exec(className)?.[0].length ?? 0;
  const element = className.slice(depth);
  const isArray = depth > 0 && (element in elementNames || /^L[^]+;$/.test(element));
  if (!isArray) return shortName(className);
  return shortName(elementNames[element] ?? element.slice(1, -1)) + '[]'.repeat(depth);
}
