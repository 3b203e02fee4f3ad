import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { CaptureError } from '../errors.ts';
import { serviceFaultOf } from './service-fault.ts';
import { boundedCalls } from './bounded-calls.ts';

export interface S3Options {
  bucketName: string;
  /** From the environment unless given, as the credentials are. */
  region?: string;
  /** Of an S3 that is not AWS's own; addressed by path. */
  endpoint?: string;
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
}

const attemptCount = 3;
/** Three attempts of 10 s, and the pauses between them. */
const callDeadlineMillis = 35_000;

/**
 * A client with every wait written out: 2 s to connect, 10 s for the reply to begin, three attempts.
 * Checksums beyond those that S3 asks for are off: they would become part of a presigned URL, and with it
 * something that the agent would have to send.
 */
export function createS3Client(
  options: Omit<S3Options, 'bucketName' | 'credentials'> & Pick<S3ClientConfig, 'credentials'>,
): S3Client {
  const { region, endpoint, credentials } = options;
  return new S3Client({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    ...(credentials === undefined ? {} : { credentials }),
    ...boundedCalls({ connectionTimeout: 2_000, requestTimeout: 10_000, attemptCount }),
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
}

/** What is asked, for messages: the IAM action that it needs, on which object. */
export interface S3Subject {
  action: string;
  bucketName: string;
  objectKey: string;
}

/**
 * Runs one call within a deadline, whatever part of it hangs.
 * @param expected turns an answer that is no fault into a value, by its code and status; `undefined` leaves it a fault.
 * @throws CaptureError ObjectStoreUnavailable; retryable but for answers that stay the same, such as AccessDenied.
 */
export async function callS3<T>(
  subject: S3Subject,
  ask: (signal: AbortSignal) => Promise<T>,
  expected: (code: string, status: number | undefined) => { answer: T } | undefined = () =>
    undefined,
  deadlineMillis = callDeadlineMillis,
): Promise<T> {
  const signal = AbortSignal.timeout(deadlineMillis);
  try {
    return await Promise.race([ask(signal), aborted(signal)]);
  } catch (error) {
    if (error instanceof CaptureError) throw error;
    if (signal.aborted)
      throw unavailable(subject, `took over ${deadlineMillis / 1000} s`, true, error);
    const fault = serviceFaultOf(error);
    const value = expected(fault.code, fault.status);
    if (value !== undefined) return value.answer;
    const status = fault.status === undefined ? 'no reply' : `HTTP ${fault.status}`;
    const what = `failed: ${fault.code} (${status}): ${fault.message}`;
    const advice = fault.denied ? `; the role needs ${subject.action} on it` : '';
    throw unavailable(subject, what + advice, fault.retryable, error);
  }
}

/** The SDK does not watch the signal while it waits between attempts or reads a body. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

export function unavailable(
  { action, bucketName, objectKey }: S3Subject,
  what: string,
  retryable: boolean,
  cause?: unknown,
): CaptureError {
  return new CaptureError(
    'ObjectStoreUnavailable',
    `${action} on s3://${bucketName}/${objectKey} ${what}`,
    { retryable, details: { action, objectKey }, ...(cause === undefined ? {} : { cause }) },
  );
}
