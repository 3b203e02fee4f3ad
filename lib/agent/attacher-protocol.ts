/**
 * What the uploader asks its attacher once they have met (attacher-handshake.ts). One JSON line a question, one a reply;
 * what a command or a look at the process gave follows its line as so many bytes. One question at a time.
 */
import * as z from 'zod';
import { jvmFacts } from '../capture/manifest.ts';
import { rungs } from '../policy/policy.ts';
import type { ErrorCode } from '../errors.ts';
import type { CgroupFacts } from './cgroup-limits.ts';

const wholeNumber = z.number().int().min(0);
/** Of one reply; the same bound as evidence has, and some to spare. */
export const maxOutputBytes = 32 * 1024 * 1024;

/** Of the JVM's answer to VM.native_memory, whose summary has some thousand characters. */
export const maxNativeMemoryLength = 50_000;

const timeoutSeconds = z.number().min(1).max(86_400);
export const questionSchema = z.discriminatedUnion('ask', [
  z.strictObject({
    ask: z.literal('find'),
    target: z.strictObject({
      rung: z.enum(rungs),
      podUid: z.string().max(64),
      containerID: z.string().max(200),
    }),
  }),
  z.strictObject({ ask: z.literal('attach'), timeoutSeconds }),
  z.strictObject({
    ask: z.literal('run'),
    command: z.string().min(1).max(1_024),
    timeoutSeconds,
    maxBytes: wholeNumber.max(maxOutputBytes),
  }),
  z.strictObject({ ask: z.literal('describe'), pids: z.array(wholeNumber.min(1)).max(10) }),
  z.strictObject({ ask: z.literal('factsByCounters') }),
  z.strictObject({
    ask: z.literal('memoryFacts'),
    facts: jvmFacts.optional(),
    nativeMemory: z.string().max(maxNativeMemoryLength).optional(),
  }),
  z.strictObject({ ask: z.literal('askForThreadsInLog') }),
  z.strictObject({ ask: z.literal('cgroupFacts'), rung: z.enum(rungs) }),
]);
export type Question = z.output<typeof questionSchema>;

/** Faults that an attacher can report; any other is AttachFailed. */
const faultCodes = [
  'AttachFailed',
  'AttachDisabled',
  'JvmNotFound',
  'JvmAmbiguous',
  'NotSupported',
] as const satisfies readonly ErrorCode[];
export type FaultCode = (typeof faultCodes)[number];
export const isFaultCode = (code: string): code is FaultCode =>
  (faultCodes as readonly string[]).includes(code);

/** What is told of the process; what else is known of it stays with the attacher. */
export const foundJvmSchema = z.object({
  pid: wholeNumber.min(1),
  namespacePid: wholeNumber.min(1),
  parentPid: wholeNumber,
  uid: wholeNumber,
  gid: wholeNumber,
  groups: z.array(wholeNumber).max(1_000),
  catchesQuit: z.boolean(),
  startTicks: z.string().max(30).optional(),
});

export const replySchema = z.discriminatedUnion('reply', [
  z.strictObject({
    reply: z.literal('found'),
    jvm: foundJvmSchema,
  }),
  z.strictObject({ reply: z.literal('attached') }),
  z.strictObject({
    reply: z.literal('ran'),
    status: z.number().int(),
    truncated: z.boolean(),
    outputBytes: wholeNumber.max(maxOutputBytes),
  }),
  /** The output is JSON. */
  z.strictObject({ reply: z.literal('seen'), outputBytes: wholeNumber.max(maxOutputBytes) }),
  z.strictObject({
    reply: z.literal('failed'),
    code: z.enum(faultCodes),
    message: z.string().max(2_000),
    /** As find-jvm.ts says which processes a refusal is about. */
    pids: z.array(wholeNumber.min(1)).max(10).optional(),
    /** The JVM took the command and did not answer in time. */
    unanswered: z.literal(true).optional(),
  }),
]);
export type Reply = z.output<typeof replySchema>;

const limit = z.union([z.number().min(0), z.literal('none')]).optional();
const levels = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.array(z.object({ path: z.string().max(5_000), ...shape })).max(64);
/** `null` where the view shows none. What is not known is absent. */
export const cgroupFactsSchema = z
  .object({
    version: z.union([z.literal(1), z.literal(2)]),
    cpu: levels({ cpuLimit: limit }),
    memory: levels({ limitBytes: limit, usedBytes: wholeNumber.optional() }),
    cpuCount: wholeNumber.optional(),
    complete: z.boolean(),
  })
  .nullable()
  .transform((facts): CgroupFacts | undefined =>
    facts === null
      ? undefined
      : {
          ...facts,
          cpu: facts.cpu.map(({ path, cpuLimit }) => ({ path, cpuLimit })),
          memory: facts.memory.map(({ path, limitBytes, usedBytes }) => {
            return { path, limitBytes, usedBytes };
          }),
          cpuCount: facts.cpuCount,
        },
  );
