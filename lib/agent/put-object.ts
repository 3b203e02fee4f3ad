import { Agent as HttpAgent, request as httpRequest, type ClientRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';
import { CaptureError, messageOf } from '../errors.ts';
import { systemCode } from './container-path.ts';

const inactivityTimeoutMilliseconds = 15_000;
const firstBackoffMilliseconds = 100;
const maxBackoffMilliseconds = 5_000;
const maxAnswerBytes = 8 * 1024;
/** S3 codes that a later try can cure although their HTTP status would not say so. */
const retryableCodes = new Set(['RequestTimeout', 'BadDigest', 'SlowDown', 'InternalError']);

/** S3's message for a URL whose X-Amz-Date is ahead of its clock; it has no code of its own. Source: minio #2638. */
const notYetValid = /Request is not (?:yet valid|valid yet)/;

const connections = { keepAlive: true, maxSockets: 4, timeout: 60_000 };
const httpAgent = new HttpAgent(connections);
const httpsAgent = new HttpsAgent(connections);

export interface PutBody {
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
  /** MD5 of the whole body; S3 refuses a body that does not have it. */
  readonly md5: Buffer;
}

export interface PutOptions {
  /** Everything is over by then. Milliseconds since 1970. */
  readonly deadline: number;
  readonly inactivityTimeoutMilliseconds?: number;
  /** Waits between two tries; a timer unless given. */
  readonly pause?: (milliseconds: number) => Promise<unknown>;
  /** Is told of each failed try, for the log. */
  readonly onRetry?: (attempt: number, reason: string) => void;
}

export interface HttpAnswer {
  readonly status: number;
  readonly eTag?: string;
  readonly body: Buffer;
}

/**
 * Puts one object or part by its presigned URL. Tries again on 5xx, 429, throttling, resets, stalls (15 s without a
 * byte), a network that is away, and a URL that is not valid yet (signed by a clock ahead of S3's), with growing
 * random pauses, until the deadline.
 * @returns the ETag as S3 spelled it, quotes included.
 * @throws CaptureError TicketExpired (the URL's time is over), UploadFailed (details.s3Code, where S3 named
 *   one: `NoSuchUpload` means that the upload was finished or aborted by somebody else), DeadlineExceeded.
 */
export async function putObject(url: string, body: PutBody, options: PutOptions): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    const reason = await tryPut(url, body, options);
    if (typeof reason === 'object') return reason.eTag;
    options.onRetry?.(attempt, reason);
    const ceiling = Math.min(maxBackoffMilliseconds, firstBackoffMilliseconds * 2 ** (attempt - 1));
    const pause = ceiling * (0.5 + Math.random() / 2);
    if (Date.now() + pause >= options.deadline) {
      throw new CaptureError(
        'DeadlineExceeded',
        `upload of ${body.bytes} bytes not accepted until the deadline, after ${attempt} tries: ${reason}`,
      );
    }
    await (options.pause ?? wait)(pause);
  }
}

async function tryPut(
  url: string,
  body: PutBody,
  options: PutOptions,
): Promise<{ eTag: string } | string> {
  let answer: HttpAnswer;
  try {
    answer = await send('PUT', url, {
      body,
      maxBytes: maxAnswerBytes,
      signal: AbortSignal.timeout(Math.max(1, Math.floor(options.deadline - Date.now()))),
      inactivityTimeoutMilliseconds:
        options.inactivityTimeoutMilliseconds ?? inactivityTimeoutMilliseconds,
    });
  } catch (error) {
    return systemCode(error) ?? messageOf(error, 200);
  }
  const { status, eTag } = answer;
  if (status === 200 && eTag !== undefined) return { eTag };
  const text = answer.body.toString();
  const code = /<Code>([A-Za-z]{1,60})<\/Code>/.exec(text)?.[1];
  const words = code === undefined ? `HTTP ${status}` : `HTTP ${status} ${code}`;
  if (status === 200) return 'HTTP 200 without an ETag';
  if (status === 403 && notYetValid.test(text)) return 'the URL is not valid yet';
  if (status >= 500 || status === 429 || (code !== undefined && retryableCodes.has(code))) {
    return words;
  }
  throw permanent(status, code, words, text);
}

function permanent(
  status: number,
  code: string | undefined,
  words: string,
  text: string,
): CaptureError {
  const expired =
    code === 'ExpiredToken' || (status === 403 && /has expired|is expired|expired/i.test(text));
  if (expired) {
    return new CaptureError('TicketExpired', `upload refused: the URL's time is over (${words})`);
  }
  return new CaptureError('UploadFailed', `upload refused: ${words}`, {
    details: { status, ...(code !== undefined && { s3Code: code }) },
  });
}

interface SendOptions {
  readonly body?: PutBody;
  /** An answer with more than that is a fault. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  readonly inactivityTimeoutMilliseconds: number;
  /** An ETag: where the object still has it, the answer is 304 without a body. */
  readonly ifNoneMatch?: string;
}

/** One HTTP exchange, whatever its status. Rejects on connection faults, stalls, and answers over maxBytes. */
export function send(
  method: 'GET' | 'PUT',
  url: string,
  options: SendOptions,
): Promise<HttpAnswer> {
  const { body, signal } = options;
  const secure = url.startsWith('https:');
  return new Promise((resolve, reject) => {
    const request = (secure ? httpsRequest : httpRequest)(url, {
      method,
      agent: secure ? httpsAgent : httpAgent,
      signal,
      headers: {
        ...(body && {
          'content-length': body.bytes,
          'content-md5': body.md5.toString('base64'),
        }),
        ...(options.ifNoneMatch !== undefined && { 'if-none-match': options.ifNoneMatch }),
      },
    });
    request.setTimeout(options.inactivityTimeoutMilliseconds, () => {
      request.destroy(new Error('stalled'));
    });
    request.once('error', reject);
    request.once('response', (response) => {
      const chunks: Buffer[] = [];
      let total = 0;
      response.on('data', (chunk: Buffer) => {
        total += chunk.length;
        if (total > options.maxBytes) request.destroy(new Error('answer too long'));
        else chunks.push(chunk);
      });
      response.once('error', reject);
      response.once('close', () => {
        if (!response.complete) reject(new Error('answer cut off'));
      });
      response.once('end', () => {
        // S3 may refuse before it has read the body. Such a request would keep its connection for good.
        if (!request.writableEnded) request.destroy();
        const eTag = response.headers.etag;
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks, total),
          ...(eTag !== undefined && { eTag }),
        });
      });
    });
    sendBody(request, body?.chunks ?? []);
  });
}

/** No faster than it goes out: what waits in a TLS connection is held there a second and a third time. */
function sendBody(request: ClientRequest, chunks: readonly Uint8Array[]): void {
  let sent = 0;
  const sendMore = (): void => {
    for (const chunk of chunks.slice(sent)) {
      sent += 1;
      if (!request.write(chunk)) {
        request.once('drain', sendMore);
        return;
      }
    }
    request.end();
  };
  sendMore();
}
