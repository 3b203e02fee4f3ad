import { lineText } from './terminal-text.ts';

/** Rows under a head, in columns as wide as their widest cell, with two spaces between; no row is cut. */
export function tableText(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) => row.map(lineText));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lineOf = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return cells.map((row) => `${lineOf(row)}\n`).join('');
}

/** One fact a line, its name before it; facts without a value are left out. */
export function factsText(
  facts: readonly (readonly [name: string, text: string | undefined])[],
): string {
  const known = facts.filter((fact): fact is readonly [string, string] => fact[1] !== undefined);
  const width = Math.max(0, ...known.map(([name]) => name.length));
  return known.map(([name, text]) => `${name.padEnd(width)}  ${lineText(text)}\n`).join('');
}
