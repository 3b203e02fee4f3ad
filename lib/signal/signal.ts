import * as z from 'zod';
import { policySchema } from '../policy/policy.ts';
import { endingSchema, lastEndSchema } from './ending.ts';

/**
 * What happened, as a closed set. The last two lead to the collection of what was left, failing readiness and startup
 * probes are carried so that the decision can say why they lead to nothing; all others can lead to a dump.
 */
export const signalReasons = [
  'LivenessProbeFailing',
  'ContainerKilling',
  'PodDeleting',
  'Manual',
  'GcLimitCrossed',
  'AlertFiring',
  'PreStop',
  'HeapNearLimit',
  'GcStorm',
  'CgroupNearLimit',
  'Scheduled',
  'ReadinessProbeFailing',
  'StartupProbeFailing',
  'ContainerTerminated',
  'PodEvicted',
] as const;
export type SignalReason = (typeof signalReasons)[number];

const time = z.iso.datetime({ offset: true, error: 'accepted is an RFC 3339 time' });
/** RFC 1123 subdomain, the rule of the Kubernetes API for object names. */
const dnsName = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, {
      error: 'accepted are lower case letters, digits, "-" and "." (RFC 1123)',
    });
const count = z.number().int().min(0).max(1_000_000_000);
/** Of a limit, which may be passed: a heap after GC can stand at 100, a counter that lags above it. */
const percent = z.number().min(0).max(1_000);

/** One validated word about one container of one pod. Travels as JSON over EventBridge, SNS and by hand. */
export const signalSchema = z.strictObject({
  schemaVersion: z.literal(1),
  clusterName: z
    .string()
    .min(1)
    .max(100)
    .regex(/^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$/, {
      error: 'accepted are letters, digits, "-", "_" and "."',
    }),
  namespace: dnsName(63),
  podName: dnsName(253),
  /** Absent only where a pod is named as people do: in a manual invocation, and in an alert that came past the forwarder. */
  podUid: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[-A-Za-z0-9]+$/)
    .optional(),
  containerName: dnsName(63).optional(),
  containerID: z
    .string()
    .min(1)
    .max(200)
    .regex(/^[-a-z0-9.]+:\/\/[A-Za-z0-9._-]+$/)
    .optional(),
  nodeName: dnsName(253).optional(),
  reason: z.enum(signalReasons),
  /** When it happened, by the cluster's clock. */
  observedTime: time,
  /** When the container is expected to be killed, if the reporter could tell. */
  expectedKillTime: time.optional(),
  numbers: z
    .strictObject({
      failureCount: count.optional(),
      failureThreshold: count.optional(),
      restartCount: count.optional(),
      exitCode: z.number().int().optional(),
      gracePeriodSeconds: count.optional(),
      heapUsedPercent: percent.optional(),
      heapAfterGcPercent: percent.optional(),
      cgroupUsedPercent: percent.optional(),
      /** Share of the time that went into stopping for collections. */
      gcTimePercent: percent.optional(),
      fullGcCount: count.optional(),
      youngGcPerMinuteCount: count.optional(),
      /** At the present rate, until the limit is reached. */
      secondsToLimit: z.number().min(0).max(1_000_000_000).optional(),
    })
    .prefault({}),
  /** Of the last two reasons: why that life ended, as far as the reporter knows. */
  ending: endingSchema.optional(),
  /** Of a life that is watched, since the one before it ended for memory or the JVM. */
  lastEnd: lastEndSchema.optional(),
  /** Of an alert: its name, as Alertmanager or CloudWatch prints it. */
  alertName: z.string().min(1).max(253).optional(),
  /** The JvmMonitor whose trigger fired or whose limits apply. */
  monitorName: dnsName(253).optional(),
  /** The resolved policy; absent means the built-in default and the pod's annotations decide. */
  policy: policySchema.optional(),
  /** Decide and answer, but claim and start nothing. */
  dryRun: z.boolean().optional(),
});
export type Signal = z.output<typeof signalSchema>;
