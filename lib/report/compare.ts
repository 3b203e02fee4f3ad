import type { Report } from './report-schema.ts';
import { bytesText, countText, readableName } from './words.ts';

/** What two states of a workload have of each class, by name. */
export interface Histogram {
  readonly bytes: number;
  /** `heap`: with headers and padding, as GC.class_histogram has it; `dump`: without. */
  readonly counting: 'heap' | 'dump';
  readonly rows: ReadonlyMap<string, { instanceCount: number; bytes: number }>;
  /** Retained bytes of each suspect, by the words of its path: the same field has the same in another dump. */
  readonly suspects: ReadonlyMap<string, number>;
}

/** What changed of a class, or of what a field keeps. */
export interface Growth {
  readonly name: string;
  readonly instanceCount: number;
  readonly instancesBefore: number;
  readonly bytes: number;
  readonly bytesBefore: number;
}

export interface Comparison {
  /** Most bytes gained first, those that shrank last. */
  readonly classes: readonly Growth[];
  readonly fields: readonly Growth[];
  readonly bytes: number;
  readonly bytesBefore: number;
}

/** @param counting `dump` where the other side has no bytes in the heap. */
export function histogramOf(report: Report, counting: Histogram['counting']): Histogram {
  const rows = new Map<string, { instanceCount: number; bytes: number }>();
  for (const row of report.classes) {
    const bytes = counting === 'heap' ? (row.heapBytes ?? 0) : row.shallowBytes;
    rows.set(row.className, { instanceCount: row.instanceCount, bytes });
  }
  const suspects = new Map<string, number>();
  const { retained } = report;
  for (const suspect of retained.state === 'computed' ? retained.suspects : []) {
    const words = suspect.path.flatMap(({ className, reference = '' }) =>
      reference.startsWith('element') ? [] : [`${readableName(className)} ${reference}`.trim()],
    );
    suspects.set(words.slice(-4).join(' → '), suspect.retainedBytes);
  }
  const bytes = retained.state === 'computed' ? retained.heapBytes : report.totals.shallowBytes;
  return {
    bytes: counting === 'heap' ? bytes : report.totals.shallowBytes,
    counting,
    rows,
    suspects,
  };
}

/** Whether a report has bytes as they lie in the heap. */
export function hasHeapBytes({ retained }: Report): boolean {
  return retained.state === 'computed';
}

/** What grew from one to the other. Both count bytes in the same way. */
export function compare(before: Histogram, after: Histogram): Comparison {
  const fields = new Set([...before.suspects.keys(), ...after.suspects.keys()]);
  return {
    bytes: after.bytes,
    bytesBefore: before.bytes,
    classes: [...new Set([...before.rows.keys(), ...after.rows.keys()])]
      .map((name) => {
        const [one, other] = [before.rows.get(name), after.rows.get(name)];
        return {
          name,
          instancesBefore: one?.instanceCount ?? 0,
          instanceCount: other?.instanceCount ?? 0,
          bytesBefore: one?.bytes ?? 0,
          bytes: other?.bytes ?? 0,
        };
      })
      .filter(isChanged)
      .sort(mostGained),
    fields: [...fields]
      .map((name) => ({
        name,
        instancesBefore: before.suspects.has(name) ? 1 : 0,
        instanceCount: after.suspects.has(name) ? 1 : 0,
        bytesBefore: before.suspects.get(name) ?? 0,
        bytes: after.suspects.get(name) ?? 0,
      }))
      .sort(mostGained),
  };
}

function isChanged(growth: Growth): boolean {
  return growth.bytes !== growth.bytesBefore || growth.instanceCount !== growth.instancesBefore;
}

function mostGained(one: Growth, other: Growth): number {
  const gained = other.bytes - other.bytesBefore - (one.bytes - one.bytesBefore);
  return gained || (one.name < other.name ? -1 : 1);
}

/** The comparison as a table of text. @param shownCount rows at most, of those that grew and of those that shrank. */
export function comparisonText(comparison: Comparison, shownCount: number): string {
  const { classes, fields, bytes, bytesBefore } = comparison;
  const grew = classes.filter((row) => row.bytes > row.bytesBefore);
  const shrank = classes.filter((row) => row.bytes < row.bytesBefore).reverse();
  const most = grew[0];
  const verdict =
    most === undefined
      ? 'No class has more bytes than before.'
      : `${readableName(most.name)} grew most: ${signed(most.bytes - most.bytesBefore, bytesText)}, ${signed(most.instanceCount - most.instancesBefore, countText)} objects.`;
  const lines = [
    verdict,
    `all classes: ${bytesText(bytesBefore)} → ${bytesText(bytes)} (${signed(bytes - bytesBefore, bytesText)})`,
    ...section('what keeps a tenth or more of the heap', fields.slice(0, shownCount), false),
    ...section('classes that grew', grew.slice(0, shownCount), true),
    ...section('classes that shrank', shrank.slice(0, shownCount), true),
  ];
  return `${lines.join('\n')}\n`;
}

function section(title: string, rows: readonly Growth[], withCounts: boolean): string[] {
  if (rows.length === 0) return [];
  return ['', title, ...rows.map((row) => lineOf(row, withCounts))];
}

function lineOf(row: Growth, withCounts: boolean): string {
  const bytes = signed(row.bytes - row.bytesBefore, bytesText).padStart(12);
  const counts = withCounts
    ? signed(row.instanceCount - row.instancesBefore, countText).padStart(10)
    : '';
  const now = bytesText(row.bytes).padStart(11);
  return `${bytes}${counts}${now}  ${printable(readableName(row.name))}`;
}

function signed(difference: number, text: (value: number) => string): string {
  return `${difference < 0 ? '-' : '+'}${text(Math.abs(difference))}`;
}

/** A terminal obeys control characters; a class may be called anything. */
function printable(name: string): string {
  return name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}
