import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { buildBase, buildImage } from './cluster.ts';
import { jmxExporterJar } from './prometheus.ts';
import { victim, type VictimOptions } from './victim.ts';

const exporterImage = 'heapcatch-e2e-jmx-exporter:1.0.1';
/** Where a pod with the exporter shows its metrics. */
export const metricsPort = 9404;

/** The JMX exporter as an image from which an init container copies it, as docs/ways/alertmanager.md shows. */
export async function buildExporterImage(folder: string): Promise<void> {
  const root = await buildBase(path.join(folder, 'exporter'));
  mkdirSync(path.join(root, 'exporter'));
  copyFileSync(await jmxExporterJar(), path.join(root, 'exporter/agent.jar'));
  writeFileSync(path.join(root, 'exporter/config.yaml'), 'rules: []\n');
  await buildImage(exporterImage, root);
  rmSync(root, { recursive: true });
}

interface Workload {
  spec: {
    template: { spec: { initContainers?: unknown[]; containers: { ports: unknown[] }[] } };
  };
}

/** A leaking JVM that shows its metrics by the JMX exporter. */
export function victimWithMetrics(options: VictimOptions): unknown {
  const agent = `-javaagent:/tmp/exporter/agent.jar=${metricsPort}:/tmp/exporter/config.yaml`;
  const jvmOptions = [...(options.jvmOptions ?? []), agent];
  const workload = victim({ ...options, jvmOptions }) as Workload;
  const { spec } = workload.spec.template;
  spec.containers[0]!.ports.push({ name: 'metrics', containerPort: metricsPort });
  spec.initContainers = [
    {
      name: 'jmx-exporter',
      image: exporterImage,
      imagePullPolicy: 'Never',
      command: ['cp', '-r', '/exporter', '/tmp/exporter'],
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
    },
  ];
  return workload;
}
