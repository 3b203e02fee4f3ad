import { openCaptures, type OpenCapture } from './open-captures.ts';
import { workloadWords, dumpWords } from '../captures/entry-text.ts';
import type { IndexedCapture } from '../captures/index-reader.ts';
import { jsonOption, OptionReader, runShaped } from '../command-line.ts';
import { placeOptions, placeUsage } from '../place.ts';
import { processIo, type CliIo } from '../process-io.ts';
import { durationOf } from '../quantities.ts';
import { jsonText, lineText } from '../terminal-text.ts';
import { SealedCaptures } from './sealed-captures.ts';

export const usage = `heapcatch watch [OPTIONS]

Follows captures, from now on, until interrupted: one line when one starts, when it is further (each tenth of the heap dump),
and when it is sealed.

  -n, --namespace NAME   of this namespace
  --workload NAME        of this workload: cart, or Deployment/cart
  --cluster NAME         of this cluster
  --every TIME           how often it looks; 5s unless told, 1s to 10m
  --json                 one JSON object a line
${placeUsage}

Needs s3:ListBucket and s3:GetObject on index/ and dumps/; to see captures before they are sealed dynamodb:Query on the
claim table's index open-captures, and a stack in place of a bucket. Without these it shows what is sealed, and says so.

Exit codes: 2 not understood or not possible; 130 interrupted, which is how it ends.
`;

const options = {
  ...placeOptions,
  ...jsonOption,
  namespace: { type: 'string', short: 'n' },
  workload: { type: 'string' },
  cluster: { type: 'string' },
  every: { type: 'string' },
} as const;
const shape = { name: 'watch', usage, options };

const defaultEverySeconds = 5;

/** `heapcatch watch`, on the process's own streams and the account of its environment. */
export function runWatchCommand(words: readonly string[]): Promise<number> {
  return watch(words, processIo());
}

export function watch(words: readonly string[], outside: CliIo): Promise<number> {
  return runShaped(shape, words, outside, async (io, values) => {
    const reader = new OptionReader(values);
    const seconds =
      reader.read('every', 'a time from 1s to 10m', (text) => durationOf(text, 1, 600)) ??
      defaultEverySeconds;
    reader.check();
    const place = await io.openPlace(values);
    const sealed = await SealedCaptures.fromNow(place.objects);
    const open = openCaptures(place, (note) => io.writeError(`heapcatch watch: ${note}\n`));
    for (;;) {
      for (const told of await open.look(io.now())) tellOpen(io, values, told);
      for (const one of await sealed.look()) tellSealed(io, values, one);
      await io.pause(seconds * 1_000);
    }
  });
}

interface Wanted {
  readonly namespace?: string | undefined;
  readonly workload?: string | undefined;
  readonly cluster?: string | undefined;
  readonly json?: boolean | undefined;
}

interface Where {
  readonly clusterName: string;
  readonly namespace: string;
  readonly podName: string;
  readonly workload: { readonly kind: string; readonly name: string };
}

function isWanted({ namespace, workload, cluster }: Wanted, where: Where): boolean {
  const { kind, name } = where.workload;
  return (
    (namespace === undefined || where.namespace === namespace) &&
    (workload === undefined || [name, `${kind}/${name}`].includes(workload)) &&
    (cluster === undefined || where.clusterName === cluster)
  );
}

function tellOpen(io: CliIo, wanted: Wanted, { record, step, words }: OpenCapture): void {
  if (!isWanted(wanted, record)) return;
  const { captureId, clusterName, namespace, podName, workload, signal, started } = record;
  const { reason } = signal;
  if (wanted.json === true) {
    const where = { clusterName, namespace, workload, podName };
    const what = step === 'started' ? { signalReason: reason, rung: started?.rung } : { words };
    io.write(`${jsonText({ time: io.now(), event: step, captureId, where, ...what })}\n`);
    return;
  }
  const place = `${clusterName}/${namespace} ${workload.kind}/${workload.name} ${podName}`;
  const what = step === 'started' ? `${place}: ${reason}, ${started?.rung ?? ''}` : (words ?? '');
  writeLine(io, step, captureId, what);
}

function tellSealed(io: CliIo, wanted: Wanted, one: IndexedCapture): void {
  const { captureId, objectKey, entry } = one;
  if (entry !== undefined && !isWanted(wanted, entry.where)) return;
  if (wanted.json === true) {
    const what = entry === undefined ? { fault: one.fault } : { entry };
    io.write(`${jsonText({ time: io.now(), event: 'sealed', captureId, objectKey, ...what })}\n`);
    return;
  }
  if (entry === undefined) writeLine(io, 'sealed', captureId, `unreadable: ${one.fault}`);
  else {
    const { clusterName, namespace, podName } = entry.where;
    const place = `${clusterName}/${namespace} ${workloadWords(entry)} ${podName}`;
    writeLine(io, 'sealed', captureId, `${place}: ${entry.state}, ${dumpWords(entry)}`);
  }
}

function writeLine(io: CliIo, step: string, captureId: string, what: string): void {
  const time = `${io.now().toISOString().slice(11, 19)}Z`;
  io.write(`${lineText(`${time}  ${step.padEnd(8)}  ${captureId}  ${what}`)}\n`);
}
