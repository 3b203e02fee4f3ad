import { rmSync } from 'node:fs';
import { heapDumpPauses } from '../test/e2e/pauses.ts';
import { eventually } from '../test/e2e/shell.ts';
import { runAgent } from './agent-run.ts';
import { Lab, type BenchJvm } from './lab.ts';
import { metricOf, type Metric } from './report.ts';
import { benchJdks, heapMebibytes, repeatCount, say } from './settings.ts';

type Orders = { mayWait?: boolean; skipMerge?: boolean };
type Pair = Record<'ours' | 'reference', number>;

/** `free`: what an alert or a person asks for; the other one is what is done when a kill is near. */
const pauseOrders: readonly (readonly [string, Orders])[] = [
  ['free', { mayWait: true }],
  ['kill-expected', {}],
];
const stallOrders: readonly (readonly [string, Orders])[] = [
  ['', { mayWait: true }],
  ['-kill-expected', {}],
  ['-skip-merge', { mayWait: true, skipMerge: true }],
];

/**
 * How long the application stands still for a dump: by the JVM's own safepoint log on each JDK, and on JDK 25 by what
 * an allocating thread of the application feels, which also waits for the merge of the segments.
 */
export function benchPause(): Promise<readonly Metric[]> {
  return Lab.use(async (lab) => {
    const metrics: Metric[] = [];
    for (const jdk of benchJdks()) {
      const jvm = await lab.startJvm(jdk, 'objects', heapMebibytes(), {
        jvmOptions: ['-Xlog:safepoint:stdout:utctime'],
      });
      for (const [name, orders] of pauseOrders) {
        const pairs = await pairsOf(lab, jvm, orders, pauseOf);
        metrics.push(metricOf(`pause/jcmd-${jdk.major}-${name}`, pairs));
      }
      await jvm.kill();
    }
    for (const jdk of benchJdks([25])) {
      const jvm = await lab.startJvm(jdk, 'objects', heapMebibytes(), { allocating: true });
      for (const [name, orders] of stallOrders) {
        const pairs = await pairsOf(lab, jvm, orders, stallOf);
        metrics.push(metricOf(`stall/jcmd-${jdk.major}${name}`, pairs));
      }
      await jvm.kill();
    }
    return metrics;
  });
}

/** Both ways in turn on one JVM; the first pair is not counted. */
async function pairsOf(
  lab: Lab,
  jvm: BenchJvm,
  orders: Orders,
  measure: (jvm: BenchJvm, dump: () => Promise<void>) => Promise<number>,
): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (let repeat = 0; repeat <= repeatCount(); repeat += 1) {
    const ours = await measure(jvm, async () => {
      await runAgent(lab, jvm, undefined, orders);
    });
    const reference = await measure(jvm, () => {
      rmSync(lab.jcmdDump(jvm), { force: true });
      return Promise.resolve();
    });
    say(JSON.stringify({ jdk: jvm.jdk.major, ...orders, repeat, ours, reference }));
    if (repeat > 0) pairs.push({ ours, reference });
  }
  return pairs;
}

/** Seconds of the safepoints of the dump. */
async function pauseOf(jvm: BenchJvm, dump: () => Promise<void>): Promise<number> {
  const before = heapDumpPauses(jvm.output()).length;
  await dump();
  const pauses = await eventually('the pause in the safepoint log', 20, () => {
    const found = heapDumpPauses(jvm.output()).slice(before);
    return Promise.resolve(found.length > 0 ? found : undefined);
  });
  return pauses.reduce((sum, pause) => sum + pause.endMillis - pause.startMillis, 0) / 1_000;
}

/** Seconds in which the allocating thread could not, as far as one time in a row had 20 ms. */
async function stallOf(jvm: BenchJvm, dump: () => Promise<void>): Promise<number> {
  const before = jvm.output().length;
  await dump();
  // A stall is printed when it is over, through a pipe.
  const line = /^stall \d+ (\d+)$/gm;
  await eventually('a stall', 20, () =>
    Promise.resolve(jvm.output().slice(before).includes('stall') ? true : undefined),
  );
  await new Promise((resolve) => setTimeout(resolve, 200));
  const stalls = [...jvm.output().slice(before).matchAll(line)];
  return stalls.reduce((sum, [, millis]) => sum + Number(millis), 0) / 1_000;
}
