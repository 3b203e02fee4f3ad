import { renewTickets, type RenewAnswer } from '../lib/capture/renew-tickets.ts';
import { sweepCaptures, type SweepAnswer } from '../lib/capture/sweep.ts';
import { finishDeps, lazyWiring, type FunctionContext, type Wiring } from './wiring.ts';

/** Captures of one run; the rest waits for the next minute. */
const maxCaptureCount = 50;

/** Looked at for wishes, which costs one small read each. */
const maxRunningCount = 100;

/**
 * Handles the schedule: renews the tickets of agents that ask for it, which wait, then finishes captures whose lease
 * ended. What fails is tried again by the next run.
 */
export function createHandler(wire: () => Wiring) {
  return async (
    _invocation: unknown,
    context: FunctionContext,
  ): Promise<SweepAnswer & RenewAnswer> => {
    const deps = finishDeps(wire(), context);
    const tickets = await renewTickets(deps, { limit: maxRunningCount });
    return { ...tickets, ...(await sweepCaptures(deps, { limit: maxCaptureCount })) };
  };
}

export const handler = createHandler(lazyWiring('sweep'));
