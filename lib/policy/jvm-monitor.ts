import * as z from 'zod';
import { messageOf } from '../errors.ts';
import { validate } from '../validation.ts';
import { cronAccepted, parseCron } from './cron-schedule.ts';
import { labelSelectorFields, requirementCount, type LabelSelector } from './label-selector.ts';
import { metricsSchema } from './monitor-metrics.ts';
import { policySchema } from './policy.ts';

const dnsLabel = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, {
    error: 'accepted are lower case letters, digits and "-" (RFC 1123)',
  });
const seconds = (min: number, max: number) => z.number().int().min(min).max(max);

const selectorSchema = z
  .strictObject({
    ...labelSelectorFields,
    /** Containers of the selected pods; all of them when absent. */
    containers: z.array(dnsLabel).min(1).max(16).optional(),
  })
  .refine((selector) => requirementCount(selector) > 0, {
    error: 'accepted is a selector with at least one label or expression',
  });

const triggersSchema = z
  .strictObject({
    ...policySchema.shape.triggers.unwrap().shape,
    /** So many restarts of a container within the window; the dump is taken in the life that follows. */
    restarts: z
      .strictObject({
        count: z.number().int().min(1).max(100),
        windowSeconds: seconds(60, 86_400).default(3_600),
        /** How long that life is given to fill its heap. */
        afterSeconds: seconds(0, 3_600).default(60),
      })
      .optional(),
    /** The life after one that the kernel killed is dumped when it is so old. */
    oomKilled: z.strictObject({ afterSeconds: seconds(0, 86_400).default(300) }).optional(),
    /** Names of the alerts that count; absent: all, empty: none. */
    alerts: z.array(z.string().min(1).max(253)).max(32).optional(),
    /** Whether the request of a preStop hook counts. */
    preStop: z.boolean().default(true),
    /** crontab(5), UTC. */
    schedules: z
      .array(
        z.string().refine((text) => parseCron(text) !== undefined, {
          error: `accepted are ${cronAccepted}`,
        }),
      )
      .max(8)
      .default([]),
  })
  .prefault({});

/**
 * `spec` of a JvmMonitor: the fields of a policy, and what only a monitor says. Its ranges are also those of the
 * CustomResourceDefinition, which a test holds to it; it is read again here because a resource can be older than the definition, and
 * because not all of it fits into CEL.
 */
export const jvmMonitorSpecSchema = z.strictObject({
  ...policySchema.shape,
  selector: selectorSchema,
  /** Of several monitors that select one container the one with the highest priority governs it. */
  priority: z.number().int().min(-1_000).max(1_000).default(0),
  metrics: metricsSchema,
  triggers: triggersSchema,
});
export type JvmMonitorSpec = z.output<typeof jvmMonitorSpecSchema>;

/** The parts of the object that are read; unknown metadata is the API's own affair, an unknown `spec` field is a typo. */
const jvmMonitorSchema = z.object({
  kind: z.literal('JvmMonitor').optional(),
  metadata: z.object({
    namespace: dnsLabel,
    name: z.string().min(1).max(253),
    uid: z.string().max(64).default(''),
    generation: z.number().int().min(0).default(0),
  }),
  spec: jvmMonitorSpecSchema,
});

export interface JvmMonitor {
  namespace: string;
  name: string;
  uid: string;
  /** Grows with each change of `spec`, not with one of `status`. */
  generation: number;
  spec: JvmMonitorSpec;
}

/**
 * Reads a JvmMonitor of whatever origin.
 * @throws CaptureError InvalidPolicy naming each field, its value and what is accepted.
 */
export function parseJvmMonitor(raw: unknown): JvmMonitor {
  const { metadata, spec } = validate(jvmMonitorSchema, raw, 'InvalidPolicy', 'JvmMonitor');
  return { ...metadata, spec };
}

/**
 * As parseJvmMonitor, where a faulty resource must not lift what it forbids: while its selector can still be read, nothing is
 * captured of the pods that it selects.
 */
export function readJvmMonitor(raw: unknown): { monitor?: JvmMonitor; fault?: string } {
  try {
    return { monitor: parseJvmMonitor(raw) };
  } catch (error) {
    const fault = messageOf(error, 900);
    const { metadata, spec } = (raw ?? {}) as { metadata?: unknown; spec?: { selector?: unknown } };
    const selector = spec?.selector;
    const off = jvmMonitorSchema.safeParse({ metadata, spec: { enabled: false, selector } });
    return off.success
      ? { fault, monitor: { ...off.data.metadata, spec: off.data.spec } }
      : { fault };
  }
}

export type MonitorSelector = LabelSelector & { containers?: readonly string[] | undefined };
