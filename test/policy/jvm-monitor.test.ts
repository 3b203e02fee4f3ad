import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { isScheduledMinute, parseCron } from '../../lib/policy/cron-schedule.ts';
import { parseJvmMonitor, readJvmMonitor } from '../../lib/policy/jvm-monitor.ts';
import { selectorMatches } from '../../lib/policy/label-selector.ts';
import { sumsOf } from '../../lib/policy/metrics-page.ts';
import {
  metricsSchema,
  parseSeriesSelector,
  scrapedSeries,
} from '../../lib/policy/monitor-metrics.ts';
import { governingMonitor, resolveMonitorPolicy } from '../../lib/policy/monitor-policy.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import { readQueryAnswer } from '../../lib/policy/prometheus-answer.ts';

const selector = { matchLabels: { app: 'cart' } };
const raw = (name: string, spec: object = {}, namespace = 'shop') => ({
  apiVersion: 'heapcatch.dev/v1alpha1',
  kind: 'JvmMonitor',
  metadata: { name, namespace, uid: `uid-${name}`, generation: 1 },
  spec: { selector, ...spec },
});
const monitor = (name: string, spec: object = {}, namespace = 'shop') =>
  parseJvmMonitor(raw(name, spec, namespace));
const pod = { namespace: 'shop', labels: { app: 'cart', tier: 'web' } };

describe('a JvmMonitor', () => {
  it('without settings is the default policy', () => {
    expect(resolveMonitorPolicy(monitor('a'), {}).policy).toEqual(defaultPolicy);
  });

  it.each<[string, object, RegExp]>([
    ['an unknown field', { trigers: {} }, /trigers/],
    ['a selector of everything', { selector: {} }, /at least one label/],
    ['an absurd number', { limits: { cooldownSeconds: 1e300 } }, /cooldownSeconds/],
    ['a schedule of nothing', { triggers: { schedules: ['0 25 * * *'] } }, /five fields/],
    [
      'a path that leads elsewhere',
      { metrics: { source: 'scrape', scrape: { port: 1, path: '//evil/x?y' } } },
      /path/,
    ],
    [
      'a series with a regular expression',
      {
        metrics: {
          source: 'scrape',
          scrape: { port: 1, names: { fullGcTotal: ['x{gc=~"(a+)+"}'] } },
        },
      },
      /metric name/,
    ],
    [
      'a thousand thresholds',
      { triggers: { gcStorm: Array(1_000).fill({ metric: 'fullGcCount', above: 1 }) } },
      /gcStorm/,
    ],
  ])('is refused with %s, by name', (_case, spec, message) => {
    expect(() => parseJvmMonitor(raw('a', spec))).toThrow(message);
  });

  it('that cannot be read captures nothing of the pods that it selects', () => {
    const { monitor: off, fault } = readJvmMonitor(raw('a', { redact: 'everything' }));

    expect(fault).toContain('redact');
    expect(resolveMonitorPolicy(off!, {}).policy.enabled).toBe(false);
    expect(readJvmMonitor(raw('a', { selector: {} })).monitor).toBeUndefined();
  });

  it('never makes anything but a fault or a monitor of what it is given', () => {
    fc.assert(
      fc.property(fc.anything(), fc.jsonValue(), (anything, spec) => {
        for (const input of [anything, { ...raw('a'), spec }]) {
          const { monitor: read, fault } = readJvmMonitor(input);
          expect(read !== undefined || fault !== undefined).toBe(true);
        }
      }),
    );
  });
});

describe('the order of several JvmMonitors', () => {
  it.each<[string, ReturnType<typeof monitor>[], string | undefined]>([
    ['the highest priority', [monitor('a'), monitor('b', { priority: 1 })], 'b'],
    [
      'of equal priority the most specific selector',
      [monitor('a'), monitor('b', { selector: { matchLabels: { app: 'cart', tier: 'web' } } })],
      'b',
    ],
    [
      'a list of containers as more specific',
      [monitor('a'), monitor('b', { selector: { ...selector, containers: ['app'] } })],
      'b',
    ],
    ['of equal specificity the first by name', [monitor('b'), monitor('a')], 'a'],
    ['one that is disabled like any other', [monitor('a', { enabled: false }), monitor('b')], 'a'],
    ['none of another namespace', [monitor('a', {}, 'other')], undefined],
    [
      'none of other containers',
      [monitor('a', { selector: { ...selector, containers: ['sidecar'] } })],
      undefined,
    ],
  ])('is: %s', (_case, monitors, name) => {
    expect(governingMonitor(monitors, pod, 'app')?.name).toBe(name);
    expect(governingMonitor(monitors.toReversed(), pod, 'app')?.name).toBe(name);
  });
});

describe("a pod's annotations beside a monitor", () => {
  const strict = monitor('a', {
    redact: 'allPrimitives',
    evidence: ['threads', 'heapInfo'],
    limits: { cooldownSeconds: 60 },
    triggers: { livenessFailureCount: 7 },
  });

  it('win where they only say how', () => {
    const { policy } = resolveMonitorPolicy(strict, { 'heapcatch.dev/cooldown': '5m' });
    expect(policy.limits.cooldownSeconds).toBe(300);
    expect(policy.triggers.livenessFailureCount).toBe(7);
  });

  it('can only restrict what is captured', () => {
    const { policy } = resolveMonitorPolicy(strict, {
      'heapcatch.dev/redact': 'none',
      'heapcatch.dev/evidence': 'threads,heapDump',
    });
    expect(policy).toMatchObject({ redact: 'allPrimitives', evidence: ['threads'] });
    const off = resolveMonitorPolicy(strict, { 'heapcatch.dev/enabled': 'false' });
    expect(off.policy.enabled).toBe(false);
    const on = resolveMonitorPolicy(monitor('a', { enabled: false }), {
      'heapcatch.dev/enabled': 'true',
    });
    expect(on.policy.enabled).toBe(false);
  });
});

describe('a label selector', () => {
  const labels = { app: 'cart', tier: '' };
  it.each<[string, Parameters<typeof selectorMatches>[0], boolean]>([
    ['equal labels', { matchLabels: { app: 'cart' } }, true],
    ['an empty value', { matchLabels: { tier: '' } }, true],
    ['a label that is absent', { matchLabels: { zone: 'a' } }, false],
    ['In', { matchExpressions: [{ key: 'app', operator: 'In', values: ['x', 'cart'] }] }, true],
    [
      'In of an absent label',
      { matchExpressions: [{ key: 'zone', operator: 'In', values: [''] }] },
      false,
    ],
    ['NotIn', { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['cart'] }] }, false],
    [
      'NotIn of an absent label',
      { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['a'] }] },
      true,
    ],
    ['Exists', { matchExpressions: [{ key: 'tier', operator: 'Exists' }] }, true],
    ['DoesNotExist', { matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }] }, false],
    [
      'a name of the prototype',
      { matchExpressions: [{ key: 'constructor', operator: 'Exists' }] },
      false,
    ],
    [
      'one of two that fails',
      {
        matchLabels: { app: 'cart' },
        matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }],
      },
      false,
    ],
  ])('knows %s', (_case, one, expected) => {
    expect(selectorMatches(one, labels)).toBe(expected);
  });
});

describe('a schedule', () => {
  it.each<[string, string, boolean]>([
    ['* * * * *', '2026-03-01T10:00:30Z', true],
    ['30 3 * * 1-5', '2026-03-02T03:30:00Z', true],
    ['30 3 * * 1-5', '2026-03-01T03:30:00Z', false],
    ['*/15 * * * *', '2026-03-01T10:45:00Z', true],
    ['*/15 * * * *', '2026-03-01T10:46:00Z', false],
    ['0 0 1 * sun', '2026-03-08T00:00:00Z', true],
    ['0 0 1 * mon', '2026-03-01T00:00:00Z', true],
    ['0 0 * * 7', '2026-03-01T00:00:00Z', true],
    ['0 12 * feb,mar *', '2026-03-01T12:00:00Z', true],
    ['0 12 * JAN *', '2026-03-01T12:00:00Z', false],
    ['5/20 * * * *', '2026-03-01T10:45:00Z', true],
  ])('%s at %s: %s', (text, time, expected) => {
    expect(isScheduledMinute(parseCron(text)!, new Date(time))).toBe(expected);
  });

  it.each([
    '',
    '* * * *',
    '* * * * * *',
    '60 * * * *',
    '* * 0 * *',
    '5-1 * * * *',
    '*/0 * * * *',
    '@daily',
    'a * * * *',
    '1,,2 * * * *',
    '* * * * 8',
    '1-2-3 * * * *',
  ])('refuses %j', (text) => {
    expect(parseCron(text)).toBeUndefined();
  });

  it('reads any text without throwing', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseCron(text)));
  });
});

describe('a metrics page', () => {
  const series = scrapedSeries(
    metricsSchema.parse({ source: 'scrape', scrape: { port: 1 } }).scrape!,
  );
  // As jmx_prometheus_javaagent 1.0.1 prints it.
  const page = `# HELP jvm_memory_used_bytes Used bytes of a given JVM memory area.
# TYPE jvm_memory_used_bytes gauge
jvm_memory_used_bytes{area="heap"} 9.0E7
jvm_memory_used_bytes{area="nonheap"} 4.0E7
jvm_memory_max_bytes{area="heap"} 1.0E8
jvm_memory_max_bytes{area="nonheap"} -1.0
jvm_memory_pool_collection_used_bytes{pool="G1 Eden Space"} 5.0
jvm_memory_pool_collection_used_bytes{pool="G1 Old Gen"} 8.5E7 1709287200000
jvm_gc_collection_seconds_count{gc="G1 Old Generation"} 3
jvm_gc_collection_seconds_sum{gc="G1 Old Generation"} 1.5
jvm_gc_collection_seconds_count{gc="G1 Young Generation"} 40
jvm_gc_collection_seconds_sum{gc="G1 Young Generation"} 0.5
`;

  it('yields the sums of the series that are named', () => {
    expect(sumsOf(page, series)).toEqual({
      heapUsedBytes: 9e7,
      heapMaxBytes: 1e8,
      heapAfterGcBytes: 8.5e7,
      gcSecondsTotal: 2,
      fullGcTotal: 3,
      youngGcTotal: 40,
    });
  });

  it.each([
    'jvm_memory_used_bytes{area="heap"} NaN',
    'jvm_memory_used_bytes{area="heap"} +Inf',
    'jvm_memory_used_bytes{area="heap" 5',
    'jvm_memory_used_bytes',
    'jvm_memory_used_bytes{area="heap"} -1',
    `jvm_memory_used_bytes{area="heap",x="${'y'.repeat(9_000)}"} 5`,
  ])('leaves out a line that says no number: %.60s', (line) => {
    expect(sumsOf(line, series)).toEqual({});
  });

  it('understands escapes, commas at the end and exemplars', () => {
    const selectors = parseSeriesSelector('x{a="say \\"}\\"",b="c\\\\d"}')!;
    const sums = sumsOf('x{b="c\\\\d",a="say \\"}\\"",} 7 # {trace="1"} 2', {
      ...series,
      fullGcTotal: [selectors],
    });
    expect(sums.fullGcTotal).toBe(7);
  });

  it('never throws, whatever stands on it', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (text) => {
        sumsOf(`jvm_memory_used_bytes{${text}\n${text}`, series);
      }),
    );
  });
});

describe('the answer to a query', () => {
  const answer = (result: unknown) =>
    JSON.stringify({ status: 'success', data: { resultType: 'vector', result } });

  it('is read for the pods of the namespace alone', () => {
    const text = answer([
      { metric: { namespace: 'shop', pod: 'cart-1', container: 'app' }, value: [1, '93.5'] },
      { metric: { namespace: 'bank', pod: 'cart-1' }, value: [1, '99'] },
      { metric: { pod: 'cart-2' }, value: [1, '99'] },
      { metric: { namespace: 'shop', pod: 'cart-3' }, value: [1, 'NaN'] },
    ]);

    expect(readQueryAnswer(text, 'shop')).toEqual({
      values: [{ podName: 'cart-1', containerName: 'app', value: 93.5 }],
      unlabelledCount: 1,
    });
  });

  it.each([
    ['{', /not JSON/],
    [JSON.stringify({ status: 'error', error: 'parse error' }), /parse error/],
    [answer({}), /vector/],
    ['null', /vector/],
  ])('that cannot be used says why: %s', (text, why) => {
    expect(readQueryAnswer(text, 'shop')).toMatch(why);
  });
});
