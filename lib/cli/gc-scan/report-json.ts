import type { HeapAfterGc } from '../../gc-log/heap-trend.ts';
import type { GcLogReport } from '../../gc-log/gc-log-scan.ts';
import type { GcStatistics, PauseStatistics } from '../../gc-log/gc-statistics.ts';

/** What is known of one log: its name, its files, and what they say. */
export interface NamedReport {
  readonly name: string;
  readonly fileCount: number;
  readonly report: GcLogReport;
}

/**
 * The answer of `--json` and the body of the webhook. What a log does not tell is absent.
 * docs/ways/gc-scan.md describes the fields.
 */
export function jsonReport(reports: readonly NamedReport[], now: Date): Record<string, unknown> {
  return {
    schemaVersion: 1,
    kind: 'GcScan',
    time: now.toISOString(),
    limitCrossed: reports.some(({ report }) => report.crossed.length > 0),
    logs: reports.map(jsonLog),
  };
}

function jsonLog({ name, fileCount, report }: NamedReport): Record<string, unknown> {
  return {
    name,
    fileCount,
    collector: report.collector,
    maxHeapBytes: report.maxHeapBytes,
    restartCount: report.restartCount,
    lines: report.lines,
    unparsedLines: report.unparsedLines,
    withinSeconds: report.withinSeconds,
    untimedCount: report.untimedCount,
    droppedCount: report.droppedCount,
    crossed: report.crossed.map((crossed) => ({ ...crossed, value: secondsOf(crossed.value) })),
    statistics: jsonStatistics(report.statistics),
  };
}

function jsonStatistics(statistics: GcStatistics): Record<string, unknown> {
  const { firstEpochMilliseconds, lastEpochMilliseconds, storm, ...rest } = statistics;
  return {
    ...rest,
    storm: storm && {
      collectionCount: storm.collectionCount,
      timeShare: shareOf(storm.timeShare),
      startTime: timeOf(storm.startEpochMilliseconds),
    },
    firstEventTime: timeOf(firstEpochMilliseconds),
    lastEventTime: timeOf(lastEpochMilliseconds),
    lastedSeconds: secondsOf(statistics.lastedSeconds),
    pausedShare: shareOf(statistics.pausedShare),
    youngPerMinute: shareOf(statistics.youngPerMinute),
    pauses: jsonPauses(statistics.pauses),
    fullPauses: jsonPauses(statistics.fullPauses),
    stalls: jsonPauses(statistics.stalls),
    causes: statistics.causes.map((cause) => ({
      ...cause,
      pauseSeconds: secondsOf(cause.pauseSeconds),
      maxPauseSeconds: secondsOf(cause.maxPauseSeconds),
    })),
    heapAfterGc: jsonHeap(statistics.heapAfterGc),
    heapAfterFullGc: jsonHeap(statistics.heapAfterFullGc),
  };
}

function jsonPauses(pauses: PauseStatistics): Record<string, unknown> {
  return {
    count: pauses.count,
    sumSeconds: secondsOf(pauses.sumSeconds),
    p50Seconds: secondsOf(pauses.p50Seconds),
    p99Seconds: secondsOf(pauses.p99Seconds),
    maxSeconds: secondsOf(pauses.maxSeconds),
  };
}

function jsonHeap(heap: HeapAfterGc | undefined): Record<string, unknown> | undefined {
  if (heap === undefined) return undefined;
  return {
    lastBytes: Math.round(heap.lastBytes),
    maxBytes: Math.round(heap.maxBytes),
    capacityBytes: heap.capacityBytes === undefined ? undefined : Math.round(heap.capacityBytes),
    lastShare: shareOf(heap.lastShare),
    slopeBytesPerHour:
      heap.slopeBytesPerHour === undefined ? undefined : Math.round(heap.slopeBytesPerHour),
  };
}

function timeOf(epochMilliseconds: number | undefined): string | undefined {
  if (epochMilliseconds === undefined) return undefined;
  const date = new Date(epochMilliseconds);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

/** To a microsecond: HotSpot prints no more. */
function secondsOf(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : Number(seconds.toFixed(6));
}

function shareOf(share: number | undefined): number | undefined {
  return share === undefined ? undefined : Number(share.toFixed(4));
}
