import * as z from 'zod';
import { retentionDayCounts } from './retention.ts';
import {
  defaultThresholds,
  maxThresholdCount,
  metricThresholdSchema,
  type MetricThreshold,
} from './thresholds.ts';

/** What can be collected from a JVM, in the order in which it is collected: cheapest first. */
export const jvmArtifacts = [
  'processFacts',
  'heapInfo',
  'threads',
  'nativeMemory',
  'classHistogram',
  'heapDump',
] as const;

/** What can be left of a life that ended, beside a heap dump: the JVM's crash log and GC log, the tail of its output. */
export const endArtifacts = ['crashLog', 'gcLog', 'previousLog'] as const;
export type EndArtifact = (typeof endArtifacts)[number];

export const artifacts = [...jvmArtifacts, ...endArtifacts] as const;
export type Artifact = (typeof artifacts)[number];

/** The ways to reach a JVM (docs/architecture.md): a DaemonSet's agent, an ephemeral container, exec. */
export const rungs = ['nodeAgent', 'ephemeralContainer', 'exec'] as const;
export type Rung = (typeof rungs)[number];

const seconds = (min: number, max: number) => z.number().int().min(min).max(max);
const thresholds = (name: keyof typeof defaultThresholds) =>
  z.array(metricThresholdSchema).max(maxThresholdCount).default(defaultThresholds[name]);

/** Whether dumps that an ended life of a container left in a volume are collected. */
export const leftoverModes = ['collect', 'ignore'] as const;

/** What a deletion must look like to be worth a dump (decide-deletion.ts). */
export const podDeletionModes = ['always', 'unhealthy', 'pressure', 'never'] as const;

/** What of a heap dump is zeroed before it is stored, mildest first (lib/hprof/redact.ts). */
export const redactModes = ['none', 'primitiveArrays', 'allPrimitives'] as const;

/**
 * The policy that applies to one pod, resolved: every field has a value.
 * Unknown keys are refused, so that a typo is an error and not a policy that silently never fires.
 */
export const policySchema = z.strictObject({
  enabled: z.boolean().default(true),
  triggers: z
    .strictObject({
      /** Liveness failures in a row that are worth a dump; the deadline may ask for it earlier. */
      livenessFailureCount: z.number().int().min(1).max(100).default(2),
      podDeletion: z.enum(podDeletionModes).default('unhealthy'),
      /** What the sensor measures, by the signal that it leads to; an empty list turns that signal off. */
      heapNearLimit: thresholds('heapNearLimit'),
      gcStorm: thresholds('gcStorm'),
      cgroupNearLimit: thresholds('cgroupNearLimit'),
      /** For so long after an end by memory or the JVM the first liveness failure of the next life is enough; 0: never. */
      watchSeconds: seconds(0, 86_400).default(1_800),
    })
    .prefault({}),
  leftovers: z.enum(leftoverModes).default('collect'),
  limits: z
    .strictObject({
      cooldownSeconds: seconds(0, 86_400).default(600),
      dumpsPerHourCount: z.number().int().min(1).max(60).default(4),
      nodeSlotCount: z.number().int().min(1).max(10).default(1),
      clusterSlotCount: z.number().int().min(1).max(50).default(5),
      /** Ready replicas that must remain beside the one that is dumped; 0 asks for none. */
      minReadyReplicaCount: z.number().int().min(0).max(1000).default(0),
      /** From claim to manifest. The lease is longer than this. */
      captureDeadlineSeconds: seconds(10, 3_600).default(1_200),
    })
    .prefault({}),
  evidence: z
    .array(z.enum(artifacts))
    .min(1)
    .max(artifacts.length)
    .default([...artifacts]),
  rungs: z
    .array(z.enum(rungs))
    .min(1)
    .max(rungs.length)
    .default(['nodeAgent', 'ephemeralContainer']),
  redact: z.enum(redactModes).default('none'),
  /** Whether the agent encrypts dump and evidence with a KMS data key; without that key there is no capture. */
  encrypt: z.boolean().default(false),
  /** Absent: as long as the stack says; never longer (lib/dump-index/retention.ts). */
  retentionDays: z.literal(retentionDayCounts).optional(),
  heapDump: z
    .strictObject({
      /** Spares the application of JDK ≥ 22 the stall of the merge; the dump then has no name while it is written. */
      skipMerge: z.boolean().default(false),
      /**
       * Most that the function may fetch through exec where rung exec cannot reach the bucket; with 0 it fetches nothing,
       * evidence neither.
       */
      relayMaxMebibytes: z.number().int().min(0).max(4_096).default(0),
    })
    .prefault({}),
});
export type Policy = z.output<typeof policySchema>;

/** All thresholds of a policy, whichever signal they lead to. */
export function thresholdsOf({ triggers }: Pick<Policy, 'triggers'>): readonly MetricThreshold[] {
  return [...triggers.heapNearLimit, ...triggers.gcStorm, ...triggers.cgroupNearLimit];
}
