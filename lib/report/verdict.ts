import type { Report } from './report-schema.ts';
import { bytesText, counted, percentText, readableName } from './words.ts';

/** One sentence: what fills the heap, from the strongest evidence that is there. */
export function verdictOf(report: Omit<Report, 'verdict'>): string {
  const { retained, classes, totals } = report;
  const suspect = retained.state === 'computed' ? retained.suspects[0] : undefined;
  if (suspect) return suspect.explanation;
  const largest = classes[0];
  if (!largest) return 'The dump holds no objects.';
  const total =
    retained.state === 'computed'
      ? Math.max(1, retained.heapBytes)
      : Math.max(1, totals.shallowBytes);
  const bytes = largest.heapBytes ?? largest.shallowBytes;
  const objects = counted(largest.instanceCount, 'object');
  const lead = `${readableName(largest.className)} takes ${percentText(bytes / total)} of the heap: ${objects}, ${bytesText(bytes)}`;
  if (retained.state === 'computed' && !report.dump.whole) {
    return `${lead}. The dump was cut: what keeps them cannot be told.`;
  }
  return retained.state === 'computed'
    ? `No single object keeps much of the heap; ${lead}.`
    : `${lead}. What keeps them was not computed.`;
}
