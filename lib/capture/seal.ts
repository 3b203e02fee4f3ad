import type { CaptureOutcome } from '../claim/capture-record.ts';
import { CaptureError } from '../errors.ts';
import { concludeCapture, type FinishDeps } from './conclude-capture.ts';
import type { ArrivedManifest } from './manifest-notification.ts';
import { readManifest, readProgress } from './read-account.ts';

export type SealAnswer =
  | { outcome: 'sealed'; captureId: string; state: CaptureOutcome; reason?: string }
  | {
      outcome: 'ignored';
      captureId: string;
      reason: 'UnknownCapture' | 'ForeignPrefix' | 'ManifestRefused' | 'AlreadyFinished' | 'Stale';
    };

/**
 * Finishes the capture whose manifest has arrived. A manifest that is not of this claim (unknown capture,
 * other prefix, captureId or token), or not valid, is ignored and logged: it is forged or stale, and sweep
 * finishes the capture when its lease ends. Run twice, at once or later, it changes nothing.
 * @throws CaptureError FinishBusy (retryable): another run holds the right to finish; ObjectStoreUnavailable,
 *   ClaimStoreUnavailable (retryable).
 */
export async function sealCapture(deps: FinishDeps, arrived: ArrivedManifest): Promise<SealAnswer> {
  const { captureId, prefixes } = arrived;
  const ignore = (
    reason: Extract<SealAnswer, { outcome: 'ignored' }>['reason'],
    details: Record<string, unknown> = {},
  ): SealAnswer => {
    deps.logger.warn('manifest ignored', { captureId, prefixes, reason, ...details });
    return { outcome: 'ignored', captureId, reason };
  };
  const record = await deps.claims.readCapture(captureId);
  if (record === undefined) return ignore('UnknownCapture');
  if (!prefixes.includes(record.objectPrefix)) return ignore('ForeignPrefix');
  const manifest = await readManifest(deps.objects, record);
  if (manifest.found !== 'valid') {
    const details = manifest.found === 'refused' ? manifest.reason : 'it is gone';
    return ignore('ManifestRefused', { details });
  }
  const conclusion = await concludeCapture(deps, record, 'seal', async () => {
    const progress = await readProgress(deps.objects, record);
    return {
      manifest: manifest.value,
      progress: progress.found === 'valid' ? progress.value : undefined,
      faults: [],
    };
  });
  switch (conclusion.outcome) {
    case 'concluded': {
      const { state, reason } = conclusion.entry;
      return { outcome: 'sealed', captureId, state, ...(reason === undefined ? {} : { reason }) };
    }
    case 'busy':
      throw new CaptureError(
        'FinishBusy',
        `capture ${captureId} is being finished by another run; a later try finds it finished`,
        { retryable: true },
      );
    case 'finished':
      return ignore('AlreadyFinished');
    case 'stale':
      return ignore('Stale');
  }
}
