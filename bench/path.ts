import { createReadStream, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { IndexEntry } from '../lib/dump-index/index-entry.ts';
import { type Environment, javaImage, startEnvironment } from '../test/e2e/environment.ts';
import { heapDumpPauses } from '../test/e2e/pauses.ts';
import { eventually, run } from '../test/e2e/shell.ts';
import { victim, type VictimOptions } from '../test/e2e/victim.ts';
import { metricOf, type Metric } from './report.ts';

const repeats = 5;
/** Live heap: the local S3 keeps objects in memory, so that larger ones would measure the stand-in. */
const fillMebibytes = 200;

export interface Times {
  /** From the signal to the start of the pause in which the JVM writes the dump. */
  firstByteSeconds: number;
  /** From the signal until S3 has acknowledged everything. */
  durableSeconds: number;
  pauseSeconds: number;
}

/**
 * The whole path, from signal to durable, with the node agent, against what people type: kubectl exec, jcmd,
 * gzip -1 and one PUT. Both on the same cluster, bucket and kind of pod, in turn, a fresh pod each time.
 */
export async function benchPath(): Promise<readonly Metric[]> {
  const environment = await startEnvironment({ jdks: [17] });
  try {
    await environment.installNodeAgent();
    const pairs: { ours: Times; reference: Times }[] = [];
    // The first pair warms functions and page cache and is not counted.
    for (let repeat = 0; repeat <= repeats; repeat += 1) {
      const ours = await withPod(environment, `ours-${repeat}`, capture);
      const reference = await withPod(environment, `reference-${repeat}`, byHand);
      process.stderr.write(`${JSON.stringify({ repeat, ours, reference })}\n`);
      if (repeat > 0) pairs.push({ ours, reference });
    }
    const metric = (name: string, field: keyof Times): Metric =>
      metricOf(
        name,
        pairs.map((pair) => ({ ours: pair.ours[field], reference: pair.reference[field] })),
      );
    return [
      metric('path/first-byte', 'firstByteSeconds'),
      metric('path/durable', 'durableSeconds'),
      metric('path/pause', 'pauseSeconds'),
    ];
  } finally {
    await environment.close();
  }
}

export type Way = (
  environment: Environment,
  name: string,
  podName: string,
) => Promise<[number, number]>;

/** Runs one way on a fresh pod; the way answers when it was asked and when all was durable, epoch milliseconds. */
export async function withPod(
  environment: Environment,
  name: string,
  way: Way,
  more: Partial<VictimOptions> = {},
): Promise<Times> {
  const { kubectl, namespace } = environment;
  await kubectl.apply(
    victim({
      name,
      namespace,
      image: javaImage(17),
      heapMebibytes: 320,
      env: { FILL_MIB: String(fillMebibytes) },
      jvmOptions: ['-Xlog:safepoint:stdout:utctime'],
      ...more,
    }),
  );
  try {
    const [pod] = await environment.readyPods(name, 1);
    if (pod === undefined) throw new Error(`${name} has no pod`);
    const [askedMillis, durableMillis] = await way(environment, name, pod.metadata.name);
    const pause = await eventually(`pause of ${name} in its log`, 20, async () =>
      heapDumpPauses(
        await kubectl.run(['logs', pod.metadata.name, '-n', namespace, '-c', 'app']),
      ).at(0),
    );
    return {
      firstByteSeconds: (pause.startMillis - askedMillis) / 1000,
      durableSeconds: (durableMillis - askedMillis) / 1000,
      pauseSeconds: (pause.endMillis - pause.startMillis) / 1000,
    };
  } finally {
    await kubectl.run(['delete', 'deployment', name, '-n', namespace, '--wait=false']);
    await kubectl.run(
      ['delete', 'pods', '-n', namespace, '-l', `app=${name}`, '--force', '--grace-period=0'],
      { timeoutSeconds: 60 },
    );
  }
}

/** Ours: from the invocation of the capture function to the manifest's durable time. */
export async function capture(
  environment: Environment,
  name: string,
  podName: string,
): Promise<[number, number]> {
  const askedMillis = Date.now();
  await environment.invoke('capture', { namespace: environment.namespace, pod: podName });
  const entry: IndexEntry = await environment.entryOf(name, 120);
  if (entry.state !== 'complete' || entry.when.durableTime === undefined) {
    throw new Error(`${name}: ${entry.state}, ${entry.reason ?? 'no reason'}`);
  }
  return [askedMillis, Date.parse(entry.when.durableTime)];
}

/** Theirs: jcmd in the pod, gzip in the pod, the stream through exec to a file, one PUT of it. */
export async function byHand(
  environment: Environment,
  name: string,
  podName: string,
): Promise<[number, number]> {
  const { kubectl, namespace } = environment;
  const folder = await mkdtemp(path.join(tmpdir(), 'heapcatch-bench-'));
  const file = path.join(folder, 'heap.hprof.gz');
  try {
    const url = await environment.objects.presignPut(`by-hand/${name}.hprof.gz`, 600);
    const exec = ['exec', podName, '-n', namespace, '-c', 'app', '--'];
    const askedMillis = Date.now();
    await kubectl.run(
      [...exec, '/opt/java/bin/jcmd', '1', 'GC.heap_dump', '-all', '/tmp/h.hprof'],
      {
        timeoutSeconds: 120,
      },
    );
    const shell = `kubectl --kubeconfig "$0" ${exec.join(' ')} gzip -1 -c /tmp/h.hprof > "$1"`;
    await run('sh', ['-c', shell, kubectl.kubeconfig, file], { timeoutSeconds: 300 });
    await put(url, file);
    return [askedMillis, Date.now()];
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function put(url: string, file: string): Promise<void> {
  const status = await new Promise<number>((resolve, reject) => {
    const upload = request(
      url,
      { method: 'PUT', timeout: 120_000, headers: { 'content-length': statSync(file).size } },
      (reply) => {
        reply.resume();
        reply.once('end', () => resolve(reply.statusCode ?? 0));
      },
    );
    upload.once('error', reject);
    createReadStream(file).pipe(upload);
  });
  if (status !== 200) throw new Error(`PUT of ${file} ended with ${status}`);
}
