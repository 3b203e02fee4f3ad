import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Environment, startEnvironment } from '../../test/e2e/environment.ts';
import { metricOf, type Metric } from '../report.ts';
import { say, setting, wholeNumber } from '../settings.ts';
import { buildDistroless } from './distroless.ts';
import type { Verdict } from './judge.ts';
import { runWorkload, type Saver, type Stage } from './runner.ts';
import { waysNamed, type Way } from './ways.ts';

const metricNames: Readonly<Record<Saver, string>> = {
  heapcatch: 'saved-rate',
  prestop: 'saved-rate-prestop',
  'oome-flag': 'saved-rate-oome-flag',
};

/**
 * On the real cluster, for each way to die: the share of HEAPCATCH_BENCH_PODS (20) pods, HEAPCATCH_BENCH_BATCH (2, which a node agent accepts) at
 * once, whose dump is complete, parseable, with the application's marker, and indexed within 60 s of the kill; and the
 * same of HEAPCATCH_BENCH_BASELINE_PODS (as many) for the usual preStop script and for HeapDumpOnOutOfMemoryError.
 * HEAPCATCH_BENCH_WAYS names some ways; all unless told.
 */
export async function benchSavedRate(): Promise<readonly Metric[]> {
  const podCount = wholeNumber('HEAPCATCH_BENCH_PODS', 20, 1, 1_000);
  const baselinePodCount = wholeNumber('HEAPCATCH_BENCH_BASELINE_PODS', podCount, 1, 1_000);
  const batch = wholeNumber('HEAPCATCH_BENCH_BATCH', 2, 1, 20);
  const chosen = waysNamed(setting('HEAPCATCH_BENCH_WAYS', ''));
  const environment = await startEnvironment({ jdks: [17] });
  const nodeFolder = mkdtempSync(join(tmpdir(), 'heapcatch-saved-rate-'));
  chmodSync(nodeFolder, 0o755);
  const baselineNamespace = `${environment.namespace}-baseline`;
  try {
    await environment.kubectl.run(['create', 'namespace', baselineNamespace]);
    await environment.installNodeAgent();
    const distrolessImage = await buildDistroless(nodeFolder);
    const stage: Stage = { environment, baselineNamespace, nodeFolder, distrolessImage };
    const metrics: Metric[] = [];
    for (const way of chosen) {
      for (const saver of ['heapcatch', 'prestop', 'oome-flag'] as const) {
        const count = saver === 'heapcatch' ? podCount : baselinePodCount;
        metrics.push(await measure(stage, way, saver, { podCount: count, batch }));
      }
    }
    return metrics;
  } finally {
    await removeNamespace(environment, baselineNamespace);
    await environment.close();
    rmSync(nodeFolder, { recursive: true, force: true });
  }
}

async function measure(
  stage: Stage,
  way: Way,
  saver: Saver,
  size: { podCount: number; batch: number },
): Promise<Metric> {
  const verdicts: Verdict[] = [];
  const batchSize = way.alone === true ? 1 : size.batch;
  const perWorkload = way.victim?.replicas ?? 1;
  for (let number = 0; verdicts.length < size.podCount;) {
    const missing = Math.ceil((size.podCount - verdicts.length) / perWorkload);
    const count = Math.max(1, Math.min(missing, Math.floor(batchSize / perWorkload)));
    const batch = Array.from({ length: count }, (_, index) =>
      runWorkload(stage, way, saver, number + index),
    );
    number += count;
    const outcomes = (await Promise.all(batch)).flat();
    say(JSON.stringify({ way: way.name, saver, outcomes }));
    verdicts.push(...outcomes);
  }
  const ours = verdicts.filter((verdict) => verdict === 'saved').length;
  const name = `${metricNames[saver]}/${way.name}`;
  return { ...metricOf(name, [{ ours, reference: verdicts.length }]), repeats: verdicts.length };
}

async function removeNamespace(environment: Environment, name: string): Promise<void> {
  await environment.kubectl
    .run(['delete', 'namespace', name, '--ignore-not-found', '--timeout=120s'], {
      timeoutSeconds: 130,
    })
    .catch((error: unknown) => say(String(error)));
}
