import { percentOf, progressWords } from '../../capture/progress-words.ts';
import type { Progress } from '../../capture/manifest.ts';
import type { CaptureRecord } from '../../claim/capture-record.ts';
import { messageOf } from '../../errors.ts';
import { progressOf } from '../captures/follow-capture.ts';
import type { Place } from '../place.ts';

const maxRunningCount = 100;

/** Something to tell of a capture that runs. */
export interface OpenCapture {
  readonly record: CaptureRecord;
  readonly step: 'started' | 'progress';
  /** How far it is. */
  readonly words?: string;
}

/** Looks at the captures that run. Where that is not possible it is noted once, and nothing is told. */
export function openCaptures(
  { claims, objects }: Pick<Place, 'claims' | 'objects'>,
  note: (text: string) => void,
): { look(now: Date): Promise<OpenCapture[]> } {
  const told = new Map<string, string>();
  let possible = claims !== undefined;
  if (!possible) note('only a bucket is known: captures are shown when they are sealed');
  return {
    async look(now) {
      if (claims === undefined || !possible) return [];
      let running: readonly CaptureRecord[];
      try {
        running = await claims.listRunning(now, maxRunningCount);
      } catch (error) {
        possible = false;
        note(`captures are shown when they are sealed: ${messageOf(error, 300)}`);
        return [];
      }
      const ids = new Set(running.map(({ captureId }) => captureId));
      for (const captureId of told.keys()) if (!ids.has(captureId)) told.delete(captureId);
      const news: OpenCapture[] = [];
      for (const record of running) {
        const { captureId, objectPrefix } = record;
        if (!told.has(captureId)) news.push({ record, step: 'started' });
        const progress = await progressOf(objects, objectPrefix, captureId).catch(() => undefined);
        const mark = progress === undefined ? '' : markOf(progress);
        if (progress !== undefined && told.get(captureId) !== mark) {
          news.push({ record, step: 'progress', words: progressWords(progress, now) });
        }
        told.set(captureId, mark);
      }
      return news;
    },
  };
}

/** What of a progress is worth a line: the step, and of a heap dump each tenth. */
function markOf({ step, rawBytes, estimate }: Progress): string {
  const tenth = estimate ? Math.floor(percentOf(rawBytes, estimate.expectedBytes) / 10) : 0;
  return `${step} ${tenth}`;
}
