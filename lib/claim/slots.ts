import { slotIsFree } from './claim-conditions.ts';
import { slotFrom } from './claim-items.ts';
import { clusterSlotKeys, nodeSlotKeys, spreadBy } from './claim-keys.ts';
import type { ClaimRequest, ClaimResult } from './claim-store.ts';
import { holds, type Item } from './condition.ts';

/** One of the two slots that a claim needs: on the node, and in the cluster. */
export interface SlotNeed {
  refusal: 'NodeBusy' | 'ClusterBusy';
  /** The slots to choose from, the one to try first in front. */
  candidateKeys: readonly string[];
}

/** Node first: of two refusals that is the one that ends sooner and says more. */
export function slotNeeds(request: ClaimRequest): readonly [SlotNeed, SlotNeed] {
  const { clusterName, nodeName, captureId, policy } = request;
  const { nodeSlotCount, clusterSlotCount } = policy.limits;
  const use = request.termination === undefined ? 'dump' : 'leftover';
  return [
    {
      refusal: 'NodeBusy',
      candidateKeys: spreadBy(captureId, nodeSlotKeys(clusterName, nodeName, nodeSlotCount, use)),
    },
    {
      refusal: 'ClusterBusy',
      candidateKeys: spreadBy(captureId, clusterSlotKeys(clusterName, clusterSlotCount, use)),
    },
  ];
}

/** The first candidate that is free; `undefined` when all are taken. */
export function freeSlot(
  need: SlotNeed,
  items: ReadonlyMap<string, Item>,
  nowMillis: number,
): string | undefined {
  return need.candidateKeys.find((key) => holds(slotIsFree(nowMillis), items.get(key)));
}

/** Refuses, naming the holder whose lease ends first among the slots that were in the way. */
export function refusedBySlots(
  need: SlotNeed,
  inTheWay: readonly (Item | undefined)[],
): ClaimResult & { outcome: 'refused' } {
  const [first] = inTheWay
    .map(slotFrom)
    .filter((slot) => slot !== undefined)
    .sort((left, right) => left.leaseExpireMillis - right.leaseExpireMillis);
  if (first === undefined) return { outcome: 'refused', reason: need.refusal };
  return {
    outcome: 'refused',
    reason: need.refusal,
    holderIdentity: first.holderIdentity,
    untilTime: new Date(first.leaseExpireMillis).toISOString(),
  };
}
