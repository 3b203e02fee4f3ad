import { readFile } from 'node:fs/promises';
import { messageOf } from '../../errors.ts';
import { readManifests } from '../../kubernetes/manifests.ts';
import { guessWorkload } from '../../kubernetes/owner-walk.ts';
import { podFactsOf } from '../../kubernetes/pod-facts.ts';
import { isPodObject } from '../../kubernetes/pod-object.ts';
import { parseJvmMonitor, type JvmMonitor } from '../../policy/jvm-monitor.ts';
import type { PodFacts } from '../../policy/pod-facts.ts';
import { testPolicy } from '../../policy/policy-test.ts';
import { signalSchema, type Signal } from '../../signal/signal.ts';
import { shown, validate } from '../../validation.ts';
import {
  helpOption,
  jsonOption,
  misunderstood,
  readWords,
  runCommand,
  type Output,
} from '../command-line.ts';
import { reportText } from './report-text.ts';

export const usage = `heapcatch policy test FILE --signal FILE [--pod FILE] [--json]

Says what would become of a signal: which JvmMonitor governs the pod, what policy that makes with the pod's annotations,
which thresholds the signal's numbers cross, and the decision. Asks nobody, changes nothing.

  FILE           JvmMonitors, YAML or JSON, several documents or a List; Pods too (kubectl get jm,pod -o json)
  --signal FILE  the signal, as it goes to the bus; schemaVersion, clusterName and observedTime may be left out
  --pod FILE     the pod (kubectl get pod NAME -o json); without any a healthy one is assumed, and the report says so
  --json         one JSON object in place of text

Exit codes: 0 it leads to a capture, 1 it does not, 2 not understood.
`;

const options = {
  signal: { type: 'string' },
  pod: { type: 'string' },
  ...jsonOption,
  ...helpOption,
} as const;

/** What the command touches of the outside. */
export interface PolicyIo extends Output {
  read(file: string): Promise<string>;
  now(): Date;
}

/** `heapcatch policy`, on the process's own streams and files. */
export function runPolicyCommand(words: readonly string[]): Promise<number> {
  return policyCommand(words, {
    read: (file) => readFile(file, 'utf8'),
    write: (text) => void process.stdout.write(text),
    writeError: (text) => void process.stderr.write(text),
    now: () => new Date(),
  });
}

/** Runs the command; what it cannot do is said on the error stream. */
export function policyCommand(words: readonly string[], outside: PolicyIo): Promise<number> {
  return runCommand('policy', outside, async (io) => {
    const order = readOrder(words);
    if (order === 'help') {
      io.write(usage);
      return 0;
    }
    const objects = await manifestsIn(io, order.file);
    const signal = await signalIn(io, order.signalFile);
    const pods = order.podFile === undefined ? objects : await manifestsIn(io, order.podFile);
    const monitors = objects
      .filter((object) => kindOf(object) === 'JvmMonitor')
      .map(parseJvmMonitor);
    if (monitors.length === 0) throw misunderstood(`${order.file} has no JvmMonitor`);
    const known = podOf(pods, signal);
    const pod = known ?? assumedPod(monitors, signal);
    const result = { ...testPolicy(monitors, pod, signal), assumedPod: known === undefined };
    const captures = result.notSent === undefined && result.decision.decision === 'dump';
    io.write(order.json ? `${JSON.stringify({ captures, ...result })}\n` : reportText(result));
    return captures ? 0 : 1;
  });
}

function readOrder(
  words: readonly string[],
): 'help' | { file: string; signalFile: string; podFile?: string | undefined; json: boolean } {
  const { values, positionals } = readWords(words, options);
  if (values.help === true) return 'help';
  const [verb, file, ...more] = positionals;
  if (verb !== 'test')
    throw misunderstood(`${shown(verb ?? '')} is not a word of it; accepted is: test`);
  if (file === undefined || more.length > 0)
    throw misunderstood('accepted is one FILE of JvmMonitors');
  if (values.signal === undefined) throw misunderstood('--signal FILE is missing');
  return { file, signalFile: values.signal, podFile: values.pod, json: values.json ?? false };
}

async function manifestsIn(io: PolicyIo, file: string): Promise<unknown[]> {
  try {
    return readManifests(await io.read(file));
  } catch (error) {
    throw misunderstood(`${file}: ${messageOf(error, 1_000)}`);
  }
}

async function signalIn(io: PolicyIo, file: string): Promise<Signal> {
  const [object] = await manifestsIn(io, file);
  const defaults = {
    schemaVersion: 1,
    clusterName: 'cluster',
    observedTime: io.now().toISOString(),
  };
  const given = typeof object === 'object' && object !== null ? object : {};
  return validate(signalSchema, { ...defaults, ...given }, 'InvalidSignal', file);
}

function kindOf(object: unknown): unknown {
  return (object as { kind?: unknown } | null | undefined)?.kind;
}

function podOf(objects: readonly unknown[], signal: Signal): PodFacts | undefined {
  const pod = objects
    .filter((object) => kindOf(object) === 'Pod')
    .filter(isPodObject)
    .find(
      ({ metadata }) => metadata.namespace === signal.namespace && metadata.name === signal.podName,
    );
  return pod && podFactsOf(pod, signal.clusterName, { workload: guessWorkload(pod.metadata) });
}

/** One that the monitor selects; of several nobody could say which is meant. */
function assumedPod(monitors: readonly JvmMonitor[], signal: Signal): PodFacts {
  const [monitor, ...more] = monitors;
  if (monitor === undefined || more.length > 0) {
    throw misunderstood(
      `several JvmMonitors and no pod ${signal.namespace}/${signal.podName}: give --pod`,
    );
  }
  const { selector } = monitor.spec;
  if (selector.matchExpressions !== undefined || monitor.namespace !== signal.namespace) {
    throw misunderstood(
      `whether the monitor selects ${signal.namespace}/${signal.podName} is not known: give --pod`,
    );
  }
  const containerName = signal.containerName ?? selector.containers?.[0] ?? 'app';
  return {
    clusterName: signal.clusterName,
    namespace: signal.namespace,
    podName: signal.podName,
    podUid: signal.podUid ?? 'assumed',
    workload: { kind: 'Pod', name: signal.podName },
    phase: 'Running',
    ready: true,
    terminationGracePeriodSeconds: 30,
    annotations: {},
    labels: selector.matchLabels ?? {},
    containers: [
      {
        containerName,
        containerID: signal.containerID ?? 'assumed://container',
        running: true,
        ready: true,
        started: true,
        restartCount: 0,
        hasPreStop: false,
        readOnlyRootFilesystem: false,
        volumeMounts: [],
      },
    ],
  };
}
