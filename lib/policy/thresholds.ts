import * as z from 'zod';
import type { Signal, SignalReason } from '../signal/signal.ts';
import { isCrossed } from './threshold-crossing.ts';

/** What is measured of a JVM and its container. Percentages are of the heap's maximum, the limit, the time. */
export const metrics = [
  /** Heap in use, garbage included. */
  'heapUsedPercent',
  /** The fullest of what a collection of the old generation left behind. */
  'heapAfterGcPercent',
  /** Working set of the container, of its memory limit. */
  'cgroupUsedPercent',
  /** Share of the time for which collections stopped the application, over `windowSeconds`. */
  'gcTimePercent',
  /** Full collections within `windowSeconds`. */
  'fullGcCount',
  /** Young collections within `windowSeconds`, per minute. */
  'youngGcPerMinuteCount',
  /** At the present rate, until the working set meets the memory limit. The only metric whose small values are trouble. */
  'secondsToLimit',
] as const;
export type Metric = (typeof metrics)[number];

const windowed: ReadonlySet<Metric> = new Set([
  'gcTimePercent',
  'fullGcCount',
  'youngGcPerMinuteCount',
]);
const defaultWindowSeconds = 60;
export const maxWindowSeconds = 600;
/** Of one signal's list in a policy. */
export const maxThresholdCount = 16;

/**
 * A limit of one metric. It fires once when the value has been above it (`secondsToLimit`: below it) for `forSeconds`,
 * and again only after the value came back to `rearm`: a value that swings about the limit is one trouble, not many.
 */
export const metricThresholdSchema = z
  .strictObject({
    metric: z.enum(metrics),
    above: z.number().min(0).max(1_000_000).optional(),
    below: z.number().min(0).max(86_400).optional(),
    /** Not beyond the limit; absent: 0.9 of `above`, 1.5 of `below`. */
    rearm: z.number().min(0).max(1_000_000).optional(),
    forSeconds: z.number().int().min(0).max(3_600).default(0),
    /** Of counts and of time in GC; absent: 60. */
    windowSeconds: z.number().int().min(10).max(maxWindowSeconds).optional(),
  })
  .superRefine((threshold, context) => {
    const fault = (field: string, message: string) =>
      context.addIssue({ code: 'custom', path: [field], message });
    const { metric, above, below, rearm, windowSeconds } = threshold;
    const [wanted, other] =
      metric === 'secondsToLimit' ? (['below', 'above'] as const) : (['above', 'below'] as const);
    if (threshold[wanted] === undefined) fault(wanted, `${metric} needs ${wanted}`);
    if (threshold[other] !== undefined) fault(other, `accepted for ${metric} is ${wanted}`);
    if (rearm !== undefined && above !== undefined && rearm > above) {
      fault('rearm', `accepted is at most ${above}, the value of above`);
    }
    if (rearm !== undefined && below !== undefined && rearm < below) {
      fault('rearm', `accepted is at least ${below}, the value of below`);
    }
    if (windowSeconds !== undefined && !windowed.has(metric)) {
      fault('windowSeconds', `${metric} has no window; accepted for ${[...windowed].join(', ')}`);
    }
  });
export type MetricThreshold = z.output<typeof metricThresholdSchema>;

/** The reason of the signal that a threshold leads to. */
export type PredictiveReason = Extract<
  SignalReason,
  'HeapNearLimit' | 'GcStorm' | 'CgroupNearLimit'
>;

const reasons: Readonly<Record<Metric, PredictiveReason>> = {
  heapUsedPercent: 'HeapNearLimit',
  heapAfterGcPercent: 'HeapNearLimit',
  gcTimePercent: 'GcStorm',
  fullGcCount: 'GcStorm',
  youngGcPerMinuteCount: 'GcStorm',
  cgroupUsedPercent: 'CgroupNearLimit',
  secondsToLimit: 'CgroupNearLimit',
};

export function reasonOfMetric(metric: Metric): PredictiveReason {
  return reasons[metric];
}

export const heapNearLimit = (above: number): MetricThreshold[] => [
  { metric: 'heapAfterGcPercent', above, forSeconds: 10 },
];
export const gcStorm = (above: number): MetricThreshold[] => [
  { metric: 'gcTimePercent', above, forSeconds: 5, windowSeconds: 20 },
];
export const cgroupNearLimit = (above: number): MetricThreshold[] => [
  { metric: 'cgroupUsedPercent', above, forSeconds: 10 },
];

/** What applies to a pod that says nothing: late enough that a healthy JVM passes none of them. */
export const defaultThresholds = {
  heapNearLimit: heapNearLimit(90),
  gcStorm: gcStorm(50),
  cgroupNearLimit: [
    ...cgroupNearLimit(97),
    { metric: 'secondsToLimit', below: 30, forSeconds: 5 } satisfies MetricThreshold,
  ],
};

/**
 * What was measured at one moment. What is not known is absent, never 0. Of what has a window, `totals` are better than
 * values: then the threshold's own window counts.
 */
export interface MetricSample {
  readonly epochMilliseconds: number;
  readonly values: Readonly<Partial<Record<Metric, number>>>;
  /** Since the JVM started; one that shrank tells of another JVM, and everything begins anew. */
  readonly totals?: GcTotals;
}
export interface GcTotals {
  readonly fullGcCount?: number;
  readonly youngGcCount?: number;
  /** For which the application was stopped. */
  readonly gcSeconds?: number;
}

/** What is remembered of one container between two samples; plain data, bounded. */
export interface ThresholdState {
  readonly lastMilliseconds?: number;
  /** Within the longest window of the thresholds, oldest first, at least a second apart. */
  readonly totals: readonly (GcTotals & { readonly epochMilliseconds: number })[];
  /** By the threshold's own text, so that a changed threshold begins anew and the others go on. */
  readonly progress: Readonly<Record<string, Progress>>;
}
interface Progress {
  /** When it was last known. */
  readonly seenMilliseconds: number;
  /** Since when it has been beyond the limit. */
  readonly sinceMilliseconds?: number;
  readonly fired: boolean;
}

export const initialThresholdState: ThresholdState = { totals: [], progress: {} };

export interface FiredThreshold {
  readonly threshold: MetricThreshold;
  readonly reason: PredictiveReason;
  readonly value: number;
  /** Everything that is known at this moment, as a signal carries it. */
  readonly numbers: Signal['numbers'];
}

/** A metric that was not heard of for this long is not known to have stayed beyond its limit. */
export const maxGapSeconds = 60;
const closestTotalsSeconds = 1;

/**
 * Takes one sample in. A sample that is no newer than the last one changes nothing and fires nothing, so that a repeat or
 * a late one does no harm. Each threshold fires at most once until it is re-armed. A metric that is absent neither fires
 * nor re-arms. Of a window only that part counts which was seen, and a share of time needs half of it. `numbers`: all that is known now.
 */
export function evaluateThresholds(
  thresholds: readonly MetricThreshold[],
  before: ThresholdState,
  sample: MetricSample,
): { state: ThresholdState; fired: readonly FiredThreshold[]; numbers: Signal['numbers'] } {
  const now = sample.epochMilliseconds;
  if (!Number.isFinite(now) || now <= (before.lastMilliseconds ?? -Infinity)) {
    return { state: before, fired: [], numbers: {} };
  }
  const known = restarted(before, sample.totals) ? initialThresholdState : before;
  const longest = Math.max(0, ...thresholds.map(windowOf));
  const totals = withTotals(known.totals, sample, longest);
  const valueOf = (metric: Metric, windowSeconds: number): number | undefined =>
    finite(windowedValue(totals, sample, metric, windowSeconds) ?? sample.values[metric]);

  const progress: Record<string, Progress> = {};
  const fired: { threshold: MetricThreshold; value: number }[] = [];
  for (const threshold of thresholds) {
    const key = JSON.stringify(threshold);
    const past = Object.hasOwn(known.progress, key) ? known.progress[key] : undefined;
    const value = valueOf(threshold.metric, windowOf(threshold));
    const next = value === undefined ? past : advance(threshold, past, value, now);
    if (next !== undefined) progress[key] = next;
    if (value !== undefined && next?.fired === true && past?.fired !== true) {
      fired.push({ threshold, value });
    }
  }
  const all = Object.fromEntries(
    metrics.map((metric) => {
      const watched = thresholds.find((threshold) => threshold.metric === metric);
      return [metric, valueOf(metric, watched ? windowOf(watched) : defaultWindowSeconds)];
    }),
  ) as Partial<Record<Metric, number>>;
  return {
    state: { lastMilliseconds: now, totals, progress },
    numbers: numbersOf(all),
    fired: fired.map(({ threshold, value }) => ({
      threshold,
      reason: reasons[threshold.metric],
      value,
      numbers: numbersOf({ ...all, [threshold.metric]: value }),
    })),
  };
}

/** 0 for what has no window. */
function windowOf({ metric, windowSeconds }: MetricThreshold): number {
  return windowed.has(metric) ? (windowSeconds ?? defaultWindowSeconds) : 0;
}

function advance(
  threshold: MetricThreshold,
  past: Progress | undefined,
  value: number,
  now: number,
): Progress {
  const { above, below = 0, forSeconds } = threshold;
  const beyond = isCrossed(threshold, value);
  const back =
    above === undefined
      ? value >= (threshold.rearm ?? below * 1.5)
      : value <= (threshold.rearm ?? above * 0.9);
  const seen = { seenMilliseconds: now };
  if (past?.fired === true && !back) return { ...seen, fired: true };
  if (!beyond) return { ...seen, fired: false };
  const lost =
    past === undefined || now - past.seenMilliseconds > maxGapSeconds * 1000 || past.fired;
  const since = lost ? now : (past.sinceMilliseconds ?? now);
  return now - since >= forSeconds * 1000
    ? { ...seen, fired: true }
    : { ...seen, sinceMilliseconds: since, fired: false };
}

function restarted(before: ThresholdState, totals: GcTotals | undefined): boolean {
  const last = before.totals.at(-1);
  if (last === undefined || totals === undefined) return false;
  return (['fullGcCount', 'youngGcCount', 'gcSeconds'] as const).some(
    (name) => (totals[name] ?? Infinity) < (last[name] ?? -Infinity),
  );
}

function withTotals(
  before: ThresholdState['totals'],
  { epochMilliseconds, totals }: MetricSample,
  longestSeconds: number,
): ThresholdState['totals'] {
  const kept = before.filter(
    (one) =>
      epochMilliseconds - one.epochMilliseconds <=
      Math.max(longestSeconds, defaultWindowSeconds) * 1000,
  );
  const last = kept.at(-1)?.epochMilliseconds ?? -Infinity;
  const tooClose = epochMilliseconds - last < closestTotalsSeconds * 1000;
  return totals === undefined || tooClose ? kept : [...kept, { ...totals, epochMilliseconds }];
}

/** Of the part of the window that was seen: from the oldest totals in it to those of the sample. */
function windowedValue(
  kept: ThresholdState['totals'],
  { epochMilliseconds: now, totals }: MetricSample,
  metric: Metric,
  windowSeconds: number,
): number | undefined {
  const total = totalOf(metric);
  const last = total === undefined ? undefined : totals?.[total];
  if (total === undefined || last === undefined) return undefined;
  const first = kept.find(
    (one) => one[total] !== undefined && now - one.epochMilliseconds <= windowSeconds * 1000,
  );
  const firstTotal = first?.[total];
  if (first === undefined || firstTotal === undefined) return undefined;
  const seconds = (now - first.epochMilliseconds) / 1000;
  const grown = last - firstTotal;
  if (metric === 'fullGcCount') return grown;
  if (metric === 'youngGcPerMinuteCount') return Math.round((grown * 60) / windowSeconds);
  return seconds < windowSeconds / 2 ? undefined : (grown / seconds) * 100;
}

function totalOf(metric: Metric): keyof GcTotals | undefined {
  if (metric === 'fullGcCount') return 'fullGcCount';
  if (metric === 'youngGcPerMinuteCount') return 'youngGcCount';
  return metric === 'gcTimePercent' ? 'gcSeconds' : undefined;
}

/** Within what a signal accepts: percentages to 1,000 with one decimal, whole counts. */
function numbersOf(values: Partial<Record<Metric, number>>): Signal['numbers'] {
  const entries = Object.entries(values).flatMap(([metric, value]) => {
    if (finite(value) === undefined) return [];
    const most = metric.endsWith('Percent') ? 1_000 : 1_000_000_000;
    const bounded = Math.min(Math.max(value, 0), most);
    return [
      [metric, metric.endsWith('Count') ? Math.round(bounded) : Math.round(bounded * 10) / 10],
    ];
  });
  return Object.fromEntries(entries) as Signal['numbers'];
}

function finite(value: number | undefined): number | undefined {
  return value !== undefined && Number.isFinite(value) ? value : undefined;
}
