/**
 * Stable codes of faults. Expected answers (a skip, a held lock, a pod without a JVM) are values, not errors.
 * Match on `code`, never on the message.
 */
export type ErrorCode =
  // bad input: permanent
  | 'InvalidSignal'
  | 'InvalidPolicy'
  | 'InvalidAgentWord'
  | 'InvalidSensorReport'
  | 'InvalidTicket'
  | 'InvalidManifest'
  | 'InvalidIndexEntry'
  | 'InvalidConfiguration'
  | 'InvalidHprof'
  | 'InvalidReport'
  | 'DecryptionFailed'
  // the outside world: mostly retryable
  | 'ClaimStoreUnavailable'
  | 'ObjectStoreUnavailable'
  | 'EncryptionUnavailable'
  | 'ClusterUnavailable'
  | 'ClusterForbidden'
  | 'ClusterRefused'
  | 'SignalBusUnavailable'
  | 'AgentStartFailed'
  | 'FinishBusy'
  | 'ClaimUnsettled'
  | 'LeftoversWait'
  // the agent's own work
  | 'TicketExpired'
  | 'JvmNotFound'
  | 'JvmAmbiguous'
  | 'AttachFailed'
  | 'AttachDisabled'
  | 'DumpPlaceUnavailable'
  | 'NotEnoughMemory'
  | 'DumpFailed'
  | 'UploadFailed'
  | 'RelayFailed'
  | 'RedactionFailed'
  | 'LeftoverStays'
  | 'DeadlineExceeded'
  // what this version does not do, said aloud
  | 'NotSupported';

/** The one error class: a code that stays, whether a retry can help, and the evidence as data. */
export class CaptureError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { retryable?: boolean; cause?: unknown; details?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CaptureError';
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
  }
}

/** The message of anything thrown, bounded, for logs and records. */
export function messageOf(error: unknown, maxLength = 500): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.length <= maxLength ? message : `${message.slice(0, maxLength)}…`;
}
