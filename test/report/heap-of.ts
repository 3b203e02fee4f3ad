import { LayoutsOfClasses } from '../../lib/hprof/retained/class-layout.ts';
import type { ContentsPass } from '../../lib/hprof/retained/contents-pass.ts';
import { rootSetOf } from '../../lib/hprof/retained/extra-references.ts';
import { ObjectIds } from '../../lib/hprof/retained/object-index.ts';
import { ReferencePass } from '../../lib/hprof/retained/reference-pass.ts';
import { RetainedHeap } from '../../lib/hprof/retained/retained-heap.ts';
import { HeapSurvey } from '../../lib/hprof/survey.ts';
import { CaptureError } from '../../lib/errors.ts';
import { retainedPartOf } from '../../lib/report/retained-part.ts';
import type { Report } from '../../lib/report/report-schema.ts';
import { pushInPieces } from '../hprof/chunks.ts';
import { reportOn } from './sample-report.ts';

/** The heap of these bytes, read in pieces; a dump that breaks off is read as far as it goes. */
export function heapOf(bytes: Uint8Array, cuts: readonly number[] = []): RetainedHeap {
  const ids = new ObjectIds(1_000_000);
  const surveying = new HeapSurvey({ observer: ids });
  untilFault(() => pushInPieces(surveying, bytes, cuts));
  const survey = surveying.finish();
  const index = ids.toIndex();
  if (!index) throw new Error('no index');
  const layouts = new LayoutsOfClasses(survey);
  const rootSet = rootSetOf(survey, index);
  const pass = new ReferencePass(survey, index, layouts, rootSet);
  untilFault(() => pushInPieces(pass, bytes, cuts));
  return new RetainedHeap({ survey, index, layouts, rootSet, graph: pass.finish() });
}

/** A report with retained sizes. */
export async function fullReportOn(
  bytes: Uint8Array,
  cuts: readonly number[] = [],
): Promise<Report> {
  const heap = heapOf(bytes, cuts);
  const run = (pass: ContentsPass): Promise<void> => {
    untilFault(() => pushInPieces(pass, bytes, cuts));
    return Promise.resolve();
  };
  const retained = await retainedPartOf(heap, run);
  return reportOn(bytes, { survey: heap.survey, retained });
}

function untilFault(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
  }
}
