/**
 * Settings of an AWS client whose every attempt has an end: where it waits longer than that for a connection, or for the
 * reply, it fails, and is tried again as often as said in all.
 */
export function boundedCalls({ connectionTimeout, requestTimeout, attemptCount }: CallBounds) {
  return {
    maxAttempts: attemptCount,
    retryMode: 'standard',
    requestHandler: {
      connectionTimeout,
      requestTimeout,
      // Without this the SDK only warns when the time is over.
      throwOnRequestTimeout: true,
    },
  } as const;
}

/** Times are milliseconds. */
export interface CallBounds {
  connectionTimeout: number;
  requestTimeout: number;
  attemptCount: number;
}
