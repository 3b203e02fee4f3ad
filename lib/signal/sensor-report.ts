import * as z from 'zod';
import { metrics } from '../policy/thresholds.ts';

/** Bounds of one report. An agent with more to say sends several. */
export const maxReportContainerCount = 100;
export const maxReportSampleCount = 20;
export const maxReportBytes = 512 * 1024;

const number = z.number().min(0).max(Number.MAX_SAFE_INTEGER);

/** What one node's agent measured of its JVMs since its last report. Travels as JSON to the forwarder. */
export const sensorReportSchema = z.strictObject({
  schemaVersion: z.literal(1),
  nodeName: z.string().min(1).max(253),
  containers: z
    .array(
      z.strictObject({
        podUid: z
          .string()
          .min(1)
          .max(64)
          .regex(/^[-A-Za-z0-9]+$/),
        /** The container's id as its runtime has it: containerID without `containerd://`. */
        runtimeID: z.string().regex(/^[0-9a-f]{64}$/),
        /** Of the JVM's process, in ticks since the node's start: tells one JVM of a container from the next. */
        startTicks: z.string().regex(/^\d{1,20}$/),
        /** Oldest first. Absent is what is not known. */
        samples: z
          .array(
            z.strictObject({
              epochMilliseconds: z.number().int().min(0).max(8_640_000_000_000_000),
              values: z.partialRecord(z.enum(metrics), number),
              totals: z
                .strictObject({
                  fullGcCount: number.exactOptional(),
                  youngGcCount: number.exactOptional(),
                  gcSeconds: number.exactOptional(),
                })
                .prefault({}),
            }),
          )
          .min(1)
          .max(maxReportSampleCount),
      }),
    )
    .max(maxReportContainerCount),
});
export type SensorReport = z.output<typeof sensorReportSchema>;
export type SensedContainer = SensorReport['containers'][number];

/**
 * What the forwarder answers, as far as the agent reads it: beyond which values a container's numbers are worth telling at once, since a
 * threshold of its policy lies there. A forwarder that says nothing of it, or more, is understood.
 */
export const sensorAnswerSchema = z.object({
  levels: z
    .array(
      z.object({
        runtimeID: sensorReportSchema.shape.containers.element.shape.runtimeID,
        levels: z.partialRecord(z.enum(metrics), number),
      }),
    )
    .max(maxReportContainerCount)
    .default([]),
});
export type SensorAnswer = z.output<typeof sensorAnswerSchema>;
