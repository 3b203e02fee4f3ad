import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { clusterKubeconfig } from '../../test/e2e/cluster.ts';
import { metricOf, type Metric } from '../report.ts';
import { repeatCount, say, wholeNumber } from '../settings.ts';
import { MadeUpNamespace } from './made-up-namespace.ts';
import type { Taken } from './worker.ts';

type Side = 'forwarder' | 'informer';

const worker = join(import.meta.dirname, 'worker.ts');
/** For one side: the list, and every change made and seen. */
const sideTimeoutMilliseconds = 120_000;

/**
 * What the forwarder's watch of pods takes, against the client library's informer: both list the same made-up pods of a real API
 * server and then follow the same number of status changes, in turn, each in a fresh process.
 */
export async function benchWatch(): Promise<readonly Metric[]> {
  const podCount = wholeNumber('HEAPCATCH_BENCH_PODS', 5_000, 1, 20_000);
  const changeCount = wholeNumber('HEAPCATCH_BENCH_CHANGES', 2_000, 1, 100_000);
  const repeats = repeatCount();
  const file = await clusterKubeconfig();
  const namespace = new MadeUpNamespace(
    { file, text: readFileSync(file, 'utf8') },
    `heapcatch-bench-${randomBytes(3).toString('hex')}`,
    podCount,
  );
  const side = (name: Side): Promise<Taken> => follow(name, file, namespace, changeCount);
  try {
    say(`making ${podCount} pods up in namespace ${namespace.name}`);
    await namespace.create();
    const pairs: { forwarder: Taken; informer: Taken }[] = [];
    for (let repeat = 0; repeat < repeats; repeat += 1) {
      const pair = { forwarder: await side('forwarder'), informer: await side('informer') };
      say(JSON.stringify({ repeat, ...pair }));
      for (const { listed } of Object.values(pair)) {
        if (listed !== podCount) throw new Error(`${listed} of ${podCount} pods were listed`);
      }
      pairs.push(pair);
    }
    const metric = (name: string, figure: (taken: Taken) => number): Metric =>
      metricOf(
        name,
        pairs.map((pair) => ({ ours: figure(pair.forwarder), reference: figure(pair.informer) })),
      );
    return [
      metric('watch/cpu', ({ cpuSeconds }) => cpuSeconds),
      metric('watch/memory', ({ liveBytes }) => liveBytes / 2 ** 20),
      metric('watch/resident', ({ residentBytes }) => residentBytes / 2 ** 20),
    ];
  } finally {
    await namespace.delete();
  }
}

/** Runs one side to its end; the changes begin once it has its list. */
async function follow(
  side: Side,
  kubeconfig: string,
  namespace: MadeUpNamespace,
  changeCount: number,
): Promise<Taken> {
  const child = spawn(
    process.execPath,
    ['--expose-gc', worker, side, kubeconfig, namespace.name, String(changeCount)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: sideTimeoutMilliseconds,
      killSignal: 'SIGKILL',
    },
  );
  const exited = once(child, 'exit');
  let last = '';
  let lineCount = 0;
  for await (const line of createInterface(child.stdout)) {
    lineCount += 1;
    last = line;
    if (lineCount === 1) await namespace.change(changeCount);
  }
  await exited;
  if (lineCount !== 2) throw new Error(`${side} ended before it had seen every change`);
  return JSON.parse(last) as Taken;
}
