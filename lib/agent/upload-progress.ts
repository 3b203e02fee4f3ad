import { DumpUpload, type DumpUploadOptions } from './dump-upload.ts';
import type { StoredPart } from './part-sender.ts';
import type { ProgressReporter } from './progress.ts';

type Told = 'announceStreams' | 'announceOpenPart' | 'announceFinalPart' | 'onStored';

export interface ToldUpload {
  readonly upload: DumpUpload;
  /** Tells of it as it is now; each stored part does so by itself. */
  readonly report: () => void;
}

/** An upload whose account the progress object keeps. @param onStored is told of each stored part first. */
export function uploadTelling(
  progress: ProgressReporter,
  options: Omit<DumpUploadOptions, Told>,
  onStored?: (part: StoredPart) => void,
): ToldUpload {
  const report = (): void =>
    progress.update({
      step: 'heapDump',
      rawBytes: upload.rawBytes,
      compressedBytes: upload.compressedBytes,
      sentBytes: upload.storedBytes,
      sentPartCount: upload.storedPartCount,
    });
  const upload = new DumpUpload({
    ...options,
    announceStreams: (firstPartNumbers) => progress.announceStreams(firstPartNumbers),
    announceOpenPart: (partNumber, remainingBytes) =>
      progress.announceOpenPart(partNumber, remainingBytes),
    announceFinalPart: (partNumber) => progress.announceFinalPart(partNumber),
    onStored: (part) => {
      progress.partStored(part.partNumber);
      onStored?.(part);
      report();
    },
  });
  return { upload, report };
}
