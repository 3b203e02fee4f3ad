import type { IndexEntry } from '../../dump-index/index-entry.ts';
import { captureOutcomes } from '../../claim/capture-record.ts';
import { listCaptures, type IndexedCapture, type IndexPage } from '../captures/index-reader.ts';
import { dumpWords, workloadWords } from '../captures/entry-text.ts';
import {
  exitCodes,
  jsonOption,
  OptionReader,
  runShaped,
  type Output,
  type ValuesOf,
} from '../command-line.ts';
import { placeOptions, placeUsage } from '../place.ts';
import { processIo, type CliIo } from '../process-io.ts';
import { countOf, durationOf } from '../quantities.ts';
import { tableText } from '../table.ts';
import { jsonText } from '../terminal-text.ts';

export const usage = `heapcatch list [OPTIONS]

Lists captures, newest first, as the index in the bucket has them.

  -n, --namespace NAME   of this namespace
  --workload NAME        of this workload: cart, or Deployment/cart
  --pod NAME             of this pod
  --cluster NAME         of this cluster
  --state STATE          complete, salvaged, evidence-only or failed
  --since TIME           acquired at that time or later: 2h, 7d, or 2026-01-31T12:00:00Z
  --until TIME           acquired at that time or earlier
  --limit N              so many captures, 1 to 1000; 20 unless told
  --after KEY            goes on behind this key, which the list before has named
  --json                 one JSON object: captures (index entries), next, readCount
${placeUsage}

At most 5,000 index entries are read for one list; it says where to go on. Needs s3:ListBucket and s3:GetObject on index/.

Exit codes: 0 listed, also when there is none; 2 not understood or not possible.
`;

const options = {
  ...placeOptions,
  ...jsonOption,
  namespace: { type: 'string', short: 'n' },
  workload: { type: 'string' },
  pod: { type: 'string' },
  cluster: { type: 'string' },
  state: { type: 'string' },
  since: { type: 'string' },
  until: { type: 'string' },
  limit: { type: 'string' },
  after: { type: 'string' },
} as const;
const shape = { name: 'list', usage, options };

const defaultLimit = 20;
const maxLimit = 1_000;
const maxReadCount = 5_000;
const maxAgoSeconds = 10 * 365 * 86_400;

/** `heapcatch list`, on the process's own streams and the account of its environment. */
export function runListCommand(words: readonly string[]): Promise<number> {
  return list(words, processIo());
}

export function list(words: readonly string[], outside: CliIo): Promise<number> {
  return runShaped(shape, words, outside, async (io, values) => {
    const { span, wanted, limit } = readFilter(values, io.now());
    const { objects } = await io.openPlace(values);
    const page = await listCaptures(objects, span, wanted, { limit, maxReadCount });
    if (values.json === true) io.write(`${jsonText(jsonPage(page))}\n`);
    else writePage(io, page);
    return exitCodes.done;
  });
}

type Values = ValuesOf<typeof options>;

function readFilter(values: Values, now: Date) {
  const reader = new OptionReader(values);
  const time = (text: string): Date | undefined => timeOf(text, now);
  const acceptedTime = 'a time ago such as 2h or 7d, or an RFC 3339 time';
  const since = reader.read('since', acceptedTime, time);
  const until = reader.read('until', acceptedTime, time);
  const state = reader.read('state', captureOutcomes.join(', '), (text) =>
    captureOutcomes.find((known) => known === text),
  );
  const limit = reader.read('limit', `a whole number from 1 to ${maxLimit}`, (text) => {
    const count = countOf(text);
    return count !== undefined && count <= maxLimit ? count : undefined;
  });
  const after = reader.read('after', 'the key of an index entry', (text) =>
    /^index\/[\w.-]{1,100}$/.test(text) ? text : undefined,
  );
  reader.check();
  const { namespace, workload, pod, cluster } = values;
  const wanted = (entry: IndexEntry): boolean => {
    const { where } = entry;
    return (
      (namespace === undefined || where.namespace === namespace) &&
      (workload === undefined || [where.workload.name, workloadWords(entry)].includes(workload)) &&
      (pod === undefined || where.podName === pod) &&
      (cluster === undefined || where.clusterName === cluster) &&
      (state === undefined || entry.state === state)
    );
  };
  return { span: { since, until, after }, wanted, limit: limit ?? defaultLimit };
}

function timeOf(text: string, now: Date): Date | undefined {
  const ago = durationOf(text, 0, maxAgoSeconds);
  if (ago !== undefined) return new Date(now.getTime() - ago * 1000);
  const isTime =
    /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/;
  const time = isTime.test(text) ? Date.parse(text) : Number.NaN;
  return time >= 0 ? new Date(time) : undefined;
}

function jsonPage({ captures, next, readCount }: IndexPage): Record<string, unknown> {
  return {
    schemaVersion: 1,
    kind: 'CaptureList',
    captures: captures.map((one) => ({
      objectKey: one.objectKey,
      ...(one.entry === undefined
        ? { captureId: one.captureId, fault: one.fault }
        : { entry: one.entry }),
    })),
    next,
    readCount,
  };
}

const head = [
  'CAPTURE',
  'TIME',
  'CLUSTER',
  'NAMESPACE',
  'WORKLOAD',
  'STATE',
  'REASON',
  'HEAP DUMP',
];

function writePage(io: Output, { captures, next, readCount }: IndexPage): void {
  if (captures.length > 0) io.write(tableText(head, captures.map(rowOf)));
  else io.writeError(`no such capture among ${readCount} of the index\n`);
  if (next !== undefined) io.writeError(`more: heapcatch list … --after ${next}\n`);
}

function rowOf(one: IndexedCapture): string[] {
  const time = `${one.acquireTime.toISOString().slice(0, 19)}Z`;
  const { entry } = one;
  if (entry === undefined) return [one.captureId, time, '-', '-', '-', 'unreadable', one.fault];
  const { where, why } = entry;
  return [
    one.captureId,
    time,
    where.clusterName,
    where.namespace,
    workloadWords(entry),
    entry.state,
    why.signalReason,
    dumpWords(entry),
  ];
}
