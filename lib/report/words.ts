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
