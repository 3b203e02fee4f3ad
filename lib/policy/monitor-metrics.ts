import * as z from 'zod';
import { metrics, type Metric } from './thresholds.ts';

export const metricSources = ['sensor', 'scrape', 'prometheus'] as const;

/** What a pod's own endpoint is asked for. Sums of series; those that end in `Total` are counters. */
export const scrapedQuantities = [
  'heapUsedBytes',
  'heapMaxBytes',
  'heapAfterGcBytes',
  'gcSecondsTotal',
  'fullGcTotal',
  'youngGcTotal',
] as const;
export type ScrapedQuantity = (typeof scrapedQuantities)[number];

/** One metric of the text format, with labels that a series must have. No regular expressions: those can be bombs. */
export interface SeriesSelector {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
}

const maxLabelCount = 8;
const labelPattern = /^\s*([A-Za-z_][A-Za-z0-9_]{0,127})="((?:[^"\\]|\\["\\])*)"\s*(?:,|$)/;

/** Reads `name` or `name{label="value",…}`; `undefined` when it is neither. */
export function parseSeriesSelector(text: string): SeriesSelector | undefined {
  const [, name, inner = ''] =
    /^([A-Za-z_:][A-Za-z0-9_:]{0,254})(?:\{(.*)\})?$/.exec(text.trim().slice(0, 1_024)) ?? [];
  if (name === undefined) return undefined;
  const labels = new Map<string, string>();
  let rest = inner.trim();
  while (rest !== '') {
    const found = labelPattern.exec(rest);
    if (found?.[1] === undefined || labels.size >= maxLabelCount) return undefined;
    labels.set(found[1], (found[2] ?? '').replaceAll(/\\(["\\])/g, '$1'));
    rest = rest.slice(found[0].length);
  }
  return { name, labels };
}

/**
 * Names of the exporters' own pages: client_java 1.x as jmx_prometheus_javaagent 1.x brings it, and Micrometer's JvmMemoryMetrics
 * and JvmGcMetrics. Collectors as HotSpot names them.
 */
const names: Readonly<Record<'jmxExporter' | 'micrometer', Record<ScrapedQuantity, string[]>>> = {
  jmxExporter: {
    heapUsedBytes: ['jvm_memory_used_bytes{area="heap"}'],
    heapMaxBytes: ['jvm_memory_max_bytes{area="heap"}'],
    heapAfterGcBytes: ['G1 Old Gen', 'PS Old Gen', 'Tenured Gen', 'CMS Old Gen'].map(
      (pool) => `jvm_memory_pool_collection_used_bytes{pool="${pool}"}`,
    ),
    gcSecondsTotal: ['jvm_gc_collection_seconds_sum'],
    fullGcTotal: ['G1 Old Generation', 'PS MarkSweep', 'MarkSweepCompact'].map(
      (gc) => `jvm_gc_collection_seconds_count{gc="${gc}"}`,
    ),
    youngGcTotal: ['G1 Young Generation', 'PS Scavenge', 'Copy', 'ParNew'].map(
      (gc) => `jvm_gc_collection_seconds_count{gc="${gc}"}`,
    ),
  },
  micrometer: {
    heapUsedBytes: ['jvm_memory_used_bytes{area="heap"}'],
    heapMaxBytes: ['jvm_memory_max_bytes{area="heap"}'],
    heapAfterGcBytes: ['jvm_gc_live_data_size_bytes'],
    gcSecondsTotal: ['jvm_gc_pause_seconds_sum'],
    fullGcTotal: ['jvm_gc_pause_seconds_count{action="end of major GC"}'],
    youngGcTotal: ['jvm_gc_pause_seconds_count{action="end of minor GC"}'],
  },
};
export const exporterFormats = Object.keys(names) as ('jmxExporter' | 'micrometer')[];

const selectors = z
  .array(
    z
      .string()
      .min(1)
      .max(512)
      .refine((text) => parseSeriesSelector(text) !== undefined, {
        error: 'accepted is a metric name with label="value" pairs, such as jvm_x{area="heap"}',
      }),
  )
  .min(1)
  .max(8);

const scrapeSchema = z.strictObject({
  port: z.number().int().min(1).max(65_535),
  path: z
    .string()
    .max(256)
    .regex(/^\/[A-Za-z0-9/_.~-]*$/, { error: 'accepted is a path such as /metrics' })
    .default('/metrics'),
  format: z.enum(exporterFormats).default('jmxExporter'),
  /** Names in place of the format's. */
  names: z
    .strictObject(
      Object.fromEntries(scrapedQuantities.map((quantity) => [quantity, selectors.optional()])) as {
        [Quantity in ScrapedQuantity]: z.ZodOptional<typeof selectors>;
      },
    )
    .prefault({}),
});

/** Metrics that a query may yield; those of the thresholds that are numbers of now. */
export type QueriedMetric = Exclude<Metric, 'secondsToLimit'>;
export const queriedMetrics = metrics.filter(
  (metric): metric is QueriedMetric => metric !== 'secondsToLimit',
);

const query = z.string().min(1).max(2_000);
const prometheusSchema = z.strictObject({
  /** PromQL by the metric that it yields; each series names its pod by the label `pod`. */
  queries: z
    .strictObject(
      Object.fromEntries(queriedMetrics.map((metric) => [metric, query.optional()])) as {
        [Metric in QueriedMetric]: z.ZodOptional<typeof query>;
      },
    )
    .refine((queries) => Object.keys(queries).length > 0, {
      error: 'accepted is at least one query',
    }),
});

/** Where a monitor's numbers come from. */
export const metricsSchema = z
  .strictObject({
    source: z.enum(metricSources).default('sensor'),
    /** Of scrapes and queries. */
    intervalSeconds: z.number().int().min(5).max(300).default(15),
    scrape: scrapeSchema.optional(),
    prometheus: prometheusSchema.optional(),
  })
  .refine(({ source, scrape }) => source !== 'scrape' || scrape !== undefined, {
    error: 'source scrape needs scrape',
  })
  .refine(({ source, prometheus }) => source !== 'prometheus' || prometheus !== undefined, {
    error: 'source prometheus needs prometheus',
  })
  .prefault({});
export type MonitorMetrics = z.output<typeof metricsSchema>;

/** The series of each quantity, the monitor's own names before the format's. */
export function scrapedSeries(
  scrape: NonNullable<MonitorMetrics['scrape']>,
): Readonly<Record<ScrapedQuantity, readonly SeriesSelector[]>> {
  const read = (quantity: ScrapedQuantity): readonly SeriesSelector[] =>
    (scrape.names[quantity] ?? names[scrape.format][quantity])
      .map(parseSeriesSelector)
      .filter((selector) => selector !== undefined);
  return Object.fromEntries(
    scrapedQuantities.map((quantity) => [quantity, read(quantity)]),
  ) as Record<ScrapedQuantity, readonly SeriesSelector[]>;
}
