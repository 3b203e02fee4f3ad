import { CaptureError } from '../errors.ts';
import type { DumpUpload } from './dump-upload.ts';

/** Why reading has to end before the dump does; `stop` aborts with a reason of its own. */
export function stopReason(
  stop: AbortSignal | undefined,
  { exhausted, partCount }: Pick<DumpUpload, 'exhausted' | 'partCount'>,
): CaptureError | undefined {
  if (stop?.aborted) return stop.reason as CaptureError;
  if (!exhausted) return undefined;
  const message = `the dump is larger than the ticket's ${partCount} parts; the rest was not sent`;
  return new CaptureError('UploadFailed', message);
}
