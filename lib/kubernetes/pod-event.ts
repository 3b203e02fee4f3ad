import type { PodEvent } from '../capture/ports.ts';
import { eventObject } from './event-object.ts';

/**
 * The core/v1 Event of one word about one pod, with its capture as annotations, for programs: the one name of a capture and a
 * reason (eventObject).
 */
export function podEventObject(
  pod: { namespace: string; podName: string; podUid: string },
  event: PodEvent,
  now: Date,
): { metadata: { name: string; namespace: string } } & Record<string, unknown> {
  const { namespace, podName: name, podUid: uid } = pod;
  const { captureId, indexKey } = event;
  const annotations = {
    'heapcatch.dev/capture-id': captureId,
    ...(indexKey === undefined ? {} : { 'heapcatch.dev/index-key': indexKey }),
  };
  return eventObject(
    { apiVersion: 'v1', kind: 'Pod', namespace, name, uid },
    { ...event, identity: captureId, annotations },
    now,
  );
}
