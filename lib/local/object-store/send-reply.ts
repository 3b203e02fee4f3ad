import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { readFiles } from './body-files.ts';
import type { S3Reply } from './s3-exchange.ts';

export async function sendReply(response: ServerResponse, reply: S3Reply): Promise<void> {
  writeHead(response, reply);
  const { body } = reply;
  if (body === undefined || typeof body === 'string') {
    response.end(response.req.method === 'HEAD' ? undefined : body);
    return;
  }
  await pipeline(Readable.from(readFiles(body.files, body.start, body.end)), response);
}

/** Announces the whole reply, sends half of its body, and breaks the connection. Without a body nothing is sent. */
export async function sendTruncated(response: ServerResponse, reply: S3Reply): Promise<void> {
  const { body } = reply;
  if (body !== undefined && response.req.method !== 'HEAD') {
    writeHead(response, reply);
    for await (const chunk of firstHalf(body)) {
      await new Promise((resolve) => response.write(chunk, resolve));
    }
  }
  response.socket?.resetAndDestroy();
}

function writeHead(response: ServerResponse, { status, headers, body }: S3Reply): void {
  const own =
    typeof body === 'string'
      ? { 'Content-Type': 'application/xml', 'Content-Length': String(Buffer.byteLength(body)) }
      : {};
  response.writeHead(status, { 'x-amz-request-id': '0000000000000000', ...own, ...headers });
}

async function* firstHalf(body: NonNullable<S3Reply['body']>): AsyncGenerator<string | Buffer> {
  if (typeof body === 'string') {
    yield body.slice(0, Math.floor(body.length / 2));
    return;
  }
  const { files, start, end } = body;
  yield* readFiles(files, start, start + Math.floor((end - start) / 2));
}
