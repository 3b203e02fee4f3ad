export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger whose every line also carries these fields. */
  with(fields: LogFields): Logger;
}

const maxValueLength = 2_000;

/** Presigned URLs are secrets as long as they live: the query of any URL is cut off before it is written. */
export function withoutSecrets(text: string): string {
  return text.replace(/(https?:\/\/[^\s?"']+)\?[^\s"']*/g, '$1?…').slice(0, maxValueLength);
}

/**
 * Writes one JSON object a line: time, level, component, message, then the fields; a field cannot take the place of
 * one of the four.
 * Field names are the words of docs/glossary.md. Strings are bounded and stripped of URL queries.
 */
export function createLogger(
  component: string,
  options: { fields?: LogFields; write?: (line: string) => void; now?: () => Date } = {},
): Logger {
  const write =
    options.write ??
    ((line: string): void => {
      process.stderr.write(line);
    });
  const now = options.now ?? ((): Date => new Date());
  const emit = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    const record = {
      time: now().toISOString(),
      level,
      component,
      message: withoutSecrets(message),
    };
    write(JSON.stringify({ ...record, ...options.fields, ...fields, ...record }, plain) + '\n');
  };
  return {
    debug: (message, fields) => emit('debug', message, fields),
    info: (message, fields) => emit('info', message, fields),
    warn: (message, fields) => emit('warn', message, fields),
    error: (message, fields) => emit('error', message, fields),
    with: (fields) =>
      createLogger(component, { ...options, fields: { ...options.fields, ...fields } }),
  };
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'string') return withoutSecrets(value);
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Error) {
    const code = (value as { code?: unknown }).code;
    return { name: value.name, message: withoutSecrets(value.message), ...(code ? { code } : {}) };
  }
  return value;
}
