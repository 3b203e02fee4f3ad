import * as z from 'zod';

/** Reasons of the Events by which the functions tell on a pod what became of a signal (lib/capture/capture-events.ts). */
export const captureWordReasons = [
  'HeapDumpStarted',
  'HeapDumpSkipped',
  'HeapDumpSaved',
  'HeapDumpSalvaged',
  'EvidenceSaved',
  'CaptureFailed',
] as const;

const name = z.string().min(1).max(253);
const schema = z.object({
  metadata: z.object({
    annotations: z
      .object({
        'heapcatch.dev/capture-id': z.string().regex(/^[a-z0-9]{16,40}$/),
        'heapcatch.dev/index-key': z
          .string()
          .regex(/^index\/[0-9a-z-]{10,80}\.json$/)
          .optional(),
      })
      .loose(),
  }),
  involvedObject: z.object({
    kind: z.literal('Pod'),
    namespace: name,
    name,
    uid: z.string().min(1).max(64),
  }),
  source: z.object({ component: z.literal('heapcatch') }),
  reason: z.enum(captureWordReasons),
  message: z.string().max(1_024),
  lastTimestamp: z.iso.datetime({ offset: true }),
});

/** What the functions said of a capture. Whoever may create Events in a namespace can say it as well: for show, and for how long a hook holds its pod, never to act on. */
export interface CaptureWord {
  namespace: string;
  podName: string;
  podUid: string;
  captureId: string;
  reason: (typeof captureWordReasons)[number];
  message: string;
  /** RFC 3339 */
  time: string;
  indexKey?: string;
}

/** Reads a core/v1 Event of heapcatch's own on a pod; `undefined` for every other. */
export function readCaptureWord(raw: unknown): CaptureWord | undefined {
  const { source } = (raw ?? {}) as { source?: { component?: unknown } | null };
  // Nearly all Events are somebody else's.
  if (source?.component !== 'heapcatch') return undefined;
  const read = schema.safeParse(raw);
  if (!read.success) return undefined;
  const { metadata, involvedObject, reason, message, lastTimestamp } = read.data;
  const indexKey = metadata.annotations['heapcatch.dev/index-key'];
  return {
    namespace: involvedObject.namespace,
    podName: involvedObject.name,
    podUid: involvedObject.uid,
    captureId: metadata.annotations['heapcatch.dev/capture-id'],
    reason,
    message,
    time: lastTimestamp,
    ...(indexKey === undefined ? {} : { indexKey }),
  };
}
