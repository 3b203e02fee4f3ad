import { isIP } from 'node:net';
import { messageOf } from '../errors.ts';
import type { JvmMonitor } from '../policy/jvm-monitor.ts';
import { sumsOf } from '../policy/metrics-page.ts';
import { queriedMetrics, scrapedSeries, type ScrapedQuantity } from '../policy/monitor-metrics.ts';
import type { MonitorFacts } from '../policy/monitor-status.ts';
import type { PodFacts } from '../policy/pod-facts.ts';
import { readQueryAnswer } from '../policy/prometheus-answer.ts';
import type { GcTotals, Metric } from '../policy/thresholds.ts';
import type { boundedGet } from './bounded-get.ts';

const maxScrapesAtOnce = 16;
const scrapeDeadlineSeconds = 5;
const queryDeadlineSeconds = 10;
const maxPageBytes = 8 * 1024 * 1024;
const pageFormat = 'text/plain;version=0.0.4';

/** A running container whose numbers are wanted. */
export interface MetricTarget {
  pod: PodFacts;
  containerName: string;
  containerID: string;
}
/** What was read of one container. */
export interface Reading {
  target: MetricTarget;
  values: Partial<Record<Metric, number>>;
  totals?: GcTotals;
}
/** Why some of it was not read, in the words of a Degraded condition. */
export interface Readings {
  readings: Reading[];
  trouble?: NonNullable<MonitorFacts['trouble']>;
}

/**
 * Reads the metrics page of each target's pod, at that pod's own address and nowhere else: 16 at once, 5 s and 8 MiB each. Pages
 * are of pods; where several containers of one are wanted, the first is meant.
 */
export async function scrapePods(
  { spec }: JvmMonitor,
  targets: readonly MetricTarget[],
  get: typeof boundedGet,
  signal: AbortSignal,
): Promise<Readings> {
  const { scrape } = spec.metrics;
  if (scrape === undefined) return { readings: [] };
  const series = scrapedSeries(scrape);
  const waiting = firstOfEachPod(targets);
  const podCount = waiting.length;
  const readings: Reading[] = [];
  const faults: string[] = [];
  const worker = async (): Promise<void> => {
    for (let target = waiting.pop(); target && !signal.aborted; target = waiting.pop()) {
      try {
        const page = await get(pageUrl(target.pod, scrape), {
          maxBytes: maxPageBytes,
          deadlineSeconds: scrapeDeadlineSeconds,
          accept: pageFormat,
          signal,
        });
        const sums = sumsOf(page, series);
        if (Object.keys(sums).length === 0) throw new Error('none of the metrics is on its page');
        readings.push({ target, values: valuesOf(sums), totals: totalsOf(sums) });
      } catch (error) {
        faults.push(`${target.pod.podName}: ${messageOf(error, 200)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: maxScrapesAtOnce }, worker));
  const [first] = faults;
  if (first === undefined) return { readings };
  const message = `${faults.length} of ${podCount} pods are not read; ${first}`;
  return { readings, trouble: { reason: 'ScrapeFailing', message } };
}

/** @throws Error when the pod has no address that is its own. */
function pageUrl(pod: PodFacts, { port, path }: { port: number; path: string }): URL {
  const { podIP = '', hostNetwork } = pod;
  if (hostNetwork === true) throw new Error('hostNetwork: its address is that of the node');
  if (!isAddressOfPod(podIP)) throw new Error('no address of its own');
  const host = isIP(podIP) === 6 ? `[${podIP}]` : podIP;
  return new URL(path, `http://${host}:${port}`);
}

/** What a pod network hands out: no loopback, no link-local address (those of clouds' metadata services), none that is unset. */
export function isAddressOfPod(address: string): boolean {
  if (isIP(address) === 0) return false;
  return !/^(127\.|169\.254\.|0\.|::1?$|fe[89ab][0-9a-f]:|::ffff:)/i.test(address);
}

/** Asks the forwarder's Prometheus the queries of a monitor: 10 s and 8 MiB each; the first that fails ends it. */
export async function queryPrometheus(
  { namespace, spec }: JvmMonitor,
  targets: readonly MetricTarget[],
  prometheusUrl: string | undefined,
  get: typeof boundedGet,
  signal: AbortSignal,
): Promise<Readings> {
  if (prometheusUrl === undefined) {
    const message = 'the forwarder has no HEAPCATCH_PROMETHEUS_URL';
    return { readings: [], trouble: { reason: 'PrometheusNotConfigured', message } };
  }
  const { queries = {} } = spec.metrics.prometheus ?? {};
  const readings = new Map<string, Reading>();
  for (const metric of queriedMetrics) {
    const query = queries[metric];
    if (query === undefined) continue;
    const url = new URL(`${prometheusUrl.replace(/\/$/, '')}/api/v1/query`);
    url.searchParams.set('query', query);
    url.searchParams.set('timeout', `${queryDeadlineSeconds - 1}s`);
    const answer = await get(url, {
      maxBytes: maxPageBytes,
      deadlineSeconds: queryDeadlineSeconds,
      accept: 'application/json',
      signal,
    }).then(
      (text) => readQueryAnswer(text, namespace),
      (error: unknown) => messageOf(error, 300),
    );
    const why = typeof answer === 'string' ? answer : unusable(answer);
    if (typeof answer === 'string' || why !== undefined) {
      const message = `${metric}: ${why ?? ''}`;
      return { readings: [], trouble: { reason: 'QueryFailing', message } };
    }
    for (const { podName, containerName, value } of answer.values) {
      const target = targets.find(
        (one) =>
          one.pod.podName === podName && (containerName ?? one.containerName) === one.containerName,
      );
      if (target === undefined) continue;
      const values = { ...readings.get(target.containerID)?.values, [metric]: value };
      readings.set(target.containerID, { target, values });
    }
  }
  return { readings: [...readings.values()] };
}

function unusable(answer: { values: unknown[]; unlabelledCount: number }): string | undefined {
  return answer.unlabelledCount > 0 && answer.values.length === 0
    ? 'its series have no labels namespace and pod'
    : undefined;
}

function firstOfEachPod(targets: readonly MetricTarget[]): MetricTarget[] {
  return [...new Map(targets.toReversed().map((one) => [one.pod.podUid, one])).values()];
}

function valuesOf(sums: Partial<Record<ScrapedQuantity, number>>): Partial<Record<Metric, number>> {
  const { heapUsedBytes, heapMaxBytes, heapAfterGcBytes } = sums;
  const percentOf = (bytes: number | undefined): number | undefined =>
    bytes === undefined || !heapMaxBytes ? undefined : (bytes / heapMaxBytes) * 100;
  const used = percentOf(heapUsedBytes);
  const after = percentOf(heapAfterGcBytes);
  return {
    ...(used === undefined ? {} : { heapUsedPercent: used }),
    ...(after === undefined ? {} : { heapAfterGcPercent: after }),
  };
}

function totalsOf(sums: Partial<Record<ScrapedQuantity, number>>): GcTotals {
  const { fullGcTotal, youngGcTotal, gcSecondsTotal } = sums;
  return {
    ...(fullGcTotal === undefined ? {} : { fullGcCount: fullGcTotal }),
    ...(youngGcTotal === undefined ? {} : { youngGcCount: youngGcTotal }),
    ...(gcSecondsTotal === undefined ? {} : { gcSeconds: gcSecondsTotal }),
  };
}
