import * as z from 'zod';

const time = z.string().max(40);
const word = z.string().max(128);
const message = z.string().max(2_000);

const conditionSchema = z.object({
  type: z.enum(['Ready', 'Degraded', 'Throttled']),
  status: z.enum(['True', 'False', 'Unknown']),
  /** CamelCase. */
  reason: word,
  message,
  /** RFC 3339; when `status` last changed. */
  lastTransitionTime: time,
  observedGeneration: z.number(),
});
/** One condition of the Kubernetes API conventions. */
export type Condition = z.output<typeof conditionSchema>;

const lastCaptureSchema = z.object({
  captureId: word,
  podName: z.string().max(253),
  /** Reason of the Event that told of it: HeapDumpStarted, HeapDumpSaved, HeapDumpSalvaged, EvidenceSaved, CaptureFailed. */
  state: word,
  /** RFC 3339 */
  time,
  message,
  /** Object of the bucket that describes it, once there is one. */
  indexKey: word.optional(),
});
export type LastCapture = z.output<typeof lastCaptureSchema>;

/** `status` of the resource, and its schema in the CustomResourceDefinition. */
export const monitorStatusSchema = z.object({
  observedGeneration: z.number(),
  /** Pods of which it governs a container. */
  matchedPodCount: z.number(),
  /** Pods that it selects and another monitor governs. */
  overriddenPodCount: z.number(),
  conditions: z.array(conditionSchema).max(8),
  /** Newest first, at most 10. */
  lastCaptures: z.array(lastCaptureSchema).max(20),
  lastTrigger: z.object({ reason: word, podName: z.string().max(253), time }).optional(),
});

export type JvmMonitorStatus = z.output<typeof monitorStatusSchema>;

/** The status as the API shows it; `undefined` when there is none, or somebody else wrote it. */
export function readMonitorStatus(raw: unknown): JvmMonitorStatus | undefined {
  return monitorStatusSchema.safeParse(raw).data;
}

export const maxLastCaptureCount = 10;
const maxMessageLength = 1_024;

/** What the forwarder knows of a monitor. */
export interface MonitorFacts {
  generation: number;
  /** Why it cannot be read. */
  fault?: string | undefined;
  enabled: boolean;
  matchedPodCount: number;
  overriddenPodCount: number;
  /** What keeps it from seeing what it shall see. */
  trouble?: { reason: string; message: string } | undefined;
  throttled?: { reason: string; message: string } | undefined;
  lastCaptures: readonly LastCapture[];
  lastTrigger?: JvmMonitorStatus['lastTrigger'];
}

/**
 * The status that follows from the facts. Conditions keep the time of their last transition; where nothing is new the same status
 * comes out, so that nothing has to be written.
 */
export function nextStatus(
  previous: JvmMonitorStatus | undefined,
  facts: MonitorFacts,
  now: Date,
): JvmMonitorStatus {
  const { generation, matchedPodCount, overriddenPodCount, lastTrigger } = facts;
  const conditions = conditionsOf(facts).map((wanted): Condition => {
    const before = previous?.conditions.find(({ type }) => type === wanted.type);
    const lastTransitionTime =
      before?.status === wanted.status ? before.lastTransitionTime : rfc3339(now);
    const message = wanted.message.slice(0, maxMessageLength);
    return { ...wanted, message, lastTransitionTime, observedGeneration: generation };
  });
  return {
    observedGeneration: generation,
    matchedPodCount,
    overriddenPodCount,
    conditions,
    lastCaptures: facts.lastCaptures.slice(0, maxLastCaptureCount),
    ...(lastTrigger === undefined ? {} : { lastTrigger }),
  };
}

type Wanted = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

function conditionsOf(facts: MonitorFacts): Wanted[] {
  const { trouble, throttled } = facts;
  return [
    { type: 'Ready', ...readiness(facts) },
    trouble === undefined
      ? { type: 'Degraded', status: 'False', reason: 'AsExpected', message: '' }
      : { type: 'Degraded', status: 'True', ...trouble },
    throttled === undefined
      ? { type: 'Throttled', status: 'False', reason: 'WithinLimits', message: '' }
      : { type: 'Throttled', status: 'True', ...throttled },
  ];
}

function readiness(facts: MonitorFacts): Omit<Wanted, 'type'> {
  if (facts.fault !== undefined) {
    const message = `nothing is captured of the selected pods: ${facts.fault}`;
    return { status: 'False', reason: 'InvalidSpec', message };
  }
  if (!facts.enabled) {
    const message = 'spec.enabled is false: nothing is captured of the selected pods';
    return { status: 'False', reason: 'Disabled', message };
  }
  if (facts.matchedPodCount === 0) {
    const others =
      facts.overriddenPodCount === 0
        ? 'no pod is selected'
        : `${facts.overriddenPodCount} selected pods are governed by other monitors`;
    return { status: 'True', reason: 'NoPods', message: others };
  }
  return { status: 'True', reason: 'Watching', message: '' };
}

/** To the second, as the API writes times. */
export function rfc3339(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}
