import { messageOf } from '../errors.ts';

export interface ServiceFault {
  /** The service's own code, or the name of the error without a reply. */
  code: string;
  /** HTTP status; absent without a reply (timeouts, lost connections). */
  status?: number;
  /** A permission is missing; not so when it is the credentials themselves that are not accepted. */
  denied: boolean;
  retryable: boolean;
  message: string;
}

/** 4xx answers that a later try can cure. */
const passingCodes = new Set([
  'BadDigest',
  'ConditionalRequestConflict',
  'ExpiredToken',
  'ExpiredTokenException',
  'OperationAborted',
  'RequestTimeout',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyUpdates',
  'XAmzContentSHA256Mismatch',
]);

const deniedCodes = new Set(['AccessDenied', 'AccessDeniedException', 'Forbidden']);
/** What the SDK calls the answer to a HEAD, which has no body to say more. */
const namelessCode = 'Unknown';

/**
 * What went wrong in a call through the SDK. Retryable: throttling, faults of the service, lost bytes, and whatever
 * brought no reply.
 */
export function serviceFaultOf(error: unknown): ServiceFault {
  const status = statusOf(error);
  const code = error instanceof Error ? error.name : 'UnknownError';
  return {
    code,
    ...(status === undefined ? {} : { status }),
    denied: deniedCodes.has(code) || (status === 403 && code === namelessCode),
    retryable: status === undefined || status === 429 || status >= 500 || passingCodes.has(code),
    message: messageOf(error, 300),
  };
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  return (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode;
}
