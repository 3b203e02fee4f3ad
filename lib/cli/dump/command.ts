import type { IndexEntry } from '../../dump-index/index-entry.ts';
import { entryText } from '../captures/entry-text.ts';
import { followCapture, type RunningCapture } from '../captures/follow-capture.ts';
import { exitCodes, jsonOption, OptionReader, runShaped, type ValuesOf } from '../command-line.ts';
import { placeOptions, placeUsage, type Place } from '../place.ts';
import { processIo, type CliIo } from '../process-io.ts';
import { durationOf } from '../quantities.ts';
import { factsText } from '../table.ts';
import { jsonText } from '../terminal-text.ts';
import { readReply, type CaptureReply } from './capture-reply.ts';

export const usage = `heapcatch dump POD [-n NAMESPACE] [OPTIONS]

Asks the deployed function for a capture of a pod, as its policy allows, and says what was decided, what happens next and
where the result will be.

  POD                    its name; pod/NAME too
  -n, --namespace NAME   found where it is missing and only one pod of all registered clusters has that name
  --cluster NAME         as it is registered; found as well
  --context NAME         cluster and namespace of a context of your kubeconfig; as kubectl-heapcatch the current one
  -c, --container NAME   where the pod has several
  --dry-run              decide, claim and start nothing
  --wait                 follow it until it is sealed; also one of the same trouble that runs already
  --timeout TIME         how long to wait; 30m unless told, 24h at most
  --json                 one JSON object: answer, and with --wait the index entry
${placeUsage}

Needs lambda:InvokeFunction on the capture function, cloudformation:DescribeStacks, and for --wait s3:ListBucket and
s3:GetObject on index/ and dumps/.

Exit codes: 0 it is being captured, would be (--dry-run), or is complete (--wait); 1 it failed, or is not complete; 2 not
understood or not possible; 3 skipped, with the reason; 4 not sealed within the time; 130 interrupted, the capture goes on.
`;

const options = {
  ...placeOptions,
  ...jsonOption,
  namespace: { type: 'string', short: 'n' },
  cluster: { type: 'string' },
  context: { type: 'string' },
  container: { type: 'string', short: 'c' },
  'dry-run': { type: 'boolean' },
  wait: { type: 'boolean' },
  timeout: { type: 'string' },
} as const;
const shape = { name: 'dump', usage, options, operand: 'POD' };

const defaultTimeoutSeconds = 1_800;
const maxTimeoutSeconds = 86_400;

/** `heapcatch dump`, on the process's own streams and the account of its environment. */
export function runDumpCommand(words: readonly string[]): Promise<number> {
  return dump(words, processIo());
}

export function dump(words: readonly string[], outside: CliIo): Promise<number> {
  return runShaped(shape, words, outside, async (io, values, name) => {
    const reader = new OptionReader(values);
    const timeoutSeconds =
      reader.read('timeout', 'a time from 1s to 24h, such as 30m', (text) =>
        durationOf(text, 1, maxTimeoutSeconds),
      ) ?? defaultTimeoutSeconds;
    reader.check();
    const request = await requestOf(io, name, values);
    const place = await io.openPlace(values);
    const reply = readReply(await place.invokeCapture(request));
    const running = values.wait === true ? runningOf(reply) : undefined;
    if (running === undefined) {
      if (values.json === true) io.write(`${jsonText(jsonReply(reply))}\n`);
      else io.write(replyText(reply));
      return exitCodeOf(reply);
    }
    if (values.json !== true) io.write(replyText(reply));
    return wait({ io, place, reply, running, timeoutSeconds, json: values.json === true });
  });
}

type Values = ValuesOf<typeof options>;

async function requestOf(
  io: CliIo,
  name: string,
  values: Values,
): Promise<Record<string, unknown>> {
  const asPlugin = io.env['HEAPCATCH_KUBECTL_PLUGIN'] === '1';
  const { context } = values;
  const named = context !== undefined || (asPlugin && values.cluster === undefined);
  const place = named ? await io.contextPlace(context) : undefined;
  const { container } = values;
  return {
    pod: name.replace(/^pods?\//, ''),
    namespace: values.namespace ?? place?.namespace,
    cluster: values.cluster ?? place?.clusterName,
    container,
    dryRun: values['dry-run'],
  };
}

function replyText(reply: CaptureReply): string {
  return factsText([
    ['decision', `${reply.decision}, ${reply.reason}`],
    ['why', reply.message],
    ['capture', reply.captureId],
    ['rung', reply.rung],
    ['result', reply.indexEntry?.uri],
    ['console', reply.indexEntry?.consoleUrl],
    ['next', reply.next],
  ]);
}

function jsonReply(answer: CaptureReply, entry?: IndexEntry): Record<string, unknown> {
  return { schemaVersion: 1, kind: 'CaptureAnswer', answer, entry };
}

function exitCodeOf({ decision }: CaptureReply): number {
  if (decision === 'dump') return exitCodes.done;
  return decision === 'skip' ? exitCodes.skipped : exitCodes.amiss;
}

/** What there is to wait for: the capture that begins, or the one of the same trouble; not that of another replica. */
function runningOf(reply: CaptureReply): RunningCapture | undefined {
  const { decision, reason, indexEntry, objectPrefix, captureId } = reply;
  const begins = decision === 'dump' && reason !== 'DryRun';
  if (indexEntry === undefined || !(begins || reason === 'AlreadyCaptured')) return undefined;
  return { indexKey: indexEntry.objectKey, objectPrefix, captureId };
}

async function wait({
  io,
  place,
  reply,
  running,
  timeoutSeconds,
  json,
}: {
  readonly io: CliIo;
  readonly place: Place;
  readonly reply: CaptureReply;
  readonly running: RunningCapture;
  readonly timeoutSeconds: number;
  readonly json: boolean;
}): Promise<number> {
  const endMillis = io.now().getTime() + timeoutSeconds * 1_000;
  const tell = (words: string): void => {
    if (io.redraw !== undefined) io.redraw(words);
    else if (!json) io.writeError(`${words}\n`);
  };
  const entry = await followCapture(place.objects, running, io, { endMillis, tell }).finally(() =>
    io.redraw?.(''),
  );
  if (json) io.write(`${jsonText(jsonReply(reply, entry))}\n`);
  else if (entry !== undefined) {
    io.write(`\n${entryText(running.indexKey, entry, place.bucketName)}`);
  }
  if (entry !== undefined) return entry.state === 'complete' ? exitCodes.done : exitCodes.amiss;
  io.writeError(`not sealed within ${timeoutSeconds} s; it goes on: heapcatch watch\n`);
  return exitCodes.timedOut;
}
