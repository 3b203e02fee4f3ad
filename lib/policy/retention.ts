/**
 * After how many days the bucket may remove what a capture stored, if it is to be another time than the stack's. A closed set, since the bucket
 * has one lifecycle rule for each (infra/cloudformation/storage.yml).
 */
export const retentionDayCounts = [1, 3, 7, 14, 30, 60, 90, 180, 365] as const;
export type RetentionDays = (typeof retentionDayCounts)[number];

/** The shorter of two; what says nothing asks for nothing. */
export function shorterRetention(
  one: RetentionDays | undefined,
  other: RetentionDays | undefined,
): RetentionDays | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one < other ? one : other;
}
