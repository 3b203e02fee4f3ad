import type { Signal } from './signal.ts';

/**
 * Port to the bus that carries Signals to the functions.
 * A put can succeed as a whole and still refuse entries: each refused one is named by its index.
 * @throws CaptureError SignalBusUnavailable (retryable): nothing is known to have arrived.
 */
export interface SignalBus {
  /** At most 10 signals a call. */
  putSignals(
    signals: readonly Signal[],
  ): Promise<readonly { index: number; errorCode: string; errorMessage: string }[]>;
}

/** `source` and `detail-type` of a Signal on EventBridge. */
export const signalEventSource = 'heapcatch';
export const signalDetailType = 'heapcatch Signal';
