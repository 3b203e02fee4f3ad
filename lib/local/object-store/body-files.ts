import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { S3Fault } from './s3-fault.ts';

/** A body on disk. Files are never changed once they are written. */
export interface BodyFile {
  file: string;
  bytes: number;
  /** Hexadecimal. */
  md5: string;
}

/** S3's limit of one PUT: 5 GiB. */
const maxBodyBytes = 5 * 1024 * 1024 * 1024;

/**
 * Streams a request's body into a file of the folder and checks it: Content-Length, Content-MD5, and the SHA-256 that
 * the request was signed with. A body that is refused or cut off leaves no file.
 */
export async function receiveBody(
  request: IncomingMessage,
  folder: string,
  signedSha256: string | undefined,
): Promise<BodyFile> {
  checkLength(request);
  const contentMd5 = contentMd5Of(request);
  const md5 = createHash('md5');
  const sha256 = signedSha256 === undefined ? undefined : createHash('sha256');
  const file = path.join(folder, randomUUID());
  let bytes = 0;
  try {
    await pipeline(
      request,
      async function* (source: AsyncIterable<Buffer>) {
        for await (const chunk of source) {
          bytes += chunk.length;
          md5.update(chunk);
          sha256?.update(chunk);
          yield chunk;
        }
      },
      createWriteStream(file),
    );
    const digest = md5.digest();
    if (contentMd5 !== undefined && !digest.equals(contentMd5)) {
      const message = 'The Content-MD5 you specified did not match what we received.';
      throw new S3Fault(400, 'BadDigest', message);
    }
    if (sha256 !== undefined && sha256.digest('hex') !== signedSha256) {
      const message =
        "The provided 'x-amz-content-sha256' header does not match what was computed.";
      throw new S3Fault(400, 'XAmzContentSHA256Mismatch', message);
    }
    return { file, bytes, md5: digest.toString('hex') };
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
}

function checkLength(request: IncomingMessage): void {
  const length = request.headers['content-length'];
  if (length === undefined) {
    const message = 'You must provide the Content-Length HTTP header.';
    throw new S3Fault(411, 'MissingContentLength', message);
  }
  if (Number(length) > maxBodyBytes) {
    const message = 'Your proposed upload exceeds the maximum allowed size';
    throw new S3Fault(400, 'EntityTooLarge', message);
  }
}

function contentMd5Of(request: IncomingMessage): Buffer | undefined {
  const header = request.headers['content-md5'];
  if (header === undefined) return undefined;
  const digest = Buffer.from(String(header), 'base64');
  if (digest.length === 16) return digest;
  throw new S3Fault(400, 'InvalidDigest', 'The Content-MD5 you specified was invalid.');
}

/** Reads a small body into memory. */
export async function receiveText(request: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      throw new S3Fault(400, 'MalformedXML', `the body has over ${maxBytes} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes).toString();
}

/** The bytes from start to end, both inclusive, of files that follow one another. */
export async function* readFiles(
  files: readonly BodyFile[],
  start: number,
  end: number,
): AsyncGenerator<Buffer> {
  let offset = 0;
  for (const { file, bytes } of files) {
    const from = Math.max(start - offset, 0);
    const to = Math.min(end - offset, bytes - 1);
    offset += bytes;
    if (from > to) continue;
    yield* createReadStream(file, { start: from, end: to }) as AsyncIterable<Buffer>;
  }
}
