import * as z from 'zod';
import { CaptureError } from '../errors.ts';
import { shown, validate } from '../validation.ts';

/**
 * An Event of the cluster, core/v1 or events.k8s.io/v1, in one form.
 * Events are best-effort by the API's own definition: read the pod again before acting on one.
 */
export interface KubernetesEvent {
  /** Of the Event object: repeats of one Event keep it. */
  eventUid: string;
  type: string;
  reason: string;
  /** Without the prefix that the recorder adds to combined Events; at most 1,024 characters. */
  message: string;
  regarding: {
    kind: string;
    namespace: string;
    name: string;
    uid?: string;
    /** From `spec.containers{name}`; also of an init container. */
    containerName?: string;
  };
  /** How often it was seen, at least 1. Over the whole life of the Event object, not in a row. */
  count: number;
  /** RFC 3339, when it was first and last seen. */
  firstTime: string;
  lastTime: string;
}

/** The API writes null for a field that is not set; here it is absent. */
const optional = <T extends z.ZodType>(schema: T) =>
  schema.nullish().transform((value) => value ?? undefined);
const text = (max: number) => optional(z.string().max(max));
const timestamp = optional(z.iso.datetime({ offset: true, error: 'accepted is an RFC 3339 time' }));
const times = optional(z.number().int().min(0).max(2_147_483_647));
/** The API bounds names to 253 characters; kinds, reasons and messages are shorter than these. */
const reference = z.object({
  kind: text(253),
  namespace: text(253),
  name: text(253),
  uid: text(128),
  fieldPath: text(512),
});

/** Both forms at once, unknown keys allowed: the API adds fields as it likes. */
const eventSchema = z.object({
  metadata: z.object({
    name: text(512),
    namespace: text(253),
    uid: text(128),
    creationTimestamp: timestamp,
  }),
  type: text(64),
  reason: text(128),
  // core/v1
  involvedObject: optional(reference),
  message: text(65_536),
  count: times,
  firstTimestamp: timestamp,
  lastTimestamp: timestamp,
  // events.k8s.io/v1; core/v1 has eventTime and series, too
  regarding: optional(reference),
  note: text(65_536),
  eventTime: timestamp,
  series: optional(z.object({ count: times, lastObservedTime: timestamp })),
  deprecatedCount: times,
  deprecatedFirstTimestamp: timestamp,
  deprecatedLastTimestamp: timestamp,
});
type RawEvent = z.output<typeof eventSchema>;

const maxMessageLength = 1_024;
/** Written by the recorder when more than 10 similar Events came in 10 minutes (client-go, events_cache.go). */
const combinedPrefix = '(combined from similar events): ';

/**
 * Reads the JSON of an Event as the API gives it. Of several places for the same fact the one counts that the newer
 * form fills: series, then count or deprecatedCount; the latest of all times is the last one.
 * @throws CaptureError InvalidSignal: no Event, a field out of bounds, or an Event without any time.
 */
export function parseKubernetesEvent(raw: unknown): KubernetesEvent {
  const event = validate(eventSchema, raw, 'InvalidSignal', 'Kubernetes Event');
  const about = event.regarding ?? event.involvedObject;
  if (about === undefined) {
    throw new CaptureError(
      'InvalidSignal',
      `Kubernetes Event ${shown(event.metadata.name)} has neither involvedObject nor regarding`,
    );
  }
  const { firstTime, lastTime } = timesOf(event);
  const containerName = containerNameOf(about.fieldPath);
  const written = event.note ?? event.message ?? '';
  const message = written.startsWith(combinedPrefix)
    ? written.slice(combinedPrefix.length)
    : written;
  return {
    eventUid: event.metadata.uid ?? '',
    type: event.type ?? '',
    reason: event.reason ?? '',
    message: message.slice(0, maxMessageLength),
    regarding: {
      kind: about.kind ?? '',
      namespace: about.namespace ?? event.metadata.namespace ?? '',
      name: about.name ?? '',
      ...(about.uid ? { uid: about.uid } : {}),
      ...(containerName === undefined ? {} : { containerName }),
    },
    count: Math.max(1, event.series?.count ?? event.count ?? event.deprecatedCount ?? 1),
    firstTime,
    lastTime,
  };
}

function timesOf(event: RawEvent): { firstTime: string; lastTime: string } {
  const ascending = [
    event.firstTimestamp,
    event.deprecatedFirstTimestamp,
    event.eventTime,
    event.lastTimestamp,
    event.deprecatedLastTimestamp,
    event.series?.lastObservedTime,
  ]
    .filter((time) => time !== undefined)
    .toSorted((a, b) => Date.parse(a) - Date.parse(b));
  const firstTime = ascending[0] ?? event.metadata.creationTimestamp;
  const lastTime = ascending.at(-1) ?? event.metadata.creationTimestamp;
  if (firstTime !== undefined && lastTime !== undefined) return { firstTime, lastTime };
  throw new CaptureError(
    'InvalidSignal',
    `Kubernetes Event ${shown(event.metadata.name)} has no time: accepted are lastTimestamp, eventTime, series.lastObservedTime, deprecatedLastTimestamp and metadata.creationTimestamp`,
  );
}

/** `spec.containers{app}`, `spec.initContainers{app}`, `spec.ephemeralContainers{app}`. */
function containerNameOf(fieldPath: string | undefined): string | undefined {
  return /^spec\.(?:c|initC|ephemeralC)ontainers\{([^{}]{1,63})\}$/.exec(fieldPath ?? '')?.[1];
}
