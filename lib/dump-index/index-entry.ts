import * as z from 'zod';
import {
  captureOutcomes,
  type CaptureOutcome,
  type CaptureRecord,
} from '../claim/capture-record.ts';
import {
  agentTimes,
  crashFacts,
  dumpResult,
  jvmFacts,
  leftoverFile,
  memoryFacts,
  redaction,
  layoutChoice,
  workFacts,
  type Manifest,
  type Progress,
} from '../capture/manifest.ts';
import { CaptureError } from '../errors.ts';
import { shown, validate } from '../validation.ts';
import { encryptionSchema } from './encryption.ts';
import type { Retention } from './retention.ts';
import { artifacts, rungs, type Policy } from '../policy/policy.ts';
import { endCauses, type EndVerdict } from '../policy/end-of-life.ts';
import { watchOf } from '../policy/watch.ts';
import { signalReasons } from '../signal/signal.ts';

const time = z.iso.datetime({ offset: true });

/** One capture as the index shows it: who, where, why, when, how, and what is stored. */
export const indexEntrySchema = z.strictObject({
  schemaVersion: z.literal(1),
  captureId: z.string(),
  state: z.enum(captureOutcomes),
  /** Why the state is not `complete`. */
  reason: z.string().max(1_000).optional(),
  where: z.strictObject({
    clusterName: z.string(),
    namespace: z.string(),
    workload: z.strictObject({ kind: z.string(), name: z.string() }),
    podName: z.string(),
    podUid: z.string(),
    containerName: z.string(),
    containerID: z.string(),
    nodeName: z.string(),
  }),
  why: z.strictObject({
    signalReason: z.enum(signalReasons),
    numbers: z.record(z.string(), z.number()),
    /** The end of the life that left the dump; absent when the JVM itself was dumped. */
    termination: z
      .strictObject({
        reason: z.string(),
        exitCode: z.number().int(),
        containerID: z.string().optional(),
        startedTime: time.optional(),
        finishedTime: time.optional(),
      })
      .optional(),
    /** Why that life ended, where memory or the JVM is the cause; `numbers` support it. */
    ending: z
      .strictObject({ cause: z.enum(endCauses), explanation: z.string().max(400) })
      .optional(),
    /** What the crash log of that life says. */
    crash: crashFacts.optional(),
    /** The life was watched, since the one before it had ended by this cause: thresholds were lower. */
    watch: z.strictObject({ cause: z.enum(endCauses), endTime: time, untilTime: time }).optional(),
  }),
  when: z.strictObject({
    observedTime: time,
    expectedKillTime: time.optional(),
    acquireTime: time,
    agentStartTime: time.optional(),
    jvmFoundTime: time.optional(),
    attachTime: time.optional(),
    dumpStartTime: time.optional(),
    firstByteTime: time.optional(),
    lastByteTime: time.optional(),
    durableTime: time.optional(),
    sealTime: time,
  }),
  how: z.strictObject({
    rung: z.enum(rungs).optional(),
    layout: layoutChoice.optional(),
    refusedRungs: z.record(z.string(), z.string()),
    finisher: z.enum(['seal', 'sweep']),
    /** `leftover`: a file that an ended life left in a volume. Absent: written by the JVM for this capture. */
    source: z.literal('leftover').optional(),
    leftover: leftoverFile.optional(),
    jvm: jvmFacts.optional(),
    work: workFacts.optional(),
  }),
  /** Of the time just before the dump. */
  memory: memoryFacts.optional(),
  objects: z.strictObject({
    prefix: z.string(),
    /** Evidence and heap dump are encrypted; absent when they are not. */
    encryption: encryptionSchema.optional(),
    /** From expireTime on S3 removes all of them, this entry too. Absent in entries of before. */
    retention: z.strictObject({ days: z.number().int().min(1), expireTime: time }).optional(),
    evidence: z.array(
      z.strictObject({
        artifact: z.enum(artifacts).exclude(['heapDump']),
        objectKey: z.string(),
        bytes: z.number().int(),
        md5: z.string().optional(),
      }),
    ),
    heapDump: dumpResult
      .omit({ parts: true })
      .partial()
      .extend({
        objectKey: z.string(),
        /** Size of the stored object. */
        compressedBytes: z.number().int(),
        partCount: z.number().int(),
        /** Absent when nothing was redacted; without counts when the agent's account is not there. */
        redaction: redaction.partial().required({ mode: true }).optional(),
      })
      .optional(),
  }),
  faults: z.array(z.strictObject({ code: z.string(), message: z.string() })).max(40),
});
export type IndexEntry = z.output<typeof indexEntrySchema>;

/**
 * Reads an index entry: JSON text, or what was parsed from it.
 * @throws CaptureError InvalidIndexEntry: no JSON, another schemaVersion (says which is accepted), or a field amiss.
 */
export function parseIndexEntry(json: unknown): IndexEntry {
  const value = typeof json === 'string' ? parsedJson(json) : json;
  const version =
    typeof value === 'object' && value !== null && 'schemaVersion' in value
      ? value.schemaVersion
      : undefined;
  if (version !== 1) {
    throw new CaptureError(
      'InvalidIndexEntry',
      `index entry has schemaVersion ${shown(version)}: this version reads schemaVersion 1`,
    );
  }
  return validate(indexEntrySchema, value, 'InvalidIndexEntry', 'index entry');
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CaptureError('InvalidIndexEntry', `index entry is not JSON: ${shown(text)}`, {
      cause,
    });
  }
}

/** A manifest's times and dump without what the entry has in another place or not at all. */
const agentSteps = z.object(agentTimes.shape).omit({ startTime: true, endTime: true });
const dumpAccount = z.object(dumpResult.shape).omit({ parts: true, compositeMd5: true });

type StoredEvidence = IndexEntry['objects']['evidence'][number];
type HeapDumpEntry = NonNullable<IndexEntry['objects']['heapDump']>;

export interface IndexEntryInput {
  record: CaptureRecord;
  outcome: CaptureOutcome;
  /** Why the outcome is not `complete`. */
  reason?: string;
  finisher: 'seal' | 'sweep';
  /** Of a life that ended for memory or by the JVM. */
  ending?: EndVerdict;
  sealTime: Date;
  manifest?: Manifest;
  /** What is known of the JVM when no manifest came. */
  progress?: Progress;
  /** What is really stored, as the finisher saw it. */
  evidence: readonly {
    artifact: StoredEvidence['artifact'];
    objectKey: string;
    bytes: number;
    md5?: string;
  }[];
  heapDump?: {
    objectKey: string;
    compressedBytes: number;
    partCount: number;
    endFrameBytes?: number;
    /** As the finisher held it against the object. */
    compositeMd5?: string;
  };
  retention?: Retention;
  /** The finisher's own; the manifest's are added. */
  faults?: readonly { code: string; message: string }[];
}

/** The entry of a capture that has ended, from what its finisher knows. Texts and lists are cut to the schema's bounds. */
export function buildIndexEntry(input: IndexEntryInput): IndexEntry {
  const { record, manifest } = input;
  const jvm = manifest?.jvm ?? input.progress?.jvm;
  return {
    schemaVersion: 1,
    captureId: record.captureId,
    state: input.outcome,
    ...(input.reason === undefined ? {} : { reason: input.reason.slice(0, 1_000) }),
    where: {
      clusterName: record.clusterName,
      namespace: record.namespace,
      workload: { kind: record.workload.kind, name: record.workload.name },
      podName: record.podName,
      podUid: record.podUid,
      containerName: record.containerName,
      containerID: record.containerID,
      nodeName: record.nodeName,
    },
    why: whyOf(input),
    when: whenOf(input),
    how: {
      ...(record.started === undefined ? {} : { rung: record.started.rung }),
      refusedRungs: { ...record.started?.refusedRungs },
      finisher: input.finisher,
      ...(record.termination === undefined ? {} : { source: 'leftover' as const }),
      ...(manifest?.leftover === undefined ? {} : { leftover: manifest.leftover }),
      ...(jvm === undefined ? {} : { jvm }),
      ...(manifest?.layout === undefined ? {} : { layout: manifest.layout }),
      ...(manifest?.work === undefined ? {} : { work: manifest.work }),
    },
    ...(manifest?.memory === undefined ? {} : { memory: manifest.memory }),
    objects: {
      prefix: record.objectPrefix,
      ...(record.started?.encryption && { encryption: record.started.encryption }),
      ...(input.retention && { retention: kept(input.retention) }),
      evidence: input.evidence.map((stored) => ({ ...stored })),
      ...(input.heapDump === undefined
        ? {}
        : { heapDump: heapDumpEntry(input.heapDump, manifest?.dump, record.policy.redact) }),
    },
    faults: [...(input.faults ?? []), ...(manifest?.faults ?? [])].slice(0, 40),
  };
}

function kept({ days, expireTime }: Retention): IndexEntry['objects']['retention'] {
  return { days, expireTime };
}

function whyOf({ record, manifest, ending }: IndexEntryInput): IndexEntry['why'] {
  const { signal, policy, termination } = record;
  const watch = watchOf(signal, policy, new Date(signal.observedTime));
  return {
    signalReason: signal.reason,
    numbers: Object.fromEntries(
      Object.entries(signal.numbers).filter(
        (pair): pair is [string, number] => pair[1] !== undefined,
      ),
    ),
    ...(termination === undefined ? {} : { termination }),
    ...(ending === undefined ? {} : { ending: { ...ending } }),
    ...(manifest?.crash === undefined ? {} : { crash: manifest.crash }),
    ...(watch === undefined ? {} : { watch }),
  };
}

function whenOf({ record, manifest, sealTime }: IndexEntryInput): IndexEntry['when'] {
  const times = manifest?.times;
  const { observedTime, expectedKillTime } = record.signal;
  return {
    observedTime,
    ...(expectedKillTime === undefined ? {} : { expectedKillTime }),
    acquireTime: record.acquireTime,
    ...(times === undefined ? {} : { agentStartTime: times.startTime }),
    ...(times === undefined ? {} : agentSteps.parse(times)),
    sealTime: sealTime.toISOString(),
  };
}

/**
 * The agent's account of the dump counts only where it speaks of the very object that is stored: after a
 * salvage with other parts its checksum and sizes would be those of something else.
 */
function heapDumpEntry(
  stored: NonNullable<IndexEntryInput['heapDump']>,
  claimed: Manifest['dump'],
  redact: Policy['redact'] | undefined,
): HeapDumpEntry {
  const same =
    claimed?.compressedBytes === stored.compressedBytes &&
    claimed.parts.length === stored.partCount;
  if (!same) {
    // An agent that cannot redact stores nothing: what is there was redacted as ordered. A record of a claim by an
    // older function has no such order.
    const mode = redact ?? 'none';
    return { ...stored, ...(mode !== 'none' && { redaction: { mode } }) };
  }
  return { ...dumpAccount.parse(claimed), ...stored };
}
