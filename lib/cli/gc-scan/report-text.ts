import type { HeapAfterGc } from '../../gc-log/heap-trend.ts';
import type { GcLogReport } from '../../gc-log/gc-log-scan.ts';
import type { GcStatistics, PauseStatistics } from '../../gc-log/gc-statistics.ts';
import { sizeWords, timeWords } from '../quantities.ts';
import { lineText } from '../terminal-text.ts';
import type { NamedReport } from './report-json.ts';

const shownCauseCount = 5;
const shownUnparsedCount = 5;
const labelWidth = 12;

/** The report of one log for people; lines end in a line feed. */
export function textReport({ name, fileCount, report }: NamedReport): string {
  const { statistics, crossed } = report;
  const lines = [
    headline(name, fileCount, report),
    ...row('verdict', verdict(statistics)),
    ...row('pauses', pauses(statistics)),
    ...row('full', fullCollections(statistics)),
    ...row('young', young(statistics)),
    ...row('stalls', statistics.stalls.count === 0 ? undefined : pauseWords(statistics.stalls)),
    ...row('heap', heap(statistics.heapAfterGc, 'after a collection')),
    ...row('', heap(statistics.heapAfterFullGc, 'after a whole collection')),
    ...row('causes', causes(statistics)),
    ...row('lines', lineCounts(report)),
    ...report.unparsedLines
      .slice(0, shownUnparsedCount)
      .map(({ lineNumber, text }) => `    line ${lineNumber}: ${text}`),
    ...warnings(report).map((text) => `  note: ${text}`),
    ...crossed.map(({ message }) => `  LIMIT CROSSED: ${message}`),
  ];
  // Names and causes come from outside: no control character of theirs reaches a terminal.
  return `${lines.map(lineText).join('\n')}\n`;
}

function row(label: string, text: string | undefined): string[] {
  return text === undefined ? [] : [`  ${label.padEnd(labelWidth)}${text}`];
}

function headline(name: string, fileCount: number, report: GcLogReport): string {
  const { statistics, restartCount, withinSeconds } = report;
  const parts = [report.collector ?? 'collector unknown'];
  if (report.maxHeapBytes !== undefined) parts.push(`heap of ${sizeWords(report.maxHeapBytes)}`);
  if (fileCount > 1) parts.push(`${fileCount} files`);
  if (restartCount > 0) parts.push(`${restartCount} restarts`);
  const span = statistics.lastedSeconds;
  const events = `${statistics.eventCount} events`;
  const lasted = span === undefined ? events : `${events} in ${timeWords(span)}`;
  const within = withinSeconds === undefined ? '' : ` of the last ${timeWords(withinSeconds)}`;
  return `${name}: ${parts.join(', ')}; ${lasted}${within}`;
}

function verdict(statistics: GcStatistics): string {
  switch (statistics.verdict) {
    case 'calm':
      return 'calm: no full collection';
    case 'asked':
      return `asked: all ${statistics.askedCount} full collections were asked for, as by System.gc()`;
    case 'metadata':
      return `metadata: ${statistics.metadataCount} full collections for metadata or code, none for want of heap`;
    case 'pressure':
      return `pressure: ${statistics.pressureCount} collections for want of heap, but no storm`;
    case 'storm': {
      const { storm } = statistics;
      const share = Math.round((storm?.timeShare ?? 0) * 100);
      return `storm: ${storm?.collectionCount ?? 0} collections for want of heap within a minute, ${share} % of its time`;
    }
    default:
      return statistics.verdict satisfies never;
  }
}

function pauses({ pauses, pausedShare }: GcStatistics): string | undefined {
  if (pauses.count === 0) return undefined;
  const share =
    pausedShare === undefined ? '' : `; ${(pausedShare * 100).toFixed(1)} % of the time`;
  return pauseWords(pauses) + share;
}

function pauseWords({
  count,
  sumSeconds,
  p50Seconds,
  p99Seconds,
  maxSeconds,
}: PauseStatistics): string {
  const words = [p50Seconds, p99Seconds, maxSeconds].map(timeWords);
  return `${count}, ${timeWords(sumSeconds)} in all; p50 ${words[0]}, p99 ${words[1]}, longest ${words[2]}`;
}

function fullCollections(statistics: GcStatistics): string | undefined {
  const { fullPauses, askedCount, metadataCount } = statistics;
  if (fullPauses.count === 0) return undefined;
  const notes = [
    ...(askedCount > 0 ? [`${askedCount} asked for`] : []),
    ...(metadataCount > 0 ? [`${metadataCount} for metadata`] : []),
  ];
  return pauseWords(fullPauses) + (notes.length === 0 ? '' : `; ${notes.join(', ')}`);
}

function young(statistics: GcStatistics): string | undefined {
  const { young, mixed, minorCycle } = statistics.counts;
  const count = young + mixed + minorCycle;
  if (count === 0) return undefined;
  const { youngPerMinute, peakYoungPerMinute } = statistics;
  const average = youngPerMinute === undefined ? '' : `; ${youngPerMinute.toFixed(1)} a minute`;
  const peak =
    peakYoungPerMinute === undefined ? '' : `; ${peakYoungPerMinute} in the fullest minute`;
  return `${count}${average}${peak}`;
}

function heap(after: HeapAfterGc | undefined, when: string): string | undefined {
  if (after === undefined) return undefined;
  const { lastBytes, maxBytes, capacityBytes, lastShare, slopeBytesPerHour } = after;
  const of =
    capacityBytes === undefined || lastShare === undefined
      ? ''
      : ` of ${sizeWords(capacityBytes)} (${(lastShare * 100).toFixed(1)} %)`;
  const slope =
    slopeBytesPerHour === undefined
      ? ''
      : `; ${slopeBytesPerHour < 0 ? 'shrinks' : 'grows'} by ${sizeWords(Math.abs(slopeBytesPerHour))} an hour`;
  return `${sizeWords(lastBytes)}${of} ${when}, ${sizeWords(maxBytes)} at most${slope}`;
}

function causes({ causes }: GcStatistics): string | undefined {
  if (causes.length === 0) return undefined;
  const shown = causes
    .slice(0, shownCauseCount)
    .map(({ cause, count, pauseSeconds }) => `${cause} ${count} (${timeWords(pauseSeconds)})`);
  const more = causes.length - shown.length;
  return shown.join(', ') + (more > 0 ? `, ${more} more` : '');
}

function lineCounts({ lines }: GcLogReport): string {
  const { lineCount, eventLineCount, detailLineCount, unparsedLineCount } = lines;
  return `${lineCount}: ${eventLineCount} of events, ${detailLineCount} of details, ${unparsedLineCount} not understood`;
}

function warnings(report: GcLogReport): string[] {
  const texts: string[] = [];
  if (report.lines.cutLineCount > 0) {
    texts.push(`${report.lines.cutLineCount} lines were longer than 64 KiB and were cut`);
  }
  if (report.untimedCount > 0) {
    const within = report.withinSeconds === undefined ? '' : '; --within does not apply to them';
    texts.push(
      `${report.untimedCount} events carry no time: no rates and no storm can be told${within}`,
    );
  }
  if (report.droppedCount > 0) {
    texts.push(`${report.droppedCount} events of the time that is judged were too many to keep`);
  }
  return texts;
}
