import * as z from 'zod';
import { agentLayouts } from '../claim/capture-record.ts';
import { crashKinds } from '../jvm/crash-log.ts';
import { pressures } from '../jvm/memory-pressure.ts';
import { artifacts, redactModes, rungs } from '../policy/policy.ts';
import { maxPartCount, maxRenewalCount } from './ticket.ts';

const time = z.iso.datetime({ offset: true });
const bytes = z.number().int().min(0);
const md5 = z.string().regex(/^[0-9a-f]{32}$/, { error: 'accepted are 32 hexadecimal digits' });
const reason = z.string().max(1_000);

/** Steps of the agent, in the order in which they can happen. Each time is RFC 3339, by the agent's clock. */
export const agentTimes = z.strictObject({
  startTime: time,
  jvmFoundTime: time.optional(),
  attachTime: time.optional(),
  dumpStartTime: time.optional(),
  firstByteTime: time.optional(),
  lastByteTime: time.optional(),
  durableTime: time.optional(),
  endTime: time,
});

/** The JVM, as far as it answered. */
export const jvmFacts = z.strictObject({
  pid: z.number().int().min(1),
  vmName: z.string().max(200).optional(),
  vmVersion: z.string().max(200).optional(),
  jdkVersion: z.string().max(200).optional(),
  collector: z.string().max(100).optional(),
  heapUsedBytes: bytes.optional(),
  heapCommittedBytes: bytes.optional(),
  heapMaxBytes: bytes.optional(),
});

/** Where the memory is under pressure, and the numbers behind it. What is not known is absent. */
export const memoryFacts = z.strictObject({
  pressure: z.enum(pressures),
  explanation: z.string().max(300),
  heapUsedBytes: bytes.optional(),
  heapUsedAfterGcBytes: bytes.optional(),
  heapCommittedBytes: bytes.optional(),
  heapMaxBytes: bytes.optional(),
  offHeapBytes: bytes.optional(),
  directBytes: bytes.optional(),
  directMaxBytes: bytes.optional(),
  residentBytes: bytes.optional(),
  containerUsedBytes: bytes.optional(),
  containerLimitBytes: bytes.optional(),
});

/** How the agent worked beside the JVM, and why. The words of pace and shape stand in docs/glossary.md. */
export const workFacts = z.strictObject({
  pace: z.enum(['overlap', 'niced', 'heldBack']),
  paceReason: z.string().max(300),
  shape: z.enum(['ordered', 'small']),
  shapeReason: z.string().max(300),
  /** Left below the memory limit that counts, before the dump. */
  headroomBytes: bytes.optional(),
});

/** Whether attacher and uploader worked together, or had room for one of them only, and the numbers. */
export const layoutChoice = z.strictObject({
  layout: z.enum(agentLayouts),
  reason: z.string().max(300),
});

/** What was zeroed in a dump before it was stored. */
export const redaction = z.strictObject({
  mode: z.enum(redactModes).exclude(['none']),
  zeroedBytes: bytes,
  /** Instances that lost their references too, since their class was not described before them. */
  blankedInstanceCount: bytes,
});

/** The file of an ended life that was collected. */
export const leftoverFile = z.strictObject({
  /** In the container's own view. */
  path: z.string().max(1_024),
  /** The time of the heap in it, by the clock of the volume. */
  modifiedTime: time,
  /** With its segment files. */
  bytes,
});

/** What the head of a crash log says (lib/jvm/crash-log.ts). */
export const crashFacts = z.strictObject({
  kind: z.enum(crashKinds),
  cause: z.string().max(200).optional(),
  frame: z.string().max(200).optional(),
});

export const dumpResult = z.strictObject({
  codec: z.literal('zstd'),
  /** hprof bytes as the JVM wrote them (with the end record that was appended, if it was). */
  rawBytes: bytes,
  compressedBytes: bytes,
  /** MD5 of the parts' MD5s and their number (composite-md5.ts). Absent in accounts by older agents. */
  compositeMd5: z
    .string()
    .regex(/^[0-9a-f]{32}-[0-9]{1,5}$/)
    .optional(),
  /** SHA-256 of the stored object, hexadecimal, by older agents that sent it as one stream. */
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  identifierByteSize: z.union([z.literal(4), z.literal(8)]).optional(),
  recordCount: bytes,
  /**
   * The dump is whole: the JVM wrote its own end record at an unbroken chain's end, or all of its segment files came
   * whole and it had begun to merge them, with nothing but its end record behind them.
   */
  endRecord: z.boolean(),
  /** Bytes that were added to make it parseable: zeros that fill a cut record, and the end record. */
  appendedBytes: bytes,
  /** Absent when nothing was redacted. */
  redaction: redaction.optional(),
  /** Size of the last zstd frame that holds anything: the end record alone. */
  endFrameBytes: z.number().int().min(1).max(1_024),
  /** Size of the seek table (zstd seekable format) behind it, at the object's very end. */
  seekTableBytes: bytes.optional(),
  parts: z
    .array(
      z.strictObject({
        partNumber: z.number().int().min(1).max(maxPartCount),
        bytes: z.number().int().min(1),
        md5,
        eTag: z.string().min(1).max(200),
      }),
    )
    .min(1)
    .max(maxPartCount),
});

/** The agent's last word, put under the capture's prefix after everything else is durable. */
export const manifestSchema = z.strictObject({
  schemaVersion: z.literal(1),
  captureId: z.string().regex(/^[a-z0-9]{16,40}$/),
  fencingToken: z.number().int().min(1),
  rung: z.enum(rungs),
  agentVersion: z.string().max(50),
  times: agentTimes,
  /** Absent where only one agent was started. */
  layout: layoutChoice.optional(),
  jvm: jvmFacts.optional(),
  memory: memoryFacts.optional(),
  work: workFacts.optional(),
  evidence: z
    .array(
      z.strictObject({
        artifact: z.enum(artifacts).exclude(['heapDump']),
        bytes,
        md5,
      }),
    )
    .max(8),
  dump: dumpResult.optional(),
  /** The agent stopped following the dump while the JVM went on writing it: the application stands still on. */
  dumpGoesOn: z.literal(true).optional(),
  leftover: leftoverFile.optional(),
  /** Of the life that ended. */
  crash: crashFacts.optional(),
  /** Typed reasons of everything that could not be done, e.g. `JvmNotFound`. Empty when all went well. */
  faults: z.array(z.strictObject({ code: z.string().max(100), message: reason })).max(20),
});
export type Manifest = z.output<typeof manifestSchema>;

/**
 * How far the agent is. Put at most once a second, and always *before* a part that ends inside a record:
 * such a record is larger than a part, so that no boundary could be cut. All other parts end on a record
 * boundary. That is what lets sweep finish a dump without reading it.
 */
export const progressSchema = z.strictObject({
  schemaVersion: z.literal(1),
  captureId: z.string().regex(/^[a-z0-9]{16,40}$/),
  fencingToken: z.number().int().min(1),
  time,
  step: z.enum([...artifacts, 'done']),
  rawBytes: bytes,
  compressedBytes: bytes,
  sentBytes: bytes,
  sentPartCount: z.number().int().min(0).max(maxPartCount),
  /** While the dump is written: how much is to be expected, how fast it goes, how long it may take. */
  estimate: z
    .strictObject({
      expectedBytes: bytes,
      /** 1.4 times the used heap, or the ticket's upper estimate where the JVM did not tell. */
      basedOn: z.enum(['heapUsedBytes', 'ticket']),
      /** Of the last 10 seconds. */
      rawBytesPerSecond: bytes,
      sentBytesPerSecond: bytes,
      /** Absent while nothing moves, and when the dump has outgrown what was expected. */
      remainingSeconds: bytes.optional(),
    })
    .optional(),
  /**
   * Parts that end inside a record, and the bytes of it that are still to come. Each stays here until a part after
   * it is stored without a gap: so long it could be the last that arrived.
   */
  openParts: z
    .array(z.strictObject({ partNumber: z.number().int().min(1), remainingBytes: bytes }))
    .max(64),
  /**
   * First part numbers of the streams that the object is made of, ascending: the base of a dump of JDK ≥ 22, its
   * segments, the rest. Put before the first part of a segment. Each stream ends where the next begins, with a
   * whole record unless its last stored part is open. Absent when all parts are one stream.
   */
  streams: z.array(z.number().int().min(1).max(maxPartCount)).min(1).max(66).optional(),
  /** Put before the last part is sent, which ends in the end record: nothing must be appended after it. */
  finalPartNumber: z.number().int().min(1).max(maxPartCount).optional(),
  jvm: jvmFacts.optional(),
  /** The fresh ticket that the agent asks for: its number, and how many part URLs it should have at least. */
  renewalWish: z
    .strictObject({
      number: z.number().int().min(1).max(maxRenewalCount),
      partCount: z.number().int().min(1).max(maxPartCount).optional(),
    })
    .optional(),
});
export type RenewalWish = NonNullable<z.output<typeof progressSchema>['renewalWish']>;
export type Progress = z.output<typeof progressSchema>;
