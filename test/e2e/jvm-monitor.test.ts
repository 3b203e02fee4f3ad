import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Environment, javaImage, startEnvironment } from './environment.ts';
import { buildExporterImage, metricsPort, victimWithMetrics } from './jmx-exporter.ts';
import { monitoringPrograms, type Service, startService } from './prometheus.ts';
import { eventually } from './shell.ts';
import { victim } from './victim.ts';

const name = 'monitored';
let environment: Environment;
let prometheus: Service | undefined;
const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-monitor-'));

beforeAll(async () => {
  environment = await startEnvironment({ jdks: [17] });
}, 600_000);
afterAll(async () => {
  await prometheus?.close();
  rmSync(folder, { recursive: true, force: true });
  await (environment as Environment | undefined)?.close();
}, 240_000);

interface Condition {
  type: string;
  status: string;
  reason: string;
}
interface Status {
  observedGeneration: number;
  matchedPodCount: number;
  conditions: Condition[];
  lastCaptures: { captureId: string; podName: string; state: string; indexKey?: string }[];
  lastTrigger?: { reason: string };
}

/** The status, as soon as it is as asked. */
const statusWhere = (is: (status: Status) => boolean, seconds: number): Promise<Status> =>
  eventually('status of the JvmMonitor', seconds, async () => {
    const { status } = await environment.kubectl.json<{ status?: Status }>([
      ...['get', 'jm', name, '-n', environment.namespace],
    ]);
    return status !== undefined && is(status) ? status : undefined;
  });
const readiness = ({ conditions }: Status): string | undefined =>
  conditions.find(({ type }) => type === 'Ready')?.reason;

async function forwarderRestarts(): Promise<number[]> {
  const { items } = await environment.kubectl.json<{
    items: { status: { containerStatuses: { restartCount: number }[] } }[];
  }>(['get', 'pods', '-n', 'heapcatch', '-l', 'app.kubernetes.io/name=heapcatch-forwarder']);
  return items.flatMap(({ status }) => status.containerStatuses.map((one) => one.restartCount));
}

describe('a JvmMonitor', () => {
  it('has its schedule lead to a capture as soon as it is enabled, and shows it in its status', async () => {
    const { kubectl, namespace } = environment;
    await kubectl.apply(victim({ name, namespace, image: javaImage(17) }));
    const [pod] = await environment.readyPods(name, 1);
    const monitor = (enabled: boolean): unknown => ({
      apiVersion: 'heapcatch.dev/v1alpha1',
      kind: 'JvmMonitor',
      metadata: { name, namespace },
      spec: {
        enabled,
        selector: { matchLabels: { app: name }, containers: ['app'] },
        triggers: { podDeletion: 'never', livenessFailureCount: 100, schedules: ['* * * * *'] },
        evidence: ['heapInfo', 'threads'],
      },
    });

    await kubectl.apply(monitor(false));
    const disabled = await statusWhere((status) => readiness(status) === 'Disabled', 30);
    expect(disabled).toMatchObject({ observedGeneration: 1, matchedPodCount: 1, lastCaptures: [] });

    await kubectl.apply(monitor(true));
    await statusWhere((status) => readiness(status) === 'Watching', 30);
    const entry = await environment.entryOf(name, 150);

    expect(entry).toMatchObject({
      state: 'evidence-only',
      where: { podUid: pod!.metadata.uid, workload: { kind: 'Deployment', name } },
      why: { signalReason: 'Scheduled' },
    });
    expect(entry.objects.evidence.map(({ artifact }) => artifact).toSorted()).toEqual([
      'heapInfo',
      'threads',
    ]);
    const status = await statusWhere(
      ({ lastCaptures }) => lastCaptures[0]?.indexKey !== undefined,
      60,
    );
    expect(status).toMatchObject({
      observedGeneration: 2,
      lastCaptures: [
        { captureId: entry.captureId, podName: pod!.metadata.name, state: 'EvidenceSaved' },
      ],
      lastTrigger: { reason: 'Scheduled' },
    });
    const described = await environment.objects.getObject(status.lastCaptures[0]!.indexKey!, {
      maxBytes: 1 << 20,
    });
    expect(JSON.parse(Buffer.from(described!).toString('utf8'))).toMatchObject({
      captureId: entry.captureId,
    });
    expect(await forwarderRestarts()).toEqual([0, 0]);
  }, 400_000);
});

/** A Prometheus on this machine that reads one pod's page, where the forwarder reaches it. */
async function startPrometheus(pod: string, podIP: string): Promise<Service> {
  const labels = { namespace: environment.namespace, pod };
  const config = path.join(folder, 'prometheus.yml');
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s' },
      scrape_configs: [
        {
          job_name: 'jvm',
          static_configs: [{ targets: [`${podIP}:${metricsPort}`], labels }],
        },
      ],
    }),
  );
  const { prometheus: program } = await monitoringPrograms();
  const { hostname } = new URL(environment.endpoint);
  const argsOf = (address: string): readonly string[] => [
    `--config.file=${config}`,
    `--web.listen-address=${address}`,
    `--storage.tsdb.path=${path.join(folder, 'tsdb')}`,
  ];
  return startService(program, folder, argsOf, hostname);
}

/** Has the forwarder ask it, and waits for the replica that does. */
async function tellForwarder(prometheusUrl: string): Promise<void> {
  const { kubectl } = environment;
  const deployment = ['deployment/heapcatch-forwarder', '-n', 'heapcatch'];
  await kubectl.run(['set', 'env', ...deployment, `HEAPCATCH_PROMETHEUS_URL=${prometheusUrl}`]);
  await kubectl.run(['rollout', 'status', ...deployment, '--timeout=90s'], { timeoutSeconds: 100 });
}

describe('the numbers of a JvmMonitor', () => {
  it('come from the page of the JMX exporter in the pod, and from a query of Prometheus', async () => {
    const { kubectl, namespace } = environment;
    await buildExporterImage(folder);
    for (const workload of ['scraped', 'queried']) {
      await kubectl.apply(
        victimWithMetrics({ name: workload, namespace, image: javaImage(17), heapMebibytes: 64 }),
      );
    }
    await environment.readyPods('scraped', 1);
    const [queried] = await environment.readyPods('queried', 1);
    prometheus = await startPrometheus(queried!.metadata.name, queried!.status.podIP ?? '');
    await tellForwarder(prometheus.url);
    const share = (what: string): string =>
      `sum by (namespace, pod) (jvm_memory_${what}_bytes{area="heap"})`;
    const sources = {
      scraped: { source: 'scrape', scrape: { port: metricsPort } },
      queried: {
        source: 'prometheus',
        prometheus: { queries: { heapUsedPercent: `100 * ${share('used')} / ${share('max')}` } },
      },
    };
    for (const [workload, metrics] of Object.entries(sources)) {
      await kubectl.apply({
        apiVersion: 'heapcatch.dev/v1alpha1',
        kind: 'JvmMonitor',
        metadata: { name: workload, namespace },
        spec: {
          selector: { matchLabels: { app: workload } },
          metrics: { ...metrics, intervalSeconds: 5 },
          triggers: { heapNearLimit: [{ metric: 'heapUsedPercent', above: 1 }] },
          evidence: ['threads'],
          // Both at once, on the one node.
          limits: { nodeSlotCount: 2 },
          retentionDays: 7,
        },
      });
    }

    for (const workload of Object.keys(sources)) {
      const { why, objects } = await environment.entryOf(workload, 90);
      expect(why.signalReason).toBe('HeapNearLimit');
      expect(why.numbers['heapUsedPercent']).toBeGreaterThan(1);
      // The role may tag, and did.
      expect(objects.retention?.days).toBe(7);
      const { objectKey } = objects.evidence[0]!;
      const answer = await fetch(await environment.objects.presignGet(objectKey, 60));
      expect(answer.headers.get('x-amz-tagging-count')).toBe('1');
    }
  }, 300_000);
});

interface Sample {
  what: string;
  spec: unknown;
  refusal?: RegExp;
}
const selector = { matchLabels: { app: 'cart' } };
const samples: Sample[] = [
  { what: 'a selector alone', spec: { selector } },
  {
    what: 'expressions alone',
    spec: { selector: { matchExpressions: [{ key: 'app', operator: 'Exists' }] } },
  },
  {
    what: 'thresholds, a schedule and a scrape',
    spec: {
      selector,
      metrics: { source: 'scrape', scrape: { port: 9404 } },
      triggers: {
        heapNearLimit: [{ metric: 'heapAfterGcPercent', above: 85, rearm: 70, forSeconds: 30 }],
        cgroupNearLimit: [{ metric: 'secondsToLimit', below: 60 }],
        gcStorm: [],
        schedules: ['30 3 * * 1-5'],
      },
    },
  },
  { what: 'no selector', spec: {}, refusal: /selector/ },
  { what: 'an empty selector', spec: { selector: {} }, refusal: /at least one label/ },
  {
    what: 'empty labels',
    spec: { selector: { matchLabels: {} } },
    refusal: /at least one label/,
  },
  {
    what: 'In without values',
    spec: { selector: { matchExpressions: [{ key: 'app', operator: 'In' }] } },
    refusal: /In and NotIn need values/,
  },
  { what: 'an unknown field', spec: { selector, trigers: {} }, refusal: /unknown field/ },
  {
    what: 'a source without its settings',
    spec: { selector, metrics: { source: 'scrape' } },
    refusal: /source scrape needs scrape/,
  },
  {
    what: 'a threshold without a limit',
    spec: { selector, triggers: { gcStorm: [{ metric: 'fullGcCount' }] } },
    refusal: /takes above/,
  },
  {
    what: 'a threshold that is re-armed beyond its limit',
    spec: {
      selector,
      triggers: { gcStorm: [{ metric: 'fullGcCount', above: 3, rearm: 9 }] },
    },
    refusal: /rearm/,
  },
  {
    what: 'an absurd number',
    spec: { selector, limits: { cooldownSeconds: 1e12 } },
    refusal: /cooldownSeconds/,
  },
  {
    what: 'the same evidence twice',
    spec: { selector, evidence: ['threads', 'threads'] },
    refusal: /Duplicate/,
  },
  {
    what: 'a schedule of four fields',
    spec: { selector, triggers: { schedules: ['* * * *'] } },
    refusal: /schedules/,
  },
];

describe('the API server', () => {
  it.each(samples)('takes or refuses a JvmMonitor with $what', async ({ spec, refusal }) => {
    const metadata = { name: 'sample', namespace: environment.namespace };
    const object = { apiVersion: 'heapcatch.dev/v1alpha1', kind: 'JvmMonitor', metadata, spec };
    const applied = environment.kubectl.run(
      ['create', '--dry-run=server', '--validate=strict', '-o', 'json', '-f', '-'],
      { input: JSON.stringify(object) },
    );

    if (refusal !== undefined) await expect(applied).rejects.toThrow(refusal);
    else {
      expect(JSON.parse(await applied)).toMatchObject({
        spec: { enabled: true, priority: 0, limits: { cooldownSeconds: 600 } },
      });
    }
  });
});
