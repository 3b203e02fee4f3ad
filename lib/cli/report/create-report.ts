import { freemem } from 'node:os';
import { CaptureError, messageOf } from '../../errors.ts';
import { LayoutsOfClasses } from '../../hprof/retained/class-layout.ts';
import { rootSetOf } from '../../hprof/retained/extra-references.ts';
import { ObjectIds } from '../../hprof/retained/object-index.ts';
import { referenceBound, ReferencePass } from '../../hprof/retained/reference-pass.ts';
import { neededBytes, RetainedHeap } from '../../hprof/retained/retained-heap.ts';
import { HeapSurvey, type Survey } from '../../hprof/survey.ts';
import { buildReport, type RetainedPart } from '../../report/build-report.ts';
import type { CaptureFacts, Report } from '../../report/report-schema.ts';
import { retainedPartOf } from '../../report/retained-part.ts';
import { bytesText, countText } from '../../report/words.ts';
import type { DumpSource } from './dump-source.ts';

/** Of the memory that is free when a report begins. */
const usableShare = 0.6;

export interface ReportOptions {
  /** As the report calls it. */
  readonly fileName: string;
  readonly capture?: CaptureFacts | undefined;
  /** For retained sizes, which are not computed when they need more; default 60 % of what is free. 0: not at all. */
  readonly maxMemoryBytes?: number | undefined;
}

/**
 * Reads a dump and reports on it: a first pass surveys it, a second and third one find what keeps what, where memory is
 * enough. One that breaks off, or of which a part is no dump, is reported as far as it goes.
 * @throws CaptureError InvalidHprof: nothing of it can be read: another format, Android.
 */
export async function createReport(source: DumpSource, options: ReportOptions): Promise<Report> {
  const maxMemoryBytes = options.maxMemoryBytes ?? usableMemory();
  const ids = new ObjectIds(Math.floor(maxMemoryBytes / neededBytes(1, 0)));
  const { survey, fault } = await surveyOf(source, ids);
  return buildReport({
    survey,
    fault,
    fileName: options.fileName,
    fileBytes: source.fileBytes,
    codec: source.codec,
    retained: await retainedOf(source, survey, ids, maxMemoryBytes),
    capture: options.capture,
  });
}

function usableMemory(): number {
  const limit = process.constrainedMemory();
  const free = limit > 0 ? Math.min(limit, freemem()) : freemem();
  return Math.floor(free * usableShare);
}

async function surveyOf(
  source: DumpSource,
  ids: ObjectIds,
): Promise<{ survey: Survey; fault?: string }> {
  const survey = new HeapSurvey(ids.maxCount > 0 ? { observer: ids } : {});
  const faults: string[] = [];
  try {
    for await (const chunk of source.read((fault) => faults.push(fault))) survey.push(chunk);
  } catch (error) {
    const readable = error instanceof CaptureError && error.code === 'InvalidHprof';
    if (!readable || survey.finish().chain.recordCount === 0) throw error;
    if (error.message.includes('Android')) throw error;
    faults.push(messageOf(error));
  }
  return { survey: survey.finish(), ...(faults[0] !== undefined && { fault: faults[0] }) };
}

async function retainedOf(
  source: DumpSource,
  survey: Survey,
  ids: ObjectIds,
  maxMemoryBytes: number,
): Promise<RetainedPart> {
  const { instanceCount, objectArrayCount, primitiveArrayCount, classCount } = survey.tally;
  const objectCount = instanceCount + objectArrayCount + primitiveArrayCount + classCount;
  if (maxMemoryBytes === 0)
    return notComputed('nobody asked for them.', 'Leave --no-retained out.');
  if (ids.overflowed)
    return tooLarge(neededBytes(objectCount, objectCount * 2), maxMemoryBytes, objectCount);
  const index = ids.toIndex();
  if (!index) {
    return notComputed(
      'the addresses of the objects are spread over more than 65,536 ranges of 4 GiB.',
      'Eclipse MAT or VisualVM may open the dump.',
    );
  }
  const layouts = new LayoutsOfClasses(survey);
  const rootSet = rootSetOf(survey, index);
  const needed = neededBytes(objectCount, referenceBound(survey, layouts, rootSet));
  if (needed > maxMemoryBytes) return tooLarge(needed, maxMemoryBytes, objectCount);
  try {
    const pass = new ReferencePass(survey, index, layouts, rootSet);
    await run(source, pass);
    const heap = new RetainedHeap({ survey, index, layouts, rootSet, graph: pass.finish() });
    return await retainedPartOf(heap, (contents) => run(source, contents));
  } catch (error) {
    // What Node throws where the system has no memory for an array.
    if (error instanceof RangeError) return tooLarge(needed, maxMemoryBytes, objectCount);
    throw error;
  }
}

/** A pass ends where the survey did. */
async function run(source: DumpSource, pass: { push(chunk: Uint8Array): void }): Promise<void> {
  try {
    for await (const chunk of source.read()) pass.push(chunk);
  } catch (error) {
    if (!(error instanceof CaptureError) || error.code !== 'InvalidHprof') throw error;
  }
}

function tooLarge(needed: number, maxMemoryBytes: number, objectCount: number): RetainedPart {
  return notComputed(
    `${countText(objectCount)} objects need about ${bytesText(needed)} of memory, and ${bytesText(maxMemoryBytes)} may be used.`,
    `Run heapcatch report where more memory is free, or say how much it may use: --max-memory ${Math.ceil(needed / 2 ** 20)} (MiB).`,
  );
}

function notComputed(reason: string, howTo: string): RetainedPart {
  return { retained: { state: 'notComputed', reason, howTo } };
}
