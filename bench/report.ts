import { cpus, totalmem } from 'node:os';

/** One figure of a benchmark: a ratio from one run on one machine. */
export interface Metric {
  metric: string;
  /** Median of the pairwise ratios, ours ÷ reference: below 1 is better than the reference. */
  ratio: number;
  /** Medians, in the unit that the metric's record in docs/benchmarks.md names. */
  ours: number;
  reference: number;
  /** Smallest and largest pairwise ratio. */
  spread: [number, number];
  repeats: number;
  machine: string;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const high = sorted[Math.floor(middle)];
  const low = sorted[Math.ceil(middle) - 1];
  if (high === undefined || low === undefined) throw new RangeError('a median needs values');
  return (high + low) / 2;
}

/** Pairs are the alternating repeats of one run, in order. */
export function metricOf(
  metric: string,
  pairs: readonly { ours: number; reference: number }[],
): Metric {
  const ratios = pairs.map((pair) => pair.ours / pair.reference);
  return {
    metric,
    ratio: rounded(median(ratios)),
    ours: rounded(median(pairs.map((pair) => pair.ours))),
    reference: rounded(median(pairs.map((pair) => pair.reference))),
    spread: [rounded(Math.min(...ratios)), rounded(Math.max(...ratios))],
    repeats: pairs.length,
    machine: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
  };
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
