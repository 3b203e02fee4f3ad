import type { Progress } from '../capture/manifest.ts';
import type { Ticket } from '../capture/ticket.ts';

interface RunningCapture {
  readonly ticket: Pick<Ticket, 'captureId' | 'target'>;
  readonly snapshot: () => Progress;
}

export type Row = readonly [labels: Readonly<Record<string, string>>, value: number | undefined];
type CaptureGauge = readonly [name: string, help: string, of: (p: Progress) => number | undefined];

/** The target's labels are not `pod` and `namespace`, which Prometheus sets to those of the agent itself. */
const captureGauges: readonly CaptureGauge[] = [
  ['raw_bytes', 'Dump bytes that the JVM has written and the agent has read.', (p) => p.rawBytes],
  ['expected_bytes', 'Estimated size of the dump.', (p) => p.estimate?.expectedBytes],
  ['compressed_bytes', 'Bytes after compression.', (p) => p.compressedBytes],
  ['sent_bytes', 'Bytes that the bucket has stored.', (p) => p.sentBytes],
  ['raw_bytes_per_second', 'Rate of reading, last 10 s.', (p) => p.estimate?.rawBytesPerSecond],
  ['sent_bytes_per_second', 'Rate of sending, last 10 s.', (p) => p.estimate?.sentBytesPerSecond],
  [
    'remaining_seconds',
    'Estimated time left; absent while it cannot be told.',
    (p) => p.estimate?.remainingSeconds,
  ],
];

/**
 * What a node agent did and does, as Prometheus text. Only captures that run have series of their own, so that their
 * number is bounded by the agent's limit.
 */
export class CaptureMetrics {
  readonly #running = new Set<RunningCapture>();
  readonly #endCounts = new Map<string, number>();
  #rawBytes = 0;
  #sentBytes = 0;

  /** @returns to be called once, with how the capture ended. */
  begin(ticket: RunningCapture['ticket'], snapshot: () => Progress): (end: string) => void {
    const capture = { ticket, snapshot };
    this.#running.add(capture);
    return (end) => {
      if (!this.#running.delete(capture)) return;
      const { rawBytes, sentBytes } = snapshot();
      this.#rawBytes += rawBytes;
      this.#sentBytes += sentBytes;
      this.#endCounts.set(end, (this.#endCounts.get(end) ?? 0) + 1);
    };
  }

  /** Format 0.0.4 of the text exposition. Source: prometheus.io/docs/instrumenting/exposition_formats. */
  text(): string {
    const running = [...this.#running].map(({ ticket, snapshot }) => ({
      labels: {
        capture_id: ticket.captureId,
        target_namespace: ticket.target.namespace,
        target_pod: ticket.target.podName,
      },
      progress: snapshot(),
    }));
    const sum = (of: (p: Progress) => number): number =>
      running.reduce((all, { progress }) => all + of(progress), 0);
    const ends = [...this.#endCounts].map(([end, count]): Row => [{ end }, count]);
    const { rss } = process.memoryUsage();
    return [
      family('captures_running', 'gauge', 'Captures that run now.', [[{}, running.length]]),
      family('captures_total', 'counter', 'Captures that ended, by how.', ends),
      family('raw_bytes_total', 'counter', 'Dump bytes read, of all captures.', [
        [{}, this.#rawBytes + sum((p) => p.rawBytes)],
      ]),
      family('sent_bytes_total', 'counter', 'Bytes stored in the bucket, of all captures.', [
        [{}, this.#sentBytes + sum((p) => p.sentBytes)],
      ]),
      family('resident_memory_bytes', 'gauge', 'Resident memory of the agent.', [[{}, rss]]),
      ...captureGauges.map(([name, help, of]) =>
        family(
          `capture_${name}`,
          'gauge',
          help,
          running.map(({ labels, progress }): Row => [labels, of(progress)]),
        ),
      ),
    ].join('');
  }
}

/** One metric of the agent with its rows; those without a value are left out. */
export function family(
  name: string,
  type: 'counter' | 'gauge',
  help: string,
  rows: readonly Row[],
): string {
  const full = `heapcatch_agent_${name}`;
  const lines = rows
    .filter(([, value]) => value !== undefined)
    .map(([labels, value]) => `${full}${labelsText(labels)} ${value}\n`);
  return `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n${lines.join('')}`;
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
