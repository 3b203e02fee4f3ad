import type { CaptureOutcome, CaptureRecord } from '../claim/capture-record.ts';
import { messageOf } from '../errors.ts';
import { concludeCapture, type FinishDeps } from './conclude-capture.ts';
import { lostItsPod } from './lost-pod.ts';
import { readManifest, readProgress } from './read-account.ts';
import type { AgentAccounts, Fault } from './settle-dump.ts';

/** What one run of sweep did. */
export interface SweepAnswer {
  finished: readonly { captureId: string; state: CaptureOutcome; reason?: string }[];
  /** Held by another finisher, or finished by one in the meantime. */
  left: readonly { captureId: string; reason: 'Busy' | 'Finished' | 'Stale' | 'OutOfTime' }[];
  failed: readonly { captureId: string; message: string }[];
}

/** One capture is a few calls and at most one small upload; with less time than this none is begun. */
const minMillisPerCapture = 20_000;

/**
 * Finishes the captures whose lease ended, and those whose agent went with its pod: by the manifest if one lies there
 * whose notification was lost, else from what arrived. One that cannot be finished does not stop the others and is tried
 * again by the next run.
 * @param options limit 1..100 captures in this run; fewer when the time runs out.
 * @throws CaptureError ClaimStoreUnavailable (retryable), when not even the list can be read.
 */
export async function sweepCaptures(
  deps: FinishDeps,
  options: { limit: number },
): Promise<SweepAnswer> {
  const overdue = await deps.claims.listOverdue(deps.clock(), options.limit);
  const running = await deps.claims.listRunning(deps.clock(), options.limit);
  const finished: SweepAnswer['finished'][number][] = [];
  const left: SweepAnswer['left'][number][] = [];
  const failed: SweepAnswer['failed'][number][] = [];
  for (const record of [...overdue, ...running]) {
    const { captureId } = record;
    const isOverdue = overdue.includes(record);
    if (deps.remainingMillis() < minMillisPerCapture) {
      if (isOverdue) left.push({ captureId, reason: 'OutOfTime' });
      continue;
    }
    try {
      if (!isOverdue && !(await lostItsPod(deps, record))) continue;
      const result = await sweepOne(deps, record);
      if (typeof result === 'string') left.push({ captureId, reason: result });
      else finished.push(result);
    } catch (error) {
      const message = messageOf(error);
      deps.logger.error('capture not swept', { captureId, error });
      failed.push({ captureId, message });
    }
  }
  return { finished, left, failed };
}

async function sweepOne(
  deps: FinishDeps,
  record: CaptureRecord,
): Promise<SweepAnswer['finished'][number] | 'Busy' | 'Finished' | 'Stale'> {
  const { captureId } = record;
  const conclusion = await concludeCapture(deps, record, 'sweep', () => readAccounts(deps, record));
  switch (conclusion.outcome) {
    case 'concluded': {
      const { state, reason } = conclusion.entry;
      return { captureId, state, ...(reason === undefined ? {} : { reason }) };
    }
    case 'busy':
      return 'Busy';
    case 'finished':
      return 'Finished';
    case 'stale':
      return 'Stale';
  }
}

/** What cannot be believed is left out and named: a forged manifest must not keep a capture open for ever. */
async function readAccounts(
  deps: FinishDeps,
  record: CaptureRecord,
): Promise<AgentAccounts & { faults: readonly Fault[] }> {
  const manifest = await readManifest(deps.objects, record);
  const progress = await readProgress(deps.objects, record);
  const faults: Fault[] = [];
  if (manifest.found === 'refused') {
    deps.logger.warn('manifest ignored', { captureId: record.captureId, reason: manifest.reason });
    faults.push({ code: 'ManifestRefused', message: manifest.reason });
  }
  if (progress.found === 'refused') {
    faults.push({ code: 'ProgressRefused', message: progress.reason });
  }
  return {
    manifest: manifest.found === 'valid' ? manifest.value : undefined,
    progress: progress.found === 'valid' ? progress.value : undefined,
    faults,
  };
}
