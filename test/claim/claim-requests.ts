import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import { lockKeyOf } from '../../lib/claim/claim-keys.ts';
import type { ClaimRequest, ClaimResult, ClaimStore } from '../../lib/claim/claim-store.ts';
import { leaseTimes } from '../../lib/claim/lease.ts';
import { policySchema, type Policy } from '../../lib/policy/policy.ts';
import type { Workload } from '../../lib/policy/pod-facts.ts';

/** Far ahead, so that no table that really deletes by time interferes. */
export const start = new Date('2040-01-01T00:00:00.000Z');

export function after(seconds: number, from = start): Date {
  return new Date(from.getTime() + seconds * 1_000);
}

export function afterMillis(millis: number, from: Date | string): Date {
  return new Date(new Date(from).getTime() + millis);
}

/** Limits that refuse nothing but what the test is about. */
export function policyWith(limits: Partial<Policy['limits']> = {}): Policy {
  return policySchema.parse({
    limits: {
      cooldownSeconds: 0,
      dumpsPerHourCount: 60,
      nodeSlotCount: 10,
      clusterSlotCount: 10,
      captureDeadlineSeconds: 600,
      ...limits,
    },
  });
}

let requestCount = 0;

export interface RequestOptions {
  captureId?: string;
  now?: Date;
  limits?: Partial<Policy['limits']>;
  clusterName?: string;
  namespace?: string;
  workload?: Workload;
  nodeName?: string;
  claimNonce?: string;
}

/** A request of its own captureId for one workload, valid in every field. */
export function requestWith(options: RequestOptions = {}): ClaimRequest {
  requestCount += 1;
  const {
    captureId = `capture${String(requestCount).padStart(12, '0')}`,
    now = start,
    clusterName = 'prod',
    namespace = 'shop',
    workload = { kind: 'Deployment', name: 'cart' },
    nodeName = 'node-1',
    claimNonce,
  } = options;
  const policy = policyWith(options.limits);
  const podName = `cart-${captureId}`;
  return {
    captureId,
    signal: {
      schemaVersion: 1,
      clusterName: 'prod',
      namespace: 'shop',
      podName,
      reason: 'LivenessProbeFailing',
      observedTime: now.toISOString(),
      numbers: {},
    },
    policy,
    workload,
    clusterName,
    namespace,
    podName,
    podUid: `uid-${captureId}`,
    containerName: 'app',
    containerID: 'containerd://0123',
    nodeName,
    objectPrefix: `dumps/prod/shop/cart/${captureId}/`,
    lockKey: lockKeyOf({ clusterName, namespace, workload }),
    ...leaseTimes(policy, now),
    ...(claimNonce === undefined ? {} : { claimNonce }),
  };
}

/** Claims, and fails the test with the refusal when it is refused. */
export async function acquire(
  store: ClaimStore,
  options: RequestOptions = {},
): Promise<CaptureRecord> {
  const result = await store.tryAcquire(requestWith(options));
  if (result.outcome === 'acquired') return result.record;
  throw new Error(`refused: ${JSON.stringify(result)}`);
}

/** Finishes as one finisher would, from the right to it to the terminal state. */
export async function finishAs(
  store: ClaimStore,
  record: CaptureRecord,
  outcome: 'complete' | 'failed',
  now: Date,
  more: { agentNeverRan?: boolean; dumpGoesOn?: boolean } = {},
): Promise<'finished' | 'stale'> {
  const finisherIdentity = `seal-${record.captureId}`;
  const { captureId, fencingToken } = record;
  await store.beginFinish(captureId, fencingToken, { finisherIdentity, now, leaseSeconds: 60 });
  return store.finish(captureId, fencingToken, { finisherIdentity, outcome, now, ...more });
}

/** What capture did to start an agent, at the given time. */
export function startAt(now: Date) {
  return {
    rung: 'nodeAgent',
    refusedRungs: {},
    agentName: 'heapcatch-agent-1',
    startTime: now.toISOString(),
  } as const;
}

/** How often each answer came: `acquired`, or the reason of the refusal. */
export function tally(results: readonly ClaimResult[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const result of results) {
    const answer = result.outcome === 'acquired' ? 'acquired' : result.reason;
    counts[answer] = (counts[answer] ?? 0) + 1;
  }
  return counts;
}
