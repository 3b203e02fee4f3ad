import type { ScrapedQuantity, SeriesSelector } from './monitor-metrics.ts';

/** Longer lines are passed over: a series' name and labels are a few hundred bytes. */
const maxLineLength = 8_192;

/**
 * Sums of the series of a page in the Prometheus text format (0.0.4; OpenMetrics' exemplars are passed over). A quantity without any
 * series is absent. Series below 0 are left out: `-1` is how the JVM says that a pool has no maximum. Lines that are not
 * understood are left out as well; the page is its pod's own.
 */
export function sumsOf(
  page: string,
  series: Readonly<Record<ScrapedQuantity, readonly SeriesSelector[]>>,
): Partial<Record<ScrapedQuantity, number>> {
  const wanted = new Map<string, { quantity: ScrapedQuantity; selector: SeriesSelector }[]>();
  for (const [quantity, selectors] of Object.entries(series)) {
    for (const selector of selectors) {
      const same = wanted.get(selector.name) ?? [];
      wanted.set(selector.name, [...same, { quantity: quantity as ScrapedQuantity, selector }]);
    }
  }
  const sums: Partial<Record<ScrapedQuantity, number>> = {};
  for (let start = 0; start < page.length;) {
    const newline = page.indexOf('\n', start);
    const end = newline === -1 ? page.length : newline;
    const candidates = end - start <= maxLineLength && wanted.get(nameAt(page, start, end));
    if (candidates) {
      const sample = readSample(page.slice(start, end));
      for (const { quantity, selector } of candidates) {
        if (sample === undefined || sample.value < 0 || !matches(selector, sample.labels)) continue;
        sums[quantity] = (sums[quantity] ?? 0) + sample.value;
      }
    }
    start = end + 1;
  }
  return sums;
}

function nameAt(page: string, start: number, end: number): string {
  let at = start;
  while (at < end && /[A-Za-z0-9_:]/.test(page.charAt(at))) at += 1;
  return page.slice(start, at);
}

function matches({ labels }: SeriesSelector, found: ReadonlyMap<string, string>): boolean {
  return [...labels].every(([name, value]) => found.get(name) === value);
}

// Sticky: it is tried where the last label ended, and nowhere else.
// eslint-disable-next-line regexp/no-super-linear-move
const labelAt = /\s*([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"\s*,?\s*/y;
const escapes: Readonly<Record<string, string>> = { n: '\n', '\\': '\\', '"': '"' };

function readSample(line: string): { labels: Map<string, string>; value: number } | undefined {
  const labels = new Map<string, string>();
  const open = line.search(/[{\s]/);
  if (open === -1) return undefined;
  let at = open;
  if (line.charAt(open) === '{') {
    at += 1;
    for (;;) {
      labelAt.lastIndex = at;
      const found = labelAt.exec(line);
      if (found === null) break;
      labels.set(
        found[1] ?? '',
        (found[2] ?? '').replaceAll(/\\(.)/g, (_all, kind: string) => escapes[kind] ?? kind),
      );
      at = labelAt.lastIndex;
    }
    if (line.charAt(at) !== '}') return undefined;
    at += 1;
  }
  const [text = ''] = line.slice(at).trim().split(/\s/, 1);
  // `NaN` and `+Inf` are values of the format, and none that can be summed.
  const value = /^[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?$/.test(text) ? Number(text) : Number.NaN;
  return Number.isFinite(value) ? { labels, value } : undefined;
}
