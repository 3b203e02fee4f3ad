import * as z from 'zod';
import { dataKeyBytes, encryptionAlgorithm } from '../dump-index/encryption.ts';
import { artifacts, redactModes, rungs } from '../policy/policy.ts';

/** S3 allows parts of 5 MiB to 5 GiB but for the last, and 10,000 of them. */
export const minPartBytes = 5 * 1024 * 1024;
export const maxPartCount = 10_000;
/** The smallest that S3 takes: what is not yet a part is lost with the agent. */
export const defaultPartBytes = minPartBytes;
/** Small, since each stream holds three: with 2 MiB the agent's peak was 20 MiB higher, the ratio the same (docs/decisions). */
export const defaultBlockBytes = 512 * 1024;

/** 10,000 presigned URLs of some 1.5 KiB. */
export const maxTicketBytes = 32 * 1024 * 1024;
/** The longest capture has an hour; one that asks more often than every few seconds is out of order. */
export const maxRenewalCount = 1_000;

const time = z.iso.datetime({ offset: true, error: 'accepted is an RFC 3339 time' });
const httpUrl = z
  .url({ protocol: /^https?$/, error: 'accepted is an http or https URL' })
  .max(4_096);
/** An absolute path without `..`, NUL or line breaks. */
export const absolutePath = z
  .string()
  .max(1_024)
  .regex(/^\/(?!.*(?:^|\/)\.\.(?:\/|$))[^\0\n\r]*$/, {
    error: 'accepted is an absolute path without ".."',
  });

/**
 * The agent's order: what to capture, from which container, and where to put it. An object under
 * `tickets/`, fetched by a short-lived URL, and again where it was renewed. Every URL in it is a secret as long as it
 * lives.
 */
export const ticketSchema = z.strictObject({
  schemaVersion: z.literal(1),
  captureId: z.string().regex(/^[a-z0-9]{16,40}$/),
  fencingToken: z.number().int().min(1),
  rung: z.enum(rungs),
  target: z.strictObject({
    clusterName: z.string().max(100),
    namespace: z.string().max(63),
    podName: z.string().max(253),
    podUid: z.string().max(64),
    containerName: z.string().max(63),
    containerID: z.string().max(200),
  }),
  issuedTime: time,
  /** The agent refuses to begin after it (TicketExpired). */
  startDeadlineTime: time,
  /** The agent stops by itself at it, whatever it is doing. */
  captureDeadlineTime: time,
  /** What to collect, in this order, each durable before the next begins. */
  evidence: z
    .array(z.strictObject({ artifact: z.enum(artifacts).exclude(['heapDump']), putUrl: httpUrl }))
    .max(8),
  heapDump: z
    .strictObject({
      codec: z.literal('zstd'),
      /** Raw bytes of one independent zstd frame. */
      blockBytes: z
        .number()
        .int()
        .min(65_536)
        .max(16 * 1024 * 1024),
      /** The first parts are sent when their frames reach this size (lib/capture/part-layout.ts); only the last may be smaller. */
      partBytes: z
        .number()
        .int()
        .min(minPartBytes)
        .max(64 * 1024 * 1024),
      /** URL of part n is partUrls[n - 1]. */
      partUrls: z.array(httpUrl).min(1).max(maxPartCount),
      /** Directories in the target container's own view, best first; the agent checks each. */
      directories: z.array(absolutePath).min(1).max(16),
      /** Bytes that a dump may have in one of the directories, where that is less than is expected. */
      sizeLimits: z.record(absolutePath, z.number().int().min(0)).optional(),
      /** Upper estimate; the free space asked for. */
      expectedBytes: z.number().int().min(0),
      /** What the agent zeroes before it compresses; a dump with which it cannot do so is not stored. */
      redact: z.enum(redactModes).exclude(['none']).optional(),
      /** Lets the merge of JDK ≥ 22 fail at once, which spares the application its second stall. */
      skipMerge: z.boolean().optional(),
      /** No kill is expected: the agent may leave the CPU to the JVM until that has written its dump. */
      mayWait: z.boolean().optional(),
    })
    .optional(),
  /**
   * Present when dumps are to be collected that an ended life of the container left in its volumes: the JVM is asked
   * for nothing, and `heapDump` says how the file is sent.
   */
  leftovers: z
    .strictObject({
      /** Mount points in the container's own view. */
      directories: z
        .array(z.strictObject({ path: absolutePath, outlivesPod: z.boolean() }))
        .min(1)
        .max(16),
      /** The end of that life. Times are the node's, in whole seconds. */
      termination: z.strictObject({
        reason: z.string().max(200),
        exitCode: z.number().int(),
        startedTime: time.optional(),
        finishedTime: time.optional(),
      }),
      /** A capture that may still be at work on its own file. */
      heldCaptureId: z.string().max(40).optional(),
    })
    .optional(),
  /** With what the agent encrypts evidence and dump (sealed-frames.ts); as much a secret as the URLs. */
  encryption: z
    .strictObject({
      algorithm: z.literal(encryptionAlgorithm),
      /** The plain data key, base64. */
      dataKey: z
        .base64()
        .max(64)
        .refine((text) => Buffer.from(text, 'base64').length === dataKeyBytes, {
          error: `accepted are ${dataKeyBytes} bytes in base64`,
        }),
    })
    .optional(),
  progressUrl: httpUrl,
  manifestUrl: httpUrl,
  /**
   * How the agent gets a fresh ticket (renew-tickets.ts), since a URL ends with the credentials that signed it, whatever
   * it says itself. Absent for the exec agent, which does not ask for one.
   */
  renewal: z
    .strictObject({
      /** Of this very ticket, which is written anew in its place. */
      getUrl: httpUrl,
      /** 0 of the first ticket; grows by one each time. */
      number: z.number().int().min(0).max(maxRenewalCount),
      /** From then on the agent wishes for the next one. */
      wishTime: time,
    })
    .optional(),
});
export type Ticket = z.output<typeof ticketSchema>;
