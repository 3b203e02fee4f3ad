import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseAlertmanagerBody } from '../../lib/signal/from-alertmanager.ts';
import type { Pod } from './cluster.ts';
import { type Environment, javaImage, startEnvironment } from './environment.ts';
import { buildExporterImage, metricsPort, victimWithMetrics } from './jmx-exporter.ts';
import { monitoringPrograms, type Programs, type Service, startService } from './prometheus.ts';
import { eventually, run } from './shell.ts';
import { victimPort } from './victim.ts';
import { expectWholeDump } from './whole-dump.ts';

const monitoring = path.resolve(import.meta.dirname, '../../infra/monitoring');
const name = 'leaking';
const token = randomBytes(24).toString('hex');
const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-alerts-'));
const services: Service[] = [];
let environment: Environment;
let programs: Programs;
let webhook: string;

beforeAll(async () => {
  [programs, environment] = await Promise.all([
    monitoringPrograms(),
    startEnvironment({ jdks: [17] }),
  ]);
  await buildExporterImage(folder);
  await acceptAlerts();
}, 600_000);
afterAll(async () => {
  for (const service of services) await service.close();
  await (environment as Environment | undefined)?.close();
  rmSync(folder, { recursive: true, force: true });
}, 240_000);

/** Creates the Secret, and has the forwarder see it at once. */
async function acceptAlerts(): Promise<void> {
  const { kubectl } = environment;
  await kubectl.apply({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'heapcatch-alerts', namespace: 'heapcatch' },
    stringData: { token },
  });
  const deployment = ['deployment/heapcatch-forwarder', '-n', 'heapcatch'];
  await kubectl.run(['rollout', 'restart', ...deployment]);
  await kubectl.run(['rollout', 'status', ...deployment, '--timeout=90s'], { timeoutSeconds: 100 });
  const service = await kubectl.json<{ spec: { clusterIP: string } }>([
    ...['get', 'service', 'heapcatch-forwarder', '-n', 'heapcatch'],
  ]);
  webhook = `http://${service.spec.clusterIP}:8081/v1/alerts`;
}

/** A leaking JVM that shows its metrics, and whose probe is not to kill it. */
function leakingJvm(): unknown {
  return victimWithMetrics({
    name,
    namespace: environment.namespace,
    image: javaImage(17),
    env: { MARKER: 'marker of leaking' },
    annotations: { 'heapcatch.dev/liveness-failures': '100' },
    probe: { periodSeconds: 10, failureThreshold: 60 },
    jvmOptions: ['-XX:+UseSerialGC'],
  });
}

/** A file of infra/monitoring with what is different in this test; fails where it no longer says what is replaced. */
function monitoringFile(
  file: string,
  replacements: readonly (readonly [RegExp, string])[],
): string {
  let text = readFileSync(path.join(monitoring, file), 'utf8');
  for (const [pattern, replacement] of replacements) {
    if (!pattern.test(text)) throw new Error(`${file} does not hold ${String(pattern)}`);
    text = text.replace(pattern, replacement);
  }
  const copy = path.join(folder, path.basename(file));
  writeFileSync(copy, text);
  return copy;
}

/** What service discovery would say of the pod: Debian's Prometheus is built without that of Kubernetes. */
function discovered(pod: Pod): unknown {
  return {
    targets: [`${pod.status.podIP ?? ''}:${metricsPort}`],
    labels: {
      __meta_kubernetes_namespace: environment.namespace,
      __meta_kubernetes_pod_name: pod.metadata.name,
      __meta_kubernetes_pod_container_name: 'app',
      __meta_kubernetes_pod_container_port_name: 'metrics',
    },
  };
}

async function startMonitoring(pod: Pod): Promise<void> {
  writeFileSync(path.join(folder, 'token'), token);
  const alertmanagerConfig = monitoringFile('alertmanager.yaml', [
    [/url: .*/, `url: ${webhook}`],
    [/credentials_file: [^ }]*/, `credentials_file: ${path.join(folder, 'token')}`],
  ]);
  const alertmanager = await startService(programs.alertmanager, folder, (address) => [
    `--config.file=${alertmanagerConfig}`,
    `--web.listen-address=${address}`,
    `--storage.path=${path.join(folder, 'alertmanager')}`,
    '--cluster.listen-address=',
  ]);
  services.push(alertmanager);
  // What is held for minutes in the field is held for seconds here.
  const rules = monitoringFile('rules/jmx-exporter.yaml', [[/for: \d+m/g, 'for: 2s']]);
  const scrape = monitoringFile('scrape.yaml', [
    [
      /kubernetes_sd_configs: \[\{ role: pod \}\]/,
      `static_configs: [${JSON.stringify(discovered(pod))}]`,
    ],
    [/ {2}- job_name: heapcatch[^]*/, ''],
  ]);
  const config = path.join(folder, 'prometheus.yml');
  writeFileSync(
    config,
    `global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [${rules}]
alerting: { alertmanagers: [{ static_configs: [{ targets: ['${new URL(alertmanager.url).host}'] }] }] }
${readFileSync(scrape, 'utf8')}`,
  );
  services.push(
    await startService(programs.prometheus, folder, (address) => [
      `--config.file=${config}`,
      `--web.listen-address=${address}`,
      `--storage.tsdb.path=${path.join(folder, 'tsdb')}`,
    ]),
  );
}

async function post(body: unknown, bearer: string): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(webhook, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}` },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
}

describe('the files of infra/monitoring', () => {
  it('are accepted by promtool and amtool, and the rules fire when they should', async () => {
    const rules = globSync('rules/*.yaml', { cwd: monitoring });
    await run(programs.promtool, [
      'check',
      'rules',
      ...rules.map((file) => path.join(monitoring, file)),
    ]);
    await run(programs.promtool, ['test', 'rules', path.join(monitoring, 'rules-test.yaml')]);
    await run(programs.promtool, [
      'check',
      'config',
      monitoringFile('scrape.yaml', [[/kubernetes_sd_configs: .*/g, 'static_configs: []']]),
    ]);
    await run(programs.amtool, ['check-config', path.join(monitoring, 'alertmanager.yaml')]);

    expect(rules.length).toBeGreaterThanOrEqual(4);
  }, 60_000);
});

describe('the template for Amazon Managed Prometheus', () => {
  it('renders what is understood, whatever labels hold', async () => {
    const page = readFileSync(path.join(monitoring, '../../docs/ways/alertmanager.md'), 'utf8');
    const [template] = /\{\{ define "sns.heapcatch.message" .*/.exec(page) ?? [];
    const templateFile = path.join(folder, 'sns.tmpl');
    writeFileSync(templateFile, template ?? '');
    const labels = {
      alertname: 'Heap',
      namespace: 'shop',
      pod: 'cart-1',
      text: 'a"b\n - pod = other',
    };
    const data = path.join(folder, 'data.json');
    const alert = {
      status: 'firing',
      labels,
      startsAt: '2026-03-01T09:58:00.5Z',
      fingerprint: 'ab',
    };
    writeFileSync(data, JSON.stringify({ receiver: 'r', status: 'firing', alerts: [alert] }));

    const rendered = await run(programs.amtool, [
      ...['template', 'render', `--template.glob=${templateFile}`, `--template.data=${data}`],
      '--template.text={{ template "sns.heapcatch.message" . }}',
    ]);

    const { readings } = parseAlertmanagerBody(JSON.parse(rendered));
    expect(readings).toMatchObject([
      { alert: { firing: true, startsTime: '2026-03-01T09:58:00.500Z', identity: 'ab' } },
    ]);
    const [reading] = readings;
    expect(reading && 'alert' in reading ? Object.fromEntries(reading.alert.labels) : {}).toEqual(
      labels,
    );
  });
});

describe('alerts', () => {
  it('of the JMX exporter’s metrics have the heap saved, by way of Prometheus and Alertmanager', async () => {
    await environment.kubectl.apply(leakingJvm());
    const [pod] = await environment.readyPods(name, 1);
    await startMonitoring(pod!);

    await environment.kubectl.getFromPod(
      ...([environment.namespace, pod!.metadata.name, victimPort, '/leak?20'] as const),
    );
    const entry = await environment.entryOf(name, 150);

    expect(entry).toMatchObject({
      state: 'complete',
      where: { podUid: pod!.metadata.uid, containerName: 'app', workload: { name } },
      why: { signalReason: 'AlertFiring' },
    });
    await expectWholeDump(environment, entry, 'marker of leaking');
  }, 300_000);

  it('of a caller without the token are refused, and of other namespaces named', async () => {
    const alert = {
      status: 'firing',
      labels: { alertname: 'Forged', namespace: 'kube-system', pod: 'coredns' },
    };
    const body = { version: '4', receiver: 'r', status: 'firing', alerts: [alert] };

    expect(await post(body, `not-${token}`)).toMatchObject({ status: 401 });
    expect(await post(body, token)).toMatchObject({
      status: 200,
      body: { alerts: [{ outcome: 'refused', reason: 'NamespaceNotWatched' }] },
    });
  });

  it('of CloudWatch over SNS find the pod by its dimensions', async () => {
    const [pod] = await eventually('the pod', 30, async () => {
      const pods = await environment.pods(name);
      return pods.length > 0 ? pods : undefined;
    });
    const alarm = (podName: string): unknown => ({
      AlarmName: 'heap',
      NewStateValue: 'ALARM',
      StateChangeTime: new Date().toISOString().replace('Z', '+0000'),
      Trigger: {
        MetricName: 'pod_memory_utilization_over_pod_limit',
        Dimensions: [
          { name: 'FullPodName', value: podName },
          { name: 'PodName', value: name },
          { name: 'Namespace', value: environment.namespace },
        ],
      },
    });
    const records = [alarm(pod!.metadata.name), alarm('no-such-pod')].map((message) => ({
      EventSource: 'aws:sns',
      Sns: { Type: 'Notification', Message: JSON.stringify(message) },
    }));

    const answer = await environment.invoke('capture', { Records: records });

    expect(answer).toMatchObject({
      answers: [
        // The pod is found, and its workload was dumped a moment ago.
        { decision: 'skip', reason: expect.stringMatching(/^(Cooldown|AlreadyCaptured)$/) },
        { decision: 'skip', reason: 'PodNotFound' },
      ],
    });
  }, 60_000);
});
