import * as z from 'zod';

/** Of the Kubernetes API: an optional DNS prefix, a slash, a name of at most 63 characters. */
const labelKey = z
  .string()
  .min(1)
  .max(317)
  .regex(
    /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$/,
    {
      error: 'accepted is a label key, such as app or app.kubernetes.io/name',
    },
  );
const labelValue = z
  .string()
  .max(63)
  .regex(/^([A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?)?$/, {
    error: 'accepted is a label value: at most 63 letters, digits, "-", "_" and "."',
  });

const requirementSchema = z
  .strictObject({
    key: labelKey,
    operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
    values: z.array(labelValue).max(64).optional(),
  })
  .refine(
    ({ operator, values = [] }) =>
      operator === 'In' || operator === 'NotIn' ? values.length > 0 : values.length === 0,
    { error: 'In and NotIn need values, Exists and DoesNotExist take none' },
  );

/** At most so many requirements a selector; the API has no bound of its own. */
export const maxRequirementCount = 32;

/** matchLabels and matchExpressions of a LabelSelector (apimachinery, meta/v1), bounded. */
export const labelSelectorFields = {
  matchLabels: z
    .record(labelKey, labelValue)
    .refine((labels) => Object.keys(labels).length <= maxRequirementCount, {
      error: `accepted are at most ${maxRequirementCount} labels`,
    })
    .optional(),
  matchExpressions: z.array(requirementSchema).max(maxRequirementCount).optional(),
};

export interface LabelSelector {
  matchLabels?: Readonly<Record<string, string>> | undefined;
  matchExpressions?: readonly z.output<typeof requirementSchema>[] | undefined;
}

/**
 * Whether all requirements hold, as the API server matches a LabelSelector: NotIn also holds of a label that is absent, and a
 * selector without requirements holds of everything.
 */
export function selectorMatches(
  { matchLabels = {}, matchExpressions = [] }: LabelSelector,
  labels: Readonly<Record<string, string>>,
): boolean {
  const valueOf = (key: string): string | undefined =>
    Object.hasOwn(labels, key) ? labels[key] : undefined;
  return (
    Object.entries(matchLabels).every(([key, value]) => valueOf(key) === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = valueOf(key);
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
        default:
          return operator satisfies never;
      }
    })
  );
}

/** How many requirements a selector has: the more, the more specific it is. */
export function requirementCount({ matchLabels, matchExpressions }: LabelSelector): number {
  return Object.keys(matchLabels ?? {}).length + (matchExpressions?.length ?? 0);
}
