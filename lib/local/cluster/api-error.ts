/** An answer of the API that is no success, as the Status object that a client expects. */
export class ApiError extends Error {
  readonly status: number;
  readonly reason: string;
  readonly causes: readonly { reason: string; message: string; field: string }[];

  constructor(
    status: number,
    reason: string,
    message: string,
    causes: readonly { reason: string; message: string; field: string }[] = [],
  ) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.reason = reason;
    this.causes = causes;
  }

  toStatus(): object {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      ...(this.causes.length > 0 && { details: { causes: this.causes } }),
      code: this.status,
    };
  }
}

export function notFound(resource: string, name: string): ApiError {
  return new ApiError(404, 'NotFound', `${resource} "${name}" not found`);
}

/** 422, with each fault named by its field. */
export function invalid(
  kind: string,
  name: string,
  faults: readonly { field: string; message: string }[],
): ApiError {
  const words = faults.map(({ field, message }) => `${field}: ${message}`).join(', ');
  return new ApiError(
    422,
    'Invalid',
    `${kind} "${name}" is invalid: ${words}`,
    faults.map((fault) => ({ reason: 'FieldValueInvalid', ...fault })),
  );
}

/** What the stand-in does not do, said aloud. */
export function notSupported(what: string): ApiError {
  return new ApiError(405, 'MethodNotAllowed', `the local cluster does not support ${what}`);
}
