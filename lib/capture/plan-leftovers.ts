import { leftoverDirectories } from '../policy/leftovers.ts';
import type { Rung } from '../policy/policy.ts';
import { planCapture, planHeapDump, type Plan, type PlanInput } from './plan.ts';

/**
 * A pod keeps every ephemeral container that was ever added to it. A container that ends again and again would
 * collect them without bound, whether or not a JVM is in it.
 */
const maxRestartCount = 5;

/**
 * As planCapture, for what an ended life left: the volumes are looked through, and nothing is written to them, so
 * that no room is asked for.
 */
export function planLeftovers(input: PlanInput): Plan {
  const plan = planCapture(input);
  const { restartCount } = input.container;
  const refusedRungs: Partial<Record<Rung, string>> = { ...plan.refusedRungs };
  const rungs = plan.rungs.filter((rung) => {
    const refusal =
      rung === 'exec'
        ? 'ExecNotSupported'
        : rung === 'ephemeralContainer' && restartCount > maxRestartCount
          ? `TooManyRestarts: ${restartCount}, at most ${maxRestartCount} for leftovers`
          : undefined;
    if (refusal !== undefined) refusedRungs[rung] = refusal;
    return refusal === undefined;
  });
  const directories = leftoverDirectories(input.container).map(({ path }) => path);
  return {
    rungs,
    rung: rungs[0],
    refusedRungs,
    heapDump: planHeapDump(input.decision, directories),
    refusedDirectories: [],
  };
}
