import type { OpenRelayedDump, RelayedDump } from '../capture/relay-capture.ts';
import { objectKeys } from '../dump-index/object-keys.ts';
import type { DumpStream, DumpUpload } from './dump-upload.ts';
import { ProgressReporter } from './progress.ts';
import type { PutBody } from './put-object.ts';
import { uploadTelling, type ToldUpload } from './upload-progress.ts';
import { stopReason } from './stop-reason.ts';

type UploadOrder = Parameters<OpenRelayedDump>[0];

/**
 * The way of a dump into its upload as the node agent does it, with the same frames, parts and account of progress, for
 * bytes that come from elsewhere than a file, and by the function's own rights.
 */
export function openRelayedDump(order: UploadOrder): RelayedDump {
  const progress = createProgress(order);
  const { upload, report } = createUpload(order, progress);
  const stream = upload.openBase();
  return {
    async push(bytes) {
      await takeBytes(bytes, stream, upload);
      report();
    },
    get storedPartCount() {
      return upload.storedPartCount;
    },
    async finish() {
      if (upload.recordCount === 0) return undefined;
      try {
        return { codec: 'zstd', ...(await upload.finish(stream.ended)) };
      } finally {
        await upload.settle();
        await progress.settle();
      }
    },
  };
}

function createProgress({ objects, record }: UploadOrder): ProgressReporter {
  const { captureId, fencingToken, objectPrefix } = record;
  const objectKey = objectKeys(objectPrefix).progress;
  return new ProgressReporter({
    captureId,
    fencingToken,
    put: (body) => objects.putObject(objectKey, bytesOf(body), { contentType: 'application/json' }),
  });
}

function createUpload(
  { objects, record, uploadId, order }: UploadOrder,
  progress: ProgressReporter,
): ToldUpload {
  const objectKey = objectKeys(record.objectPrefix).heapDump;
  const { blockBytes, partBytes, partUrls, expectedBytes } = order;
  return uploadTelling(progress, {
    ...{ blockBytes, partBytes, expectedBytes, partCount: partUrls.length },
    segmentCount: 0,
    // One that is sent and one that is filled are enough: an exec brings less than the bucket takes.
    concurrentPuts: 1,
    redact: undefined,
    putPart: async (partNumber, body) => {
      const part = await objects.uploadPart(objectKey, uploadId, partNumber, bytesOf(body));
      return part.eTag;
    },
  });
}

async function takeBytes(bytes: Uint8Array, stream: DumpStream, upload: DumpUpload): Promise<void> {
  for (let start = 0; start < bytes.length;) {
    const stop = stopReason(undefined, upload);
    if (stop) throw stop;
    const space = await stream.space();
    const taken = bytes.subarray(start, start + space.length);
    space.set(taken);
    stream.filled(taken.length);
    start += taken.length;
  }
}

function bytesOf({ chunks, bytes }: PutBody): Uint8Array {
  return Buffer.concat(chunks, bytes);
}
