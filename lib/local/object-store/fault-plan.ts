import { S3Fault } from './s3-fault.ts';

/**
 * What can go wrong: an answer of S3 (`status-503`, `slow-down`, `expired`: the URL's time is over, nothing is done),
 * a server that neither reads nor answers (`stall`), a connection that breaks before anything is done (`reset`), a request
 * that is carried out but whose reply breaks off (`truncate-reply`; nothing at all of a reply without a body), and a
 * 200 whose body is an error, as a completion can end (`error-in-200`, nothing is done).
 */
export type FaultKind =
  'status-503' | 'slow-down' | 'expired' | 'stall' | 'reset' | 'truncate-reply' | 'error-in-200';

export interface PlannedFault {
  kind: FaultKind;
  /** Any, unless given. */
  method?: string;
  /** Part of the object's key, or a pattern of it; any, unless given. */
  keyMatch?: string | RegExp;
  partNumber?: number;
  /** How many of the requests that match; 1 unless given. */
  times?: number;
}

/** Faults for the next requests that match, in the order in which they were planned. */
export class FaultPlan {
  #planned: (PlannedFault & { left: number })[] = [];

  next(fault: PlannedFault): void {
    this.#planned.push({ ...fault, left: fault.times ?? 1 });
  }

  /** How many requests are still to meet a fault. */
  get pendingCount(): number {
    return this.#planned.reduce((count, fault) => count + fault.left, 0);
  }

  clear(): void {
    this.#planned = [];
  }

  take(method: string, objectKey: string, partNumber: number | undefined): FaultKind | undefined {
    const fault = this.#planned.find(
      (planned) =>
        planned.left > 0 &&
        (planned.method ?? method) === method &&
        (planned.partNumber ?? partNumber) === partNumber &&
        (typeof planned.keyMatch === 'string'
          ? objectKey.includes(planned.keyMatch)
          : (planned.keyMatch?.test(objectKey) ?? true)),
    );
    if (fault !== undefined) fault.left -= 1;
    return fault?.kind;
  }
}

/** The answer of a planned fault that is one. */
export function plannedAnswer(kind: FaultKind): S3Fault | undefined {
  switch (kind) {
    case 'status-503':
      return new S3Fault(503, 'ServiceUnavailable', 'Service is unable to handle request.');
    case 'slow-down':
      return new S3Fault(503, 'SlowDown', 'Please reduce your request rate.');
    case 'expired':
      return new S3Fault(403, 'AccessDenied', 'Request has expired');
    case 'error-in-200':
      return new S3Fault(
        200,
        'InternalError',
        'We encountered an internal error. Please try again.',
      );
    case 'stall':
    case 'reset':
    case 'truncate-reply':
      return undefined;
  }
}
