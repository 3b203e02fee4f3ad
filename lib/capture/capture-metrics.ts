import type { CaptureRecord } from '../claim/capture-record.ts';
import type { IndexEntry } from '../dump-index/index-entry.ts';
import type { LogFields } from '../log.ts';
import { metricFields } from '../metric-fields.ts';
import type { Signal } from '../signal/signal.ts';

/**
 * What a `decision` line counts: the signal, as a whole, by decision, and by its reason; and the seconds from what was observed to
 * the answer. A question (dryRun) is no signal.
 */
export function signalMetrics(signal: Signal, now: Date): LogFields {
  if (signal.dryRun === true) return {};
  const age = (now.getTime() - Date.parse(signal.observedTime)) / 1_000;
  return metricFields({
    now,
    dimensions: [['stage'], ['stage', 'decision'], ['stage', 'decision', 'reason']],
    values: {
      signals: { value: 1, unit: 'Count' },
      // Clocks differ: what was observed is not answered before.
      answerSeconds: { value: Math.max(0, age), unit: 'Seconds' },
    },
  });
}

/** What a `capture finished` line counts: the capture, by its state; from claim to index entry; bytes of the heap and in the bucket. */
export function captureMetrics(record: CaptureRecord, entry: IndexEntry, now: Date): LogFields {
  const seconds = (now.getTime() - Date.parse(record.acquireTime)) / 1_000;
  return metricFields({
    now,
    dimensions: [['stage'], ['stage', 'state']],
    values: {
      captures: { value: 1, unit: 'Count' },
      captureSeconds: { value: Math.max(0, seconds), unit: 'Seconds' },
      rawBytes: { value: entry.objects.heapDump?.rawBytes, unit: 'Bytes' },
      compressedBytes: { value: entry.objects.heapDump?.compressedBytes, unit: 'Bytes' },
    },
  });
}
