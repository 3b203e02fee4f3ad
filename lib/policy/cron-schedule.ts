/** The five fields of a schedule, each a set of the numbers that it names. */
export interface CronSchedule {
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly daysOfMonth: ReadonlySet<number>;
  readonly months: ReadonlySet<number>;
  /** 0 is Sunday. */
  readonly daysOfWeek: ReadonlySet<number>;
  /** A day matches by either field when both are restricted, by both when one begins with `*` (crontab(5)). */
  readonly eitherDay: boolean;
}

const maxTextLength = 100;
const maxItemCount = 60;

const monthNames = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');
const dayNames = 'sun mon tue wed thu fri sat'.split(' ');
const fields = [
  { name: 'minute', min: 0, max: 59, names: [] },
  { name: 'hour', min: 0, max: 23, names: [] },
  { name: 'day of month', min: 1, max: 31, names: [] },
  { name: 'month', min: 1, max: 12, names: monthNames },
  { name: 'day of week', min: 0, max: 7, names: dayNames },
] as const;
type Field = (typeof fields)[number];

export const cronAccepted =
  'five fields (minute, hour, day of month, month, day of week) of *, numbers, ranges, lists and steps, such as "30 3 * * 1-5"';

/**
 * Reads a schedule of crontab(5): `*`, numbers, ranges, lists, steps, names of months and days; no seconds, no `@daily`,
 * no `L`, `W` or `#`. `undefined` when it cannot be read, also when a field names nothing that exists.
 */
export function parseCron(text: string): CronSchedule | undefined {
  if (text.length > maxTextLength) return undefined;
  const parts = text.trim().split(/[ \t]+/);
  if (parts.length !== fields.length) return undefined;
  const sets = fields.map((field, index) => readField(parts[index] ?? '', field));
  const [minutes, hours, daysOfMonth, months, weekdays] = sets;
  if (!minutes || !hours || !daysOfMonth || !months || !weekdays) return undefined;
  const restricted = (part: string | undefined): boolean => part?.startsWith('*') === false;
  return {
    minutes,
    hours,
    daysOfMonth,
    months,
    // 7 is Sunday as well.
    daysOfWeek: new Set([...weekdays].map((day) => day % 7)),
    eitherDay: restricted(parts[2]) && restricted(parts[4]),
  };
}

/** Whether the minute of this time, in UTC, is one of the schedule's. */
export function isScheduledMinute(schedule: CronSchedule, time: Date): boolean {
  const dayOfMonth = schedule.daysOfMonth.has(time.getUTCDate());
  const dayOfWeek = schedule.daysOfWeek.has(time.getUTCDay());
  return (
    schedule.minutes.has(time.getUTCMinutes()) &&
    schedule.hours.has(time.getUTCHours()) &&
    schedule.months.has(time.getUTCMonth() + 1) &&
    (schedule.eitherDay ? dayOfMonth || dayOfWeek : dayOfMonth && dayOfWeek)
  );
}

function readField(text: string, field: Field): Set<number> | undefined {
  const items = text.split(',');
  if (items.length > maxItemCount) return undefined;
  const numbers = new Set<number>();
  for (const item of items) {
    const range = readRange(item, field);
    if (range === undefined) return undefined;
    for (let number = range.from; number <= range.to; number += range.step) numbers.add(number);
  }
  return numbers;
}

function readRange(
  item: string,
  field: Field,
): { from: number; to: number; step: number } | undefined {
  const [, span = '', , stepText] = /^([^/]+)(\/(\d{1,2}))?$/.exec(item) ?? [];
  const step = stepText === undefined ? 1 : Number(stepText);
  if (step < 1) return undefined;
  if (span === '*') {
    // Sunday once, not as 0 and 7.
    return { from: field.min, to: field.name === 'day of week' ? 6 : field.max, step };
  }
  const [first = '', last, ...more] = span.split('-');
  const from = readNumber(first, field);
  // As crontab does: a single number with a step goes on to the end.
  const to = last === undefined ? (stepText ? field.max : from) : readNumber(last, field);
  if (from === undefined || to === undefined || from > to || more.length > 0) return undefined;
  return { from, to, step };
}

function readNumber(text: string, field: Field): number | undefined {
  const named = (field.names as readonly string[]).indexOf(text.toLowerCase());
  const number = named === -1 ? (/^\d{1,2}$/.test(text) ? Number(text) : -1) : named + field.min;
  return number >= field.min && number <= field.max ? number : undefined;
}
