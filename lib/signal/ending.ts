import * as z from 'zod';
import {
  endCauses,
  judgeEnd,
  killers,
  type EndFacts,
  type EndVerdict,
} from '../policy/end-of-life.ts';
import type { Signal } from './signal.ts';

/** A reporter's verdict on the end of a life, and what only the reporter saw: Events come once. */
export const endingSchema = z.strictObject({
  cause: z.enum(endCauses),
  explanation: z.string().max(400),
  killedBy: z.enum(killers).optional(),
  evictionMessage: z.string().max(1_024).optional(),
});
export type Ending = z.output<typeof endingSchema>;

/** The end of the life before the one that is watched. */
export const lastEndSchema = z.strictObject({
  cause: z.enum(endCauses),
  endTime: z.iso.datetime({ offset: true, error: 'accepted is an RFC 3339 time' }),
});
export type LastEnd = z.output<typeof lastEndSchema>;

/**
 * The verdict on an end that a signal tells of, judged anew with what became known since: how Kubernetes says it ended, and
 * what was left. The signal's own numbers are its history.
 */
export function verdictOf(
  signal: Signal,
  termination: { reason: string; exitCode: number } | undefined,
  left: Pick<EndFacts, 'crash' | 'heapDumpLeft'> = {},
): EndVerdict {
  const { ending, numbers, reason } = signal;
  return judgeEnd({
    reason: termination?.reason ?? (reason === 'PodEvicted' ? 'Evicted' : 'Unknown'),
    exitCode: termination?.exitCode ?? numbers.exitCode,
    killedBy: ending?.killedBy,
    evictionMessage: ending?.evictionMessage,
    history: numbers,
    ...left,
  });
}
