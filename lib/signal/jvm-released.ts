import * as z from 'zod';

/** Where the forwarder takes it. */
export const jvmReleasedPath = '/v1/jvm-released';
export const maxJvmReleasedBytes = 1_024;

/**
 * A node agent's word that a JVM has written the dump of a capture: the rest is read from a file that the agent holds open, and
 * pod and JVM may go. Travels as JSON to the forwarder.
 */
export const jvmReleasedSchema = z.strictObject({
  schemaVersion: z.literal(1),
  nodeName: z.string().min(1).max(253),
  podUid: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[-A-Za-z0-9]+$/),
  captureId: z.string().regex(/^[a-z0-9]{16,40}$/),
});
export type JvmReleased = z.output<typeof jvmReleasedSchema>;
