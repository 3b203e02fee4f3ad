import { CaptureError, messageOf } from '../../errors.ts';
import { HeapSurvey, type Survey } from '../../hprof/survey.ts';
import { buildReport, type RetainedPart } from '../../report/build-report.ts';
import type { CaptureFacts, Report } from '../../report/report-schema.ts';
import type { DumpSource } from './dump-source.ts';

export interface ReportOptions {
  /** As the report calls it. */
  readonly fileName: string;
  readonly capture?: CaptureFacts | undefined;
}

/**
 * Reads a dump and reports on it. One that breaks off, or of which a part is no dump, is reported as far as it goes.
 * @throws CaptureError InvalidHprof: nothing of it can be read: another format, Android.
 */
export async function createReport(source: DumpSource, options: ReportOptions): Promise<Report> {
  const { survey, fault } = await surveyOf(source);
  return buildReport({
    survey,
    fault,
    fileName: options.fileName,
    fileBytes: source.fileBytes,
    codec: source.codec,
    retained: await retainedOf(),
    capture: options.capture,
  });
}

async function surveyOf(source: DumpSource): Promise<{ survey: Survey; fault?: string }> {
  const survey = new HeapSurvey();
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

function retainedOf(): Promise<RetainedPart> {
  return Promise.resolve({
    retained: {
      state: 'notComputed',
      reason: 'this version does not.',
      howTo: 'Eclipse MAT and VisualVM open the dump.',
    },
  });
}
