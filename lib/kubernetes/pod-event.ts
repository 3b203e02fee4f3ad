import { createHash } from 'node:crypto';
import type { PodEvent } from '../capture/ports.ts';

const maxMessageBytes = 1_024;
const maxReasonLength = 128;
/** An object name has at most 253 characters; the hash and its dot take 17. */
const maxPodNameLength = 253 - 17;

/**
 * The core/v1 Event of one word about one pod. Its name follows from the pod, the capture and the reason: posting
 * it again meets the Event that is there already.
 */
export function podEventObject(
  pod: { namespace: string; podName: string; podUid: string },
  event: PodEvent,
  now: Date,
): { metadata: { name: string; namespace: string } } & Record<string, unknown> {
  const hash = createHash('sha256')
    .update(JSON.stringify([pod.podUid, event.captureId, event.reason]))
    .digest('hex')
    .slice(0, 16);
  const time = now.toISOString().replace(/\.\d+Z$/, 'Z');
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {
      name: `${pod.podName.slice(0, maxPodNameLength).replace(/(?<![-.])[-.]+$/, '')}.${hash}`,
      namespace: pod.namespace,
    },
    involvedObject: {
      apiVersion: 'v1',
      kind: 'Pod',
      name: pod.podName,
      namespace: pod.namespace,
      uid: pod.podUid,
    },
    type: event.type,
    reason: event.reason.slice(0, maxReasonLength),
    message: cutBytes(event.message, maxMessageBytes),
    source: { component: 'heapcatch' },
    reportingComponent: 'heapcatch',
    count: 1,
    firstTimestamp: time,
    lastTimestamp: time,
  };
}

/** At most maxBytes of UTF-8, cut between characters. */
function cutBytes(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  let end = maxBytes;
  // 10xxxxxx continues a character.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}
