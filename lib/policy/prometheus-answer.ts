import * as z from 'zod';

const maxSeriesCount = 10_000;

const answerSchema = z.object({
  status: z.literal('success'),
  data: z.object({
    resultType: z.literal('vector'),
    result: z
      .array(
        z.object({
          metric: z.record(z.string(), z.string()),
          value: z.tuple([z.number(), z.string()]),
        }),
      )
      .max(maxSeriesCount),
  }),
});

export interface QueriedValue {
  podName: string;
  /** Absent where the series does not say; then the pod must have one container that is meant. */
  containerName?: string;
  value: number;
}

/**
 * The values that an instant query of Prometheus' HTTP API yielded for the pods of one namespace; those of others are not looked at.
 * Series without the labels `namespace` and `pod` are counted: a query that aggregates them away finds nothing here.
 * @returns a string that says why the answer cannot be used.
 */
export function readQueryAnswer(
  text: string,
  namespace: string,
): { values: QueriedValue[]; unlabelledCount: number } | string {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return 'the answer is not JSON';
  }
  const read = answerSchema.safeParse(json);
  if (!read.success) {
    const { error } = (json ?? {}) as { error?: unknown };
    return typeof error === 'string'
      ? error.slice(0, 300)
      : `the answer is not a vector of at most ${maxSeriesCount} series`;
  }
  const { result } = read.data.data;
  const values: QueriedValue[] = [];
  let unlabelledCount = 0;
  for (const { metric, value } of result) {
    const { namespace: place, pod, container } = metric;
    const number = Number(value[1]);
    if (place === undefined || pod === undefined) unlabelledCount += 1;
    else if (place === namespace && Number.isFinite(number)) {
      values.push({ podName: pod, value: number, ...(container && { containerName: container }) });
    }
  }
  return { values, unlabelledCount };
}
