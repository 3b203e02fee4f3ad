import type { Termination } from '../claim/capture-record.ts';
import type { WorkloadHistory } from '../claim/claim-store.ts';
import { CaptureError } from '../errors.ts';
import { leftoverDirectories } from '../policy/leftovers.ts';
import type { ContainerFacts } from '../policy/pod-facts.ts';
import type { Policy } from '../policy/policy.ts';
import type { Signal } from '../signal/signal.ts';
import type { CaptureAnswer } from './capture-answer.ts';
import type { Ticket } from './ticket.ts';

export interface LeftoverIntent {
  termination: Termination;
  order: NonNullable<Ticket['leftovers']>;
}

/**
 * What the agent has to know to tell leftovers from other files, and the policy of the claim: under its own lock, where
 * a cooldown would only make a second dump wait.
 * @param workloadHistory of the workload's own lock: a capture that holds it may still read its file.
 */
export function leftoversOf(
  of: { signal: Signal; container: ContainerFacts; policy: Policy },
  workloadHistory: WorkloadHistory,
  now: Date,
): { leftovers: LeftoverIntent; policy: Policy } {
  const { signal, container, policy } = of;
  const end = container.lastTermination ?? {
    reason: signal.reason === 'PodEvicted' ? 'Evicted' : 'Unknown',
    exitCode: signal.numbers.exitCode ?? -1,
  };
  const { containerID } = signal;
  const termination = { ...end, ...(containerID === undefined ? {} : { containerID }) };
  const { reason, exitCode, startedTime, finishedTime } = end;
  const { holderIdentity, leaseExpireTime = '' } = workloadHistory;
  const held = holderIdentity !== undefined && Date.parse(leaseExpireTime) > now.getTime();
  return {
    leftovers: {
      termination,
      order: {
        directories: leftoverDirectories(container),
        termination: {
          reason,
          exitCode,
          ...(startedTime === undefined ? {} : { startedTime }),
          ...(finishedTime === undefined ? {} : { finishedTime }),
        },
        ...(held ? { heldCaptureId: holderIdentity } : {}),
      },
    },
    policy: { ...policy, limits: { ...policy.limits, cooldownSeconds: 0 } },
  };
}

/** Whether a signal tells of the end of a life, not of the trouble of one that runs. */
export function isEnd({ reason }: Pick<Signal, 'reason'>): boolean {
  return reason === 'ContainerTerminated' || reason === 'PodEvicted';
}

const busyRefusals: ReadonlySet<string> = new Set(['LockHeld', 'NodeBusy', 'ClusterBusy']);

/**
 * Refusals that end soon: what was left can wait, unlike a heap, and nobody would send its signal again.
 * @throws CaptureError LeftoversWait (retryable).
 */
export function throwIfLeftoversWait(signal: Signal, { reason, message }: CaptureAnswer): void {
  if (!isEnd(signal) || !busyRefusals.has(reason)) return;
  throw new CaptureError('LeftoversWait', message, { retryable: true });
}
