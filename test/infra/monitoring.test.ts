import { describe, expect, it } from '@jest/globals';
import { loadAllYaml } from '@kubernetes/client-node';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { CaptureMetrics } from '../../lib/agent/capture-metrics.ts';
import { createAlertMetrics } from '../../lib/forwarder/alert-metrics.ts';
import { createForwarderMetrics } from '../../lib/forwarder/metrics.ts';

const project = path.resolve(import.meta.dirname, '../..');
const monitoring = path.join(project, 'infra/monitoring');
const fixtures = path.join(import.meta.dirname, 'fixtures/monitoring');
const textOf = (file: string): string => readFileSync(file, 'utf8');

interface Rule {
  alert: string;
  expr: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}
const rulesIn = (file: string): Rule[] =>
  (loadAllYaml(textOf(path.join(monitoring, file))) as { groups: { rules: Rule[] }[] }[]).flatMap(
    ({ groups }) => groups.flatMap(({ rules }) => rules),
  );
const ruleFiles = globSync('rules/*.yaml', { cwd: monitoring }).sort();

/** Of cAdvisor, as the kubelet has them: https://github.com/google/cadvisor/blob/master/docs/storage/prometheus.md */
const kubeletMetrics = ['container_memory_working_set_bytes', 'container_spec_memory_limit_bytes'];

/** Names with the labels of each sample, of a text as a scrape gets it. */
function samplesOf(text: string): { name: string; labels: Record<string, string> }[] {
  return [...text.matchAll(/^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? \S+$/gim)].map(
    ([, name = '', labels = '']) => ({
      name,
      labels: Object.fromEntries(
        [...labels.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, label, value]) => [label, value]),
      ) as Record<string, string>,
    }),
  );
}

const scraped = globSync('*.txt', { cwd: fixtures }).map((file) => ({
  file,
  samples: samplesOf(textOf(path.join(fixtures, file))),
}));

/** The selectors of an expression: names with label matchers. Functions and labels have no such prefix. */
function selectorsOf(expr: string): { name: string; matchers: string }[] {
  const names = /\b((?:jvm|process|container|heapcatch|jmx)_[a-z0-9_]+)(?:\{([^}]*)\})?/g;
  return [...expr.matchAll(names)].map(([, name = '', matchers = '']) => ({ name, matchers }));
}

function matches(labels: Record<string, string>, matchers: string): boolean {
  return [...matchers.matchAll(/([a-z_]+)(=~|!~|!=|=)"([^"]*)"/g)].every(
    ([, label = '', operator, value = '']) => {
      const found = labels[label] ?? '';
      const equal = operator === '=' || operator === '!=';
      const fits = equal ? found === value : new RegExp(`^(?:${value})$`).test(found);
      return operator?.startsWith('!') === true ? !fits : fits;
    },
  );
}

async function heapcatchMetrics(): Promise<string[]> {
  const { registry } = createForwarderMetrics();
  createAlertMetrics(registry);
  const all = `${await registry.metrics()}${new CaptureMetrics().text()}`;
  return [...all.matchAll(/^# TYPE (\S+) (\S+)/gm)].flatMap(([, name = '', type]) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  );
}

describe('the rules of infra/monitoring', () => {
  it('have a name of their own in each file, a severity and a summary', () => {
    for (const file of ruleFiles) {
      const rules = rulesIn(file);
      expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
      for (const { labels, annotations } of rules) {
        expect(labels['severity']).toMatch(/^(warning|critical)$/);
        expect(annotations['summary']).toBeTruthy();
      }
    }
    expect(ruleFiles).toHaveLength(4);
  });

  it.each([
    ['jmx-exporter.yaml', ['jmx-exporter-jdk17-g1', 'jmx-exporter-jdk17-parallel']],
    ['jmx-exporter.yaml', ['jmx-exporter-jdk17-serial']],
    ['micrometer.yaml', ['micrometer-1.12', 'micrometer-1.15']],
  ])('of %s select series that %j really have', (file, names) => {
    const texts = scraped.filter((one) => names.some((name) => one.file === `${name}.txt`));
    expect(texts).toHaveLength(names.length);
    for (const { samples } of texts) {
      for (const { expr } of rulesIn(`rules/${file}`)) {
        // Two names of one metric are joined by "or": one of them is enough.
        const alternatives = expr.split(/\bor\b/).map(selectorsOf);
        const selected = alternatives.map((selectors) =>
          selectors.filter(
            ({ name, matchers }) =>
              !samples.some((sample) => sample.name === name && matches(sample.labels, matchers)),
          ),
        );
        expect(Math.min(...selected.map((missing) => missing.length))).toBe(0);
      }
    }
  });

  it('find the old generation and the young collections of ZGC', () => {
    const zgc = scraped.find(({ file }) => file.includes('zgc'))?.samples ?? [];
    const seen = (alert: string): boolean =>
      rulesIn('rules/jmx-exporter.yaml')
        .filter((rule) => rule.alert === alert)
        .flatMap(({ expr }) => selectorsOf(expr))
        .every(({ name, matchers }) =>
          zgc.some((sample) => sample.name === name && matches(sample.labels, matchers)),
        );

    expect(['JvmHeapAfterGcHigh', 'JvmGcTimeHigh', 'JvmYoungGcsFrequent'].map(seen)).toEqual([
      true,
      true,
      true,
    ]);
  });

  it('leave concurrent cycles out of the time that collections take', () => {
    const [gcTime] = rulesIn('rules/jmx-exporter.yaml')
      .filter(({ alert }) => alert === 'JvmGcTimeHigh')
      .flatMap(({ expr }) => selectorsOf(expr));
    const zgc = scraped.find(({ file }) => file.includes('zgc'))?.samples ?? [];
    const counted = zgc
      .filter(({ name, labels }) => name === gcTime?.name && matches(labels, gcTime.matchers))
      .map(({ labels }) => labels['gc']);

    expect(counted.sort()).toEqual(['ZGC Major Pauses', 'ZGC Minor Pauses']);
  });

  it('ask for a dump only where a dump explains the trouble', () => {
    const wanted = ruleFiles
      .flatMap(rulesIn)
      .filter(({ labels }) => labels['heapcatch'] === 'capture')
      .map(({ alert }) => alert);

    expect([...new Set(wanted)].sort()).toEqual([
      'JvmContainerNearMemoryLimit',
      'JvmFullGcsFrequent',
      'JvmGcTimeHigh',
      'JvmHeapAfterGcHigh',
    ]);
  });
});

describe('all that is shown and judged', () => {
  it('are metrics that are there', async () => {
    const known = new Set([
      ...kubeletMetrics,
      ...(await heapcatchMetrics()),
      ...scraped.flatMap(({ samples }) => samples.map(({ name }) => name)),
    ]);
    const dashboard = textOf(path.join(monitoring, 'grafana-dashboard.json'));
    const expressions = [...dashboard.matchAll(/"expr": ("(?:[^"\\]|\\.)*")/g)].map(
      ([, text = '""']) => JSON.parse(text) as string,
    );
    const rules = ruleFiles.flatMap(rulesIn).map(({ expr }) => expr);
    const used = [...expressions, ...rules].flatMap(selectorsOf).map(({ name }) => name);

    expect([...new Set(used)].filter((name) => !known.has(name))).toEqual([]);
    expect(expressions.length).toBeGreaterThan(12);
  });
});

interface Panel {
  id: number;
  title: string;
  type: string;
  gridPos: { x: number; y: number; w: number; h: number };
  datasource?: { uid: string };
  targets?: { expr: string; refId: string }[];
}

describe('the Grafana dashboard', () => {
  const dashboard = JSON.parse(textOf(path.join(monitoring, 'grafana-dashboard.json'))) as {
    uid: string;
    panels: Panel[];
    templating: { list: { name: string }[] };
  };

  it('has panels with an id, a title, and a source that the reader chooses', () => {
    const { panels, templating } = dashboard;
    const charts = panels.filter(({ type }) => type !== 'row');

    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const { title, targets, datasource, gridPos } of charts) {
      expect(title).toBeTruthy();
      expect(targets?.length).toBeGreaterThan(0);
      expect(datasource?.uid).toBe('${datasource}');
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    }
    expect(templating.list.map(({ name }) => name)).toEqual(['datasource', 'namespace', 'pod']);
  });
});
