import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { CaptureRecord } from '../claim/capture-record.ts';
import type { ClaimStore } from '../claim/claim-store.ts';
import type { Progress } from './manifest.ts';
import type { Clock, ObjectStore } from './ports.ts';
import { readProgress } from './read-account.ts';

/** How far a capture is, for a person: a sentence without its full stop. What is estimated is called so. */
export function progressWords(progress: Progress, now: Date): string {
  const { step, rawBytes, sentBytes, estimate } = progress;
  const seconds = Math.max(0, Math.round((now.getTime() - Date.parse(progress.time)) / 1_000));
  const asOf = `as of ${seconds} s ago`;
  if (step === 'done') return `everything is stored, ${asOf}`;
  if (step !== 'heapDump') return `${step} is being collected, ${asOf}`;
  const numbers = `${mebibytes(rawBytes)} read, ${mebibytes(sentBytes)} sent`;
  if (estimate === undefined) return `heapDump: ${numbers}, ${asOf}`;
  const left =
    estimate.remainingSeconds === undefined
      ? 'time left unknown'
      : `about ${Math.ceil(estimate.remainingSeconds)} s left (estimate)`;
  return `heapDump: ${percentOf(rawBytes, estimate.expectedBytes)} % (${numbers}, about ${mebibytes(estimate.expectedBytes)} expected), ${left}, ${asOf}`;
}

/** 0 to 99: the expected size is an estimate, which the dump may pass, and only its end is 100. */
export function percentOf(rawBytes: number, expectedBytes: number): number {
  return expectedBytes <= 0 ? 99 : Math.min(99, Math.floor((100 * rawBytes) / expectedBytes));
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / (1024 * 1024))} MiB`;
}

export interface ProgressDeps {
  claims: Pick<ClaimStore, 'readCapture'>;
  objects: ObjectStore;
  clock: Clock;
  logger: Logger;
}

/** What is known of a capture that stands in the way of another. */
export interface HolderFacts {
  record?: CaptureRecord;
  /** Absent when it does not run, has told nothing yet, or cannot be read. */
  words?: string;
}

/** Asks for the capture that stands in the way. Never throws: the answer that it adorns is right without it. */
export async function readHolder(
  { claims, objects, clock, logger }: ProgressDeps,
  captureId: string,
): Promise<HolderFacts> {
  let record: CaptureRecord | undefined;
  try {
    record = await claims.readCapture(captureId);
    if (record?.state !== 'started') return record === undefined ? {} : { record };
    const progress = await readProgress(objects, record);
    if (progress.found === 'valid')
      return { record, words: progressWords(progress.value, clock()) };
  } catch (error) {
    // Without the right to list the bucket S3 answers 403 for what the agent has not put yet.
    logger.debug('progress not read', { captureId, reason: messageOf(error) });
  }
  return record === undefined ? {} : { record };
}
