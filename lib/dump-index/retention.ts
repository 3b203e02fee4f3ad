import type { RetentionDays } from '../policy/retention.ts';

/** What the stack says of how long captures are kept. */
export interface RetentionSettings {
  /** Days that the bucket keeps anything at most: its lifecycle rules for untagged objects. */
  maxDays: number;
  /** Of captures whose policy says nothing; absent: maxDays. */
  defaultDays?: RetentionDays;
}

export interface Retention {
  /** Whole days. */
  days: number;
  /** RFC 3339. S3 removes the objects of the capture from then on. */
  expireTime: string;
  /** What every object of the capture is tagged with; absent where the stack's own rules do. */
  tag?: { key: string; value: string };
}

/** The key of the tag that the bucket's lifecycle rules ask for; its values are `1d`, `3d`, … */
export const retentionTagKey = 'heapcatch-retention';

const dayMillis = 86_400_000;

/**
 * How long a capture is kept: as the policy says, else as the stack does, and never longer than the bucket keeps anything. S3 honours the
 * shorter of two rules that an object meets, adds the days to the time when the object was made, and rounds up to the next midnight, UTC:
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html,
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-conflicts.html
 */
export function retentionOf(
  capture: { acquireTime: string; policy: { retentionDays?: RetentionDays | undefined } },
  { maxDays, defaultDays }: RetentionSettings,
): Retention {
  const asked = capture.policy.retentionDays ?? defaultDays;
  const days = Math.min(asked ?? maxDays, maxDays);
  const end = Date.parse(capture.acquireTime) + days * dayMillis;
  const expireTime = new Date(Math.ceil(end / dayMillis) * dayMillis).toISOString();
  if (asked === undefined || asked >= maxDays) return { days, expireTime };
  return { days, expireTime, tag: { key: retentionTagKey, value: `${asked}d` } };
}
