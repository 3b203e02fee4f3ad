import type * as z from 'zod';
import { CaptureError, type ErrorCode } from './errors.ts';

const maxShownLength = 120;

/** A value as it may appear in an error message: JSON, bounded, never a whole dump of the input. */
export function shown(value: unknown): string {
  const text =
    typeof value === 'string' ? JSON.stringify(value.slice(0, maxShownLength)) : safeJson(value);
  return text.length <= maxShownLength ? text : `${text.slice(0, maxShownLength)}…`;
}

function safeJson(value: unknown): string {
  try {
    const text = JSON.stringify(value, (_key, inner: unknown) =>
      typeof inner === 'string' ? inner.slice(0, maxShownLength) : inner,
    ) as string | undefined;
    return text ?? String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

/**
 * Validates untrusted input against a schema. All faults are gathered, then thrown once; each names
 * the field, the value and what is accepted.
 * @throws CaptureError with the given code, never retryable.
 */
export function validate<T extends z.ZodType>(
  schema: T,
  input: unknown,
  code: ErrorCode,
  what: string,
): z.output<T> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const faults = result.error.issues.slice(0, 10).map((issue) => {
    const field = issue.path.length === 0 ? what : issue.path.map(String).join('.').slice(0, 200);
    return `${field}: ${issue.message.slice(0, 300)}, got ${shown(valueAt(input, issue.path))}`;
  });
  throw new CaptureError(code, `${what} is not valid: ${faults.join('; ')}`, {
    details: { faults },
  });
}

/** What a JSON object is before anything is known of its fields. */
export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
