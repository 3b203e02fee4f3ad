import type { IndexEntry } from '../dump-index/index-entry.ts';
import { withoutSecrets } from '../log.ts';
import type { PodFacts } from '../policy/pod-facts.ts';
import { captureIdOf } from '../signal/capture-id.ts';
import type { Signal } from '../signal/signal.ts';
import type { CaptureAnswer } from './capture-answer.ts';
import type { PodEvent } from './ports.ts';

/** The API server refuses longer messages. */
const maxMessageBytes = 1_024;

const eventReasons = {
  complete: 'HeapDumpSaved',
  salvaged: 'HeapDumpSalvaged',
  'evidence-only': 'EvidenceSaved',
  failed: 'CaptureFailed',
} as const;

/** The Event that tells a pod's owner how its capture ended: sizes and the index's id, never a URL. */
export function outcomeEvent(entry: IndexEntry): PodEvent {
  const { state, captureId } = entry;
  const { heapDump, evidence } = entry.objects;
  const parts = [
    ...(heapDump === undefined ? [] : [`heap dump ${describeBytes(heapDump)}`]),
    ...evidence.map(({ artifact, bytes }) => `${artifact} ${bytes} bytes`),
  ];
  const what = parts.length === 0 ? 'nothing was saved' : parts.join(', ');
  const { pressure, explanation } = entry.memory ?? {};
  const where = pressure === 'offHeap' ? `; off-heap pressure: ${explanation}` : '';
  const why = entry.reason === undefined ? '' : `; ${entry.reason}`;
  const end = entry.why.termination;
  const leftBy =
    end === undefined ? '' : `, left by the life that ended with exit code ${end.exitCode}`;
  return {
    type: state === 'failed' ? 'Warning' : 'Normal',
    reason: eventReasons[state],
    message: bounded(`${what}${leftBy}; capture ${captureId}${where}${why}`),
    captureId,
  };
}

function describeBytes(heapDump: NonNullable<IndexEntry['objects']['heapDump']>): string {
  const { compressedBytes, rawBytes } = heapDump;
  return rawBytes === undefined
    ? `${compressedBytes} bytes compressed`
    : `${rawBytes} bytes, ${compressedBytes} compressed`;
}

/** The Event of an answer: a capture that begins, or why there is none. */
export function answerEvent(answer: CaptureAnswer, captureId: string): PodEvent {
  const { decision, reason, message } = answer;
  const eventReason = { dump: 'HeapDumpStarted', skip: 'HeapDumpSkipped', failed: 'CaptureFailed' };
  return {
    type: decision === 'failed' ? 'Warning' : 'Normal',
    reason: eventReason[decision],
    message: bounded(decision === 'dump' ? message : `${reason}: ${message}`),
    captureId: answer.captureId ?? captureId,
  };
}

/** What makes the Events of one trouble the same one, where a skip came before its captureId was known. */
export function eventIdentity(signal: Signal, pod: PodFacts): string {
  const container = pod.containers.find((one) => one.containerName === signal.containerName);
  return captureIdOf({
    clusterName: signal.clusterName,
    podUid: pod.podUid,
    containerName: signal.containerName ?? '',
    containerID: signal.containerID ?? container?.containerID ?? '',
    reason: signal.reason,
    observedTime: signal.observedTime,
  });
}

/** Cut to 1024 bytes of UTF-8 on a character's boundary, queries of URLs removed. */
function bounded(message: string): string {
  const text = withoutSecrets(message);
  const bytes = Buffer.from(text);
  if (bytes.byteLength <= maxMessageBytes) return text;
  return `${bytes
    .subarray(0, maxMessageBytes - 8)
    .toString('utf8')
    .replace(/(?<!�)�+$/, '')}…`;
}
