import type { GcLimits } from '../../gc-log/gc-limits.ts';
import { unitBytes } from '../../gc-log/read-number.ts';
import { signalSchema } from '../../signal/signal.ts';
import { shown } from '../../validation.ts';
import { OptionReader, readWords } from '../command-line.ts';
import { countOf, durationOf } from '../quantities.ts';

/** The pod that a Signal names, and the bus it goes to. */
export interface SignalTarget {
  readonly busName: string;
  readonly clusterName: string;
  readonly namespace: string;
  readonly podName: string;
  readonly podUid: string;
  readonly containerName: string | undefined;
}

export interface GcScanOptions {
  /** Files, directories, or `-` for standard input. */
  readonly inputs: readonly string[];
  readonly follow: boolean;
  readonly json: boolean;
  readonly help: boolean;
  readonly withinSeconds: number | undefined;
  readonly maxHeapBytes: number | undefined;
  readonly limits: GcLimits;
  readonly webhookUrl: string | undefined;
  readonly webhookToken: string | undefined;
  readonly signal: SignalTarget | undefined;
}

export const usage = `heapcatch gc-scan [OPTIONS] FILE|DIR|- [...]

Reads GC logs of HotSpot (JDK 6 to 25; Serial, Parallel, CMS, G1, ZGC, Shenandoah; also .gz) and says whether they cross a
limit. A storm of full collections is always one.

  --within TIME            judge only the last TIME (30s, 5m, 2h, 1d); with -f 5m unless told
  --full-gc N              limit: N full collections that nobody asked for
  --young-per-minute N     limit: N young collections within a minute
  --pause TIME             limit: a pause of TIME (200ms, 2s)
  --heap-after PERCENT     limit: heap that is this full after a collection (90%)
  --max-heap SIZE          the JVM's -Xmx (512M, 8G), where the log does not tell it
  -f, --follow             go on with what is appended, over rotation, until interrupted
  --json                   one JSON object (with -f one a line) in place of text
  --webhook URL            POST the JSON there when a limit is crossed; the token of HEAPCATCH_WEBHOOK_TOKEN as bearer
  --signal                 send a Signal GcLimitCrossed to the event bus when a limit is crossed; names the pod by
                           --cluster --namespace --pod --pod-uid [--container] --bus, or by HEAPCATCH_CLUSTER_NAME,
                           POD_NAMESPACE, POD_NAME, POD_UID, CONTAINER_NAME, HEAPCATCH_EVENT_BUS_NAME

Exit codes: 0 no limit is crossed; 1 one is; 2 not understood, not readable, or not a GC log; 3 a limit is crossed and the
webhook or the bus did not take the word; 130 interrupted (only with -f).
`;

const options = {
  within: { type: 'string' },
  'full-gc': { type: 'string' },
  'young-per-minute': { type: 'string' },
  pause: { type: 'string' },
  'heap-after': { type: 'string' },
  'max-heap': { type: 'string' },
  follow: { type: 'boolean', short: 'f' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  webhook: { type: 'string' },
  signal: { type: 'boolean' },
  bus: { type: 'string' },
  cluster: { type: 'string' },
  namespace: { type: 'string' },
  pod: { type: 'string' },
  'pod-uid': { type: 'string' },
  container: { type: 'string' },
} as const;

type Words = ReturnType<typeof readWords<typeof options>>['values'];
type Noting = Pick<OptionReader<Words>, 'note'>;
type Env = Readonly<Record<string, string | undefined>>;

const defaultFollowSeconds = 300;
const maxInputCount = 1_000;

/**
 * Reads the command line.
 * @throws CaptureError InvalidConfiguration naming every faulty word, its value and what is accepted.
 */
export function readGcScanOptions(words: readonly string[], env: Env): GcScanOptions {
  const { values, positionals } = readWords(words, options);
  const reader = new OptionReader(values);
  const follow = values.follow ?? false;
  const withinSeconds = reader.read('within', 'a time from 1s to 7d, such as 5m', (text) =>
    durationOf(text, 1, 604_800),
  );
  const limits: GcLimits = {
    fullGcCount: reader.read('full-gc', 'a whole number from 1', countOf),
    youngPerMinute: reader.read('young-per-minute', 'a whole number from 1', countOf),
    pauseSeconds: reader.read('pause', 'a time from 1ms to 1h, such as 2s', (text) =>
      durationOf(text, 0.001, 3_600),
    ),
    heapAfterShare: reader.read('heap-after', 'a percentage from 1% to 100%', shareOf),
  };
  const maxHeapBytes = reader.read('max-heap', 'a size such as 512M or 8G', sizeOf);
  const webhookUrl = reader.read('webhook', 'an http or https URL', urlOf);
  const signal = values.signal === true ? signalTarget(values, env, reader) : undefined;
  if (values.help !== true) checkInputs(positionals, follow, reader);
  reader.check();
  return {
    inputs: positionals,
    follow,
    json: values.json ?? false,
    help: values.help ?? false,
    withinSeconds: withinSeconds ?? (follow ? defaultFollowSeconds : undefined),
    maxHeapBytes,
    limits,
    webhookUrl,
    webhookToken: env['HEAPCATCH_WEBHOOK_TOKEN'],
    signal,
  };
}

function checkInputs(inputs: readonly string[], follow: boolean, reader: Noting): void {
  if (inputs.length === 0) reader.note('no input is named, accepted are files, directories and -');
  if (inputs.length > maxInputCount)
    reader.note(`${inputs.length} inputs are named, accepted are ${maxInputCount}`);
  if (inputs.includes('-') && inputs.length > 1)
    reader.note('- is named beside others, accepted is - alone');
  if (follow && inputs.length > 1) reader.note('-f follows one file, one directory, or -');
}

function shareOf(text: string): number | undefined {
  const [, percent] = /^(\d{1,3}(?:\.\d{1,3})?)%?$/.exec(text) ?? [];
  const share = Number(percent) / 100;
  return share >= 0.01 && share <= 1 ? share : undefined;
}

function sizeOf(text: string): number | undefined {
  const [, count, unit] = /^([1-9]\d{0,11})([kKmMgGtT]?)$/.exec(text) ?? [];
  if (count === undefined) return undefined;
  return (
    Number(count) * (unit === '' ? 1 : (unitBytes((unit ?? '').toUpperCase().charCodeAt(0)) ?? 1))
  );
}

function urlOf(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === 'http:' || url?.protocol === 'https:' ? text : undefined;
}

function signalTarget(values: Words, env: Env, reader: Noting): SignalTarget {
  const named = (
    word: 'bus' | 'cluster' | 'namespace' | 'pod' | 'pod-uid',
    variable: string,
  ): string => {
    const value = values[word] ?? env[variable];
    if (value === undefined || value === '') reader.note(`--signal needs --${word} or ${variable}`);
    return value ?? '';
  };
  const target: SignalTarget = {
    busName: named('bus', 'HEAPCATCH_EVENT_BUS_NAME'),
    clusterName: named('cluster', 'HEAPCATCH_CLUSTER_NAME'),
    namespace: named('namespace', 'POD_NAMESPACE'),
    podName: named('pod', 'POD_NAME'),
    podUid: named('pod-uid', 'POD_UID'),
    containerName: values.container ?? env['CONTAINER_NAME'],
  };
  const { clusterName, namespace, podName, podUid, containerName } = signalSchema.shape;
  const shapes = { clusterName, namespace, podName, podUid, containerName };
  for (const [field, shape] of Object.entries(shapes)) {
    const value = target[field as keyof typeof shapes];
    const result = shape.safeParse(value);
    if (value === '' || result.success) continue;
    reader.note(
      `--signal: ${field} is ${shown(value)}: ${result.error.issues[0]?.message ?? 'not valid'}`,
    );
  }
  return target;
}
