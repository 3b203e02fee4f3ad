import * as z from 'zod';
import { policySchema } from '../policy/policy.ts';

/**
 * What happened, as a closed set. The first five can lead to a dump, the last one to the collection of what was left;
 * the others are carried so that the decision can say why they do not.
 */
export const signalReasons = [
  'LivenessProbeFailing',
  'ContainerKilling',
  'PodDeleting',
  'Manual',
  'GcLimitCrossed',
  'ReadinessProbeFailing',
  'StartupProbeFailing',
  'ContainerTerminated',
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
  /** Absent only in a manual invocation, which names a pod as people do. */
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
    })
    .prefault({}),
  /** The resolved policy; absent means the built-in default and the pod's annotations decide. */
  policy: policySchema.optional(),
  /** Decide and answer, but claim and start nothing. */
  dryRun: z.boolean().optional(),
});
export type Signal = z.output<typeof signalSchema>;
