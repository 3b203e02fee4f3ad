import { setTimeout as sleep } from 'node:timers/promises';
import type { ObjectStore } from '../../capture/ports.ts';
import type { ClaimStore } from '../../claim/claim-store.ts';
import { indexPrefix } from '../../dump-index/object-keys.ts';
import { parseIndexEntry, type IndexEntry } from '../../dump-index/index-entry.ts';
import { CaptureError } from '../../errors.ts';
import { createWatchSource } from '../../kubernetes/watch-source.ts';
import type { PodFacts } from '../../policy/pod-facts.ts';
import type { LocalCluster } from '../cluster/local-cluster.ts';
import { observeCluster } from './observe.ts';
import type { Timeline } from './timeline.ts';
import { agentNamespace, applicationPort, demoNamespace } from './workloads.ts';

export interface DemoCapture {
  entry: IndexEntry;
  entryKey: string;
  victim: string;
}

interface FollowOptions {
  cluster: LocalCluster;
  clusterName: string;
  timeline: Timeline;
  objects: ObjectStore;
  claims: ClaimStore;
  stop: AbortSignal;
}

const readySeconds = 60;
const captureSeconds = 90;
/** Between two looks at what has no event to await: the agent's log, the bucket. */
const lookMillis = 100;

/** Waits for three ready replicas, makes one of them leak, and follows it to its index entry and its restart. */
export async function followCapture(options: FollowOptions): Promise<DemoCapture> {
  const { cluster, clusterName, timeline, stop } = options;
  const source = createWatchSource({ kubeconfig: cluster.kubeconfig, clusterName });
  const victim = await until('three ready replicas', readySeconds, stop, async () => {
    const { items } = await source.listPods(demoNamespace);
    return items.length === 3 && items.every((pod) => pod.ready) ? items[0] : undefined;
  });
  const ended = new AbortController();
  const restarted: { pod?: PodFacts } = {};
  const onRestart = (pod: PodFacts): void => {
    if (pod.podName !== victim.podName) return;
    restarted.pod = pod;
    timeline.say('restarted', pod.podName);
  };
  const watching = observeCluster(source, timeline, onRestart, ended.signal);
  try {
    await fetch(`http://${victim.podIP ?? ''}:${applicationPort}/leak?48`);
    timeline.say('leak', `${victim.podName} begins to leak 48 MiB a second; its heap is 96 MiB`);
    const found = await until(
      'an index entry and a restarted pod',
      captureSeconds,
      stop,
      async () => {
        await tellAgentsSteps(options);
        const indexed = await newestEntry(options.objects, victim.podUid);
        return indexed !== undefined && restarted.pod !== undefined ? indexed : undefined;
      },
    );
    return { ...found, victim: victim.podName };
  } finally {
    timeline.end();
    ended.abort();
    await watching.catch(() => undefined);
  }
}

async function newestEntry(
  objects: ObjectStore,
  podUid: string,
): Promise<{ entry: IndexEntry; entryKey: string } | undefined> {
  for (const { objectKey } of await objects.listObjects(indexPrefix, { limit: 10 })) {
    const body = await objects.getObject(objectKey, { maxBytes: 1 << 20 });
    if (body === undefined) continue;
    const entry = parseIndexEntry(JSON.parse(Buffer.from(body).toString('utf8')));
    if (entry.where.podUid === podUid) return { entry, entryKey: objectKey };
  }
  return undefined;
}

const stepOfMessage: Readonly<Record<string, 'evidence' | 'first byte' | 'last byte' | 'durable'>> =
  {
    'evidence stored': 'evidence',
    'dump begun': 'first byte',
    'dump followed': 'last byte',
    'dump stored': 'durable',
  };

/** The agent's log lines, as they come; the claim by the record that it has written. */
async function tellAgentsSteps({ cluster, timeline, claims }: FollowOptions): Promise<void> {
  const log = await cluster.readLog(agentNamespace, 'heapcatch-agent', 'agent').catch(() => '');
  for (const line of log.split('\n')) {
    if (!line.startsWith('{')) continue;
    const said = JSON.parse(line) as { time: string; message: string; captureId?: string } & Record<
      string,
      unknown
    >;
    if (
      said.message === 'capture accepted' &&
      said.captureId !== undefined &&
      !timeline.has('claim')
    ) {
      const record = await claims.readCapture(said.captureId);
      if (record !== undefined) {
        const text = `${record.workload.kind} ${record.workload.name}, fencing token ${record.fencingToken}, capture ${record.captureId}`;
        timeline.say('claim', text, new Date(record.acquireTime));
      }
    }
    const step = stepOfMessage[said.message];
    if (step !== undefined) timeline.say(step, textOf(said), new Date(said.time));
  }
}

const shownFields = ['artifact', 'bytes', 'fileBytes', 'rawBytes', 'compressedBytes', 'partCount'];

function textOf(said: Readonly<Record<string, unknown>>): string {
  return shownFields
    .filter((field) => said[field] !== undefined)
    .map((field) => `${field} ${String(said[field])}`)
    .join(', ');
}

async function until<T>(
  what: string,
  seconds: number,
  stop: AbortSignal,
  look: () => Promise<T | undefined>,
): Promise<T> {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    stop.throwIfAborted();
    const seen = await look();
    if (seen !== undefined) return seen;
    await sleep(lookMillis);
  }
  throw new CaptureError('DeadlineExceeded', `${what}: not within ${seconds} s`);
}
