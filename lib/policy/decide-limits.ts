import type { DecisionFacts } from './decision-facts.ts';
import { skip, type Skip } from './skip.ts';

const hourSeconds = 3_600;

/** Fails closed: who asks for ready replicas gets no dump while their number is not known. */
export function skippedByReadyReplicas({ policy, pod }: DecisionFacts): Skip | undefined {
  const wantedCount = policy.limits.minReadyReplicaCount;
  if (wantedCount === 0) return undefined;
  const workload = `${pod.workload.kind} ${pod.workload.name}`;
  if (pod.readyReplicaCount === undefined) {
    const message = `${wantedCount} other ready replicas of ${workload} are asked for, and how many there are is not known`;
    return skip('TooFewReadyReplicas', message);
  }
  const otherCount = pod.readyReplicaCount - (pod.ready ? 1 : 0);
  if (otherCount >= wantedCount) return undefined;
  const message = `${workload} has ${otherCount} other ready replicas, ${wantedCount} are asked for`;
  return skip('TooFewReadyReplicas', message);
}

/** The limits that the workload's lock item shows, in the claim's order and words. */
export function skippedByHistory(
  { history, policy, now }: DecisionFacts,
  captureId: string,
): Skip | undefined {
  const { holderIdentity, leaseExpireTime, cooldownUntilTime } = history;
  if (holderIdentity !== undefined && isAfter(leaseExpireTime, now)) {
    return holderIdentity === captureId
      ? skip('AlreadyCaptured', `capture ${captureId} of this same trouble is under way`)
      : skip('LockHeld', `capture ${holderIdentity} of the workload holds the lock`);
  }
  if (isAfter(cooldownUntilTime, now)) {
    return skip('Cooldown', `the workload's cooldown lasts until ${cooldownUntilTime}`);
  }
  const limit = policy.limits.dumpsPerHourCount;
  const hourAgo = now.getTime() - hourSeconds * 1000;
  const count = history.acquireTimes.filter((time) => Date.parse(time) > hourAgo).length;
  if (count < limit) return undefined;
  return skip('RateLimited', `${count} dumps of the workload in the last hour of ${limit}`);
}

function isAfter(time: string | undefined, now: Date): time is string {
  return time !== undefined && Date.parse(time) > now.getTime();
}
