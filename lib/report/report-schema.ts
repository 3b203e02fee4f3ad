import * as z from 'zod';
import { rootKinds } from '../hprof/root-kinds.ts';
import { validate } from '../validation.ts';

const count = z.number().int().min(0);
const text = z.string().max(70_000);
const time = z.iso.datetime({ offset: true });

/** A class by name: two class loaders may each have one. */
const classRow = z.strictObject({
  className: text,
  instanceCount: count,
  /** Fields and elements as the dump has them: references are identifierByteSize wide, no headers, no padding. */
  shallowBytes: count,
  /** As they lie in the JVM's heap, with header and padding; what GC.class_histogram shows. */
  heapBytes: count.optional(),
  /** Freed if none of its instances were there. */
  retainedBytes: count.optional(),
});

/** One step from a GC root to an object: what refers to the next, and how. */
const pathStep = z.strictObject({
  className: text,
  id: z.string().max(20),
  /** `field entries`, `static field cache`, `element 17`; absent at the path's end. */
  reference: text.optional(),
  retainedBytes: count.optional(),
});

const suspect = z.strictObject({
  /** The sentence that the page shows. */
  explanation: text,
  className: text,
  id: z.string().max(20),
  instanceCount: count,
  retainedBytes: count,
  /** Of all reachable bytes, 0 to 1. */
  share: z.number().min(0).max(1),
  /** From the GC root to it. */
  root: z.string().max(1_000),
  path: z.array(pathStep).max(200),
  /** What it keeps, by class. */
  contents: z
    .array(z.strictObject({ className: text, instanceCount: count, heapBytes: count }))
    .max(50),
  /** Where it is a collection of java.util: elements, and places for them. */
  fill: z.strictObject({ size: count, capacity: count }).optional(),
});
export type Suspect = z.output<typeof suspect>;

const retained = z.discriminatedUnion('state', [
  z.strictObject({
    state: z.literal('computed'),
    objectCount: count,
    heapBytes: count,
    reachableBytes: count,
    unreachableBytes: count,
    unreachableCount: count,
    /** References to identifiers that are no object of the dump. */
    danglingReferenceCount: count,
    suspects: z.array(suspect).max(20),
    /** Largest objects of the dominator tree's first level. */
    largest: z
      .array(
        z.strictObject({
          className: text,
          id: z.string().max(20),
          heapBytes: count,
          retainedBytes: count,
        }),
      )
      .max(200),
  }),
  z.strictObject({
    state: z.literal('notComputed'),
    reason: z.string().max(1_000),
    /** What to do to have them. */
    howTo: z.string().max(1_000),
  }),
]);

/** What a report says of the capture that the dump comes from. */
const capture = z.strictObject({
  captureId: z.string().max(100),
  workload: z.string().max(1_000),
  podName: z.string().max(300),
  state: z.string().max(100),
  reason: z.string().max(1_000),
  memory: z.string().max(1_000).optional(),
  /** Oldest first. */
  timeline: z.array(z.strictObject({ time, step: z.string().max(1_000) })).max(50),
});
export type CaptureFacts = z.output<typeof capture>;

/** A report on one heap dump, as `report.json` holds it. Lists are bounded, largest first. */
export const reportSchema = z.strictObject({
  schemaVersion: z.literal(1),
  /** One sentence: what filled the heap. */
  verdict: text,
  /** What makes a number less than it seems. */
  warnings: z.array(z.string().max(2_000)).max(50),
  dump: z.strictObject({
    fileName: text,
    fileBytes: count,
    codec: z.enum(['none', 'zstd', 'gzip']),
    bytes: count,
    version: z.enum(['1.0.1', '1.0.2']).optional(),
    identifierByteSize: z.union([z.literal(4), z.literal(8)]).optional(),
    dumpTime: time.optional(),
    /** An unbroken record chain up to the end record. */
    whole: z.boolean(),
    recordCount: count,
  }),
  totals: z.strictObject({
    instanceCount: count,
    objectArrayCount: count,
    primitiveArrayCount: count,
    classCount: count,
    shallowBytes: count,
    rootCount: count,
  }),
  classNameCount: count,
  classes: z.array(classRow).max(10_000),
  largestArrays: z
    .array(
      z.strictObject({
        className: text,
        id: z.string().max(20),
        elementCount: count,
        valueBytes: count,
      }),
    )
    .max(100),
  /** Arrays of byte and char with the same elements: mostly the texts of strings. */
  equalArrays: z.strictObject({
    arrayCount: count,
    valueBytes: count,
    duplicateCount: count,
    duplicateBytes: count,
    top: z
      .array(
        z.strictObject({
          className: text,
          /** The first characters, where they are text and were looked up. */
          preview: z.string().max(200).optional(),
          arrayCount: count,
          valueBytes: count,
        }),
      )
      .max(100),
  }),
  /** Threads with the same stack are one entry. */
  stacks: z
    .array(
      z.strictObject({
        threads: z
          .array(z.strictObject({ serial: count, name: text.optional(), localCount: count }))
          .max(1_000),
        threadCount: count,
        frames: z.array(text).max(512),
        frameCount: count,
      }),
    )
    .max(2_000),
  threadCount: count,
  roots: z.partialRecord(z.enum(Object.values(rootKinds)), count),
  loaders: z
    .array(z.strictObject({ className: text, id: z.string().max(20), classCount: count }))
    .max(500),
  /** Classes of one name that several loaders have. */
  duplicateClasses: z.array(z.strictObject({ className: text, loaderCount: count })).max(500),
  retained,
  capture: capture.optional(),
});
export type Report = z.output<typeof reportSchema>;

/** @throws CaptureError InvalidReport: no report, or one of another schemaVersion. */
export function parseReport(input: unknown, what: string): Report {
  return validate(reportSchema, input, 'InvalidReport', what);
}
