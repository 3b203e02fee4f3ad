import { sweepCaptures, type SweepAnswer } from '../lib/capture/sweep.ts';
import { finishDeps, lazyWiring, type FunctionContext, type Wiring } from './wiring.ts';

/** Captures of one run; the rest waits for the next minute. */
const maxCaptureCount = 50;

/** Handles the schedule: finishes captures whose lease ended. What fails is tried again by the next run. */
export function createHandler(wire: () => Wiring) {
  return async (_invocation: unknown, context: FunctionContext): Promise<SweepAnswer> =>
    sweepCaptures(finishDeps(wire(), context), { limit: maxCaptureCount });
}

export const handler = createHandler(lazyWiring('sweep'));
