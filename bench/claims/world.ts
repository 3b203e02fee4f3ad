import { lockItemKey, lockKeyOf } from '../../lib/claim/claim-keys.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import type { ClaimRequest, ClaimStore } from '../../lib/claim/claim-store.ts';
import { leaseSkewMarginSeconds, leaseTimes, sealMarginSeconds } from '../../lib/claim/lease.ts';
import { createTableClaimStore } from '../../lib/claim/table-claim-store.ts';
import { CaptureError } from '../../lib/errors.ts';
import type { Policy } from '../../lib/policy/policy.ts';
import { chosen, type Choices } from './choices.ts';
import type { Clause } from './clauses.ts';
import { EventQueue } from './event-queue.ts';
import { Network, type Run } from './network.ts';
import type { Dump, Oracle } from './oracle.ts';

export interface WorldOptions {
  choices: Choices;
  /** Largest difference of two clocks; the bound that the lease allows unless given. */
  skewMillis?: number;
  forgotten?: Clause | undefined;
  trace?: (line: string) => void;
}

/** A container that gets into trouble: what its signals have in common. */
export interface Pod {
  captureId: string;
  lockKey: string;
  nodeName: string;
}

const clusterName = 'prod';
const namespace = 'shop';
/** A captureId holds for a while; behind a record's life the same one can come again. */
const startMillis = Date.parse('2026-01-01T00:00:00Z');

const slotCounts = [
  { nodeSlotCount: 2, clusterSlotCount: 3 },
  { nodeSlotCount: 1, clusterSlotCount: 3 },
  { nodeSlotCount: 2, clusterSlotCount: 2 },
  { nodeSlotCount: 2, clusterSlotCount: 1 },
];
/** Claims look at the limits of a policy alone. */
const policies = [0, 1_800].flatMap((cooldownSeconds) =>
  [6, 2, 1].flatMap((dumpsPerHourCount) =>
    slotCounts.map((slots) => ({
      limits: { cooldownSeconds, dumpsPerHourCount, ...slots, captureDeadlineSeconds: 600 },
    })),
  ),
) as unknown as [Policy, ...Policy[]];

/** Shares of the bound. */
const clockErrors = [0, -0.5, 0.5, 0.25] as const;

/** What all participants of one schedule share: the time, the table, the limits, who is where. */
export class World {
  readonly queue = new EventQueue(startMillis);
  readonly network: Network;
  readonly choices: Choices;
  readonly policy: Policy;
  readonly pods: PodSet;
  /** Pods that the API server does not have any more. */
  readonly gonePods = new Set<string>();
  /** What happens, a line each; absent unless somebody reads it. */
  readonly say: ((who: string, what: string) => void) | undefined;
  dumpCount = 0;
  readonly #skewMillis: number;
  #runCount = 0;

  constructor({ choices, skewMillis, forgotten, trace }: WorldOptions) {
    this.choices = choices;
    this.#skewMillis = skewMillis ?? leaseSkewMarginSeconds * 1_000;
    if (trace !== undefined) {
      this.say = (who, what) =>
        trace(`${((this.nowMillis - startMillis) / 1_000).toFixed(3)} s  ${who} ${what}`);
    }
    this.network = new Network(choices, this.queue, {
      forgotten,
      say: this.say,
    });
    this.policy = chosen(choices, policies);
    this.pods = chosen(choices, podSets);
  }

  get oracle(): Oracle {
    return this.network.oracle;
  }

  get nowMillis(): number {
    return this.queue.nowMillis;
  }

  /** A new run of a function, with a clock of its own. */
  run(what: string): Run & { clock: () => Date; claims: ClaimStore } {
    const offsetMillis = this.clockError();
    const name = `${what}-${(this.#runCount += 1)}`;
    const isSwift = this.choices.next(2) === 0;
    const run: Run = { name, offsetMillis, isSwift, dead: false };
    const claims = createTableClaimStore(this.network.tableFor(run), {
      newNonce: () => `${name}-nonce`,
    });
    return Object.assign(run, {
      clock: () => new Date(this.nowMillis + offsetMillis),
      claims: this.#watched(claims),
    });
  }

  /** Within half of the bound, before or behind. */
  clockError(): number {
    return chosen(this.choices, clockErrors) * this.#skewMillis;
  }

  /** Lets a participant go on by itself; a fault that nobody injected is a violation. */
  spawn(name: string, work: () => Promise<unknown>): void {
    work().catch((error: unknown) => {
      if (error instanceof CaptureError && error.retryable) return;
      this.oracle.report('fault', `${name}: ${String(error)}`);
    });
  }

  /** What claims look at: all else of a record would only make it longer to write and to read, which is most of the work. */
  request({ captureId, lockKey, nodeName }: Pod, now: Date, claimNonce: string): ClaimRequest {
    const { policy } = this;
    const asked = { captureId, policy, clusterName, nodeName, lockKey, claimNonce };
    return { ...asked, ...leaseTimes(policy, now) } as ClaimRequest;
  }

  /** A dump from now until its agent's end, or for as long as the JVM may go on without one. */
  dump(record: CaptureRecord, endMillis: number, whenEnded: () => void): void {
    const { nodeSlotCount, clusterSlotCount } = this.policy.limits;
    const dump: Dump = { record, nodeSlotCount, clusterSlotCount };
    this.dumpCount += 1;
    this.oracle.dumpBegins(dump);
    this.queue.at(endMillis, () => {
      this.oracle.dumpEnds(dump);
      whenEnded();
    });
  }

  /** When all is settled and every limit is over, a new claim must be granted. A quarter of the schedules asks for one. */
  askAgain(atMillis: number): void {
    if (this.choices.next(4) !== 0) return;
    const [pod] = this.pods;
    const run = this.run('last');
    this.queue.at(atMillis + this.#skewMillis, () =>
      this.spawn(run.name, async () => {
        const last = { ...pod, captureId: 'capture0000000099' };
        const answer = await run.claims
          .tryAcquire(this.request(last, run.clock(), run.name))
          .then(({ outcome }) => outcome, String);
        if (answer !== 'acquired')
          this.oracle.report('stuck', `${pod.lockKey} for good: ${answer}`);
      }),
    );
  }

  /** Tells the oracle what is asked for, before it is. */
  #watched(claims: ClaimStore): ClaimStore {
    const { finishers, requests } = this.oracle;
    const { moments } = this.network;
    return {
      ...claims,
      tryAcquire: (request) => {
        const acquireMillis = Date.parse(request.acquireTime);
        const leaseExpireMillis = Date.parse(request.leaseExpireTime);
        const { cooldownSeconds, dumpsPerHourCount } = request.policy.limits;
        requests.set(request.claimNonce ?? '', {
          lockPk: lockItemKey(request.lockKey),
          captureId: request.captureId,
          acquireMillis,
          leaseExpireMillis,
          cooldownMillis: cooldownSeconds * 1_000,
          dumpsPerHourCount,
        });
        moments.push(Date.parse(request.captureDeadlineTime), leaseExpireMillis);
        return claims.tryAcquire(request);
      },
      markStarted: (captureId, token, started) => {
        this.oracle.starting(captureId, token, Date.parse(started.startTime));
        return claims.markStarted(captureId, token, started);
      },
      beginFinish: (captureId, token, right) => {
        const leaseMillis = right.leaseSeconds * 1_000;
        moments.push(right.now.getTime() + leaseMillis);
        if (!finishers.has(right.finisherIdentity)) {
          finishers.set(right.finisherIdentity, { leaseMillis, finishMillis: Infinity });
        }
        return claims.beginFinish(captureId, token, right);
      },
      finish: (captureId, token, result) => {
        const finisher = finishers.get(result.finisherIdentity);
        const nowMillis = result.now.getTime();
        if (finisher) {
          finisher.finishMillis = Math.min(finisher.finishMillis, nowMillis);
          finisher.dumpGoesOn = result.dumpGoesOn === true;
        }
        return claims.finish(captureId, token, result);
      },
    };
  }
}

/** One or two pods of each of one or two workloads, on one or two nodes. */
const podSets = [1, 2].flatMap((workloadCount) =>
  [1, 2].flatMap((replicaCount) =>
    [1, 2].map((nodeCount) =>
      Array.from({ length: workloadCount * replicaCount }, (_, index): Pod => {
        const workloadName = `app-${index % workloadCount}`;
        const workload = { kind: 'Deployment', name: workloadName };
        return {
          captureId: `capture00000000${index}0`,
          lockKey: lockKeyOf({ clusterName, namespace, workload }),
          nodeName: `node-${Math.floor(index / workloadCount) % nodeCount}`,
        };
      }),
    ),
  ),
) as unknown as [PodSet, ...PodSet[]];
type PodSet = readonly [Pod, ...Pod[]];

/** Longest time that a JVM goes on writing a dump whose agent has ended. */
export const longestOverrunMillis = sealMarginSeconds * 1_000;
