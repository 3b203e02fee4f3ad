import { addAbortSignal, type Readable } from 'node:stream';
import { GetObjectCommand, HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { CaptureError } from '../errors.ts';
import { callS3, unavailable, type S3Subject } from './s3-call.ts';

/** The SDK tries again until the reply begins; a body that breaks off is ours to ask for again. */
const bodyAttemptCount = 3;

/**
 * Reads an object, or a range of it (both ends inclusive, cut at the object's end), into memory.
 * @returns `undefined` when there is no such object; no bytes when the range is empty or begins behind the end.
 * @throws CaptureError ObjectStoreUnavailable, not retryable when there are over maxBytes: none are kept.
 */
export async function readS3Object(
  client: S3Client,
  subject: S3Subject,
  bounds: { maxBytes: number; range?: { start: number; end: number } },
): Promise<Uint8Array | undefined> {
  const { range, maxBytes } = bounds;
  const input = { Bucket: subject.bucketName, Key: subject.objectKey };
  // HTTP has no way to write an empty range.
  const empty = range !== undefined && range.end < range.start;
  const ask = async (signal: AbortSignal): Promise<Uint8Array> => {
    if (empty) {
      await client.send(new HeadObjectCommand(input), { abortSignal: signal });
      return new Uint8Array();
    }
    const command = new GetObjectCommand({
      ...input,
      ...(range === undefined ? {} : { Range: `bytes=${range.start}-${range.end}` }),
    });
    for (let attempt = 1; ; attempt += 1) {
      const reply = await client.send(command, { abortSignal: signal });
      try {
        return await collect(
          reply.Body as Readable,
          subject,
          maxBytes,
          reply.ContentLength,
          signal,
        );
      } catch (error) {
        const final = error instanceof CaptureError || signal.aborted;
        if (final || attempt >= bodyAttemptCount) throw error;
      }
    }
  };
  return callS3<Uint8Array | undefined>(subject, ask, (code, status) => {
    if (status === 404 && code !== 'NoSuchBucket') return { answer: undefined };
    return status === 416 ? { answer: new Uint8Array() } : undefined;
  });
}

async function collect(
  body: Readable,
  subject: S3Subject,
  maxBytes: number,
  announcedBytes: number | undefined,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const tooLong = (bytes: number): CaptureError =>
    unavailable(subject, `has ${bytes} bytes; accepted are at most ${maxBytes}`, false);
  addAbortSignal(signal, body);
  if (announcedBytes !== undefined && announcedBytes > maxBytes) {
    body.destroy();
    throw tooLong(announcedBytes);
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLong(bytes);
    chunks.push(chunk);
  }
  if (announcedBytes !== undefined && bytes !== announcedBytes) {
    throw new Error(`the body ended after ${bytes} of ${announcedBytes} bytes`);
  }
  return Buffer.concat(chunks, bytes);
}
