import { HeapSurvey } from '../../lib/hprof/survey.ts';
import { buildReport, type ReportInput } from '../../lib/report/build-report.ts';
import type { Report } from '../../lib/report/report-schema.ts';

/** A report on these bytes, without retained sizes unless they are given. */
export function reportOn(bytes: Uint8Array, input: Partial<ReportInput> = {}): Report {
  const survey = new HeapSurvey();
  if (!input.survey) survey.push(bytes);
  return buildReport({
    survey: survey.finish(),
    fileName: 'heap.hprof',
    fileBytes: bytes.length,
    codec: 'none',
    retained: {
      retained: { state: 'notComputed', reason: 'nobody asked', howTo: 'ask' },
    },
    ...input,
  });
}
