import type { LockCondition } from '../../lib/claim/claim-conditions.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import type { ClaimStore } from '../../lib/claim/claim-store.ts';
import type { ItemTable } from '../../lib/claim/item-table.ts';
import { leaseSeconds } from '../../lib/claim/lease.ts';
import { CaptureError } from '../../lib/errors.ts';
import {
  createMemoryClaimStore,
  createMemoryItemTable,
} from '../../lib/local/memory-claim-store.ts';
import { policyWith, requestWith, start, startAt } from './claim-requests.ts';

/** One step of a schedule: what happens next, and to which of those it can happen to. */
export interface Step {
  kind: (typeof stepKinds)[number];
  pick: number;
}

export const stepKinds = [
  ...Array<'claim'>(4).fill('claim'),
  'sweep',
  'wait',
  'wait',
  // Of the requests to the table that are under way, in any order, one …
  ...Array<'answer'>(24).fill('answer'),
  'loseReply', // … takes effect, but its caller is told of a fault
  'fail', // … never takes effect, and its caller is told so
  'crash', // … never takes effect, and its caller is gone
  'crashAfter', // … takes effect, and its caller is gone
  // Of the agents that work, one …
  'endDump', // … puts its manifest; seal is run, sometimes twice
  'killAgent', // … ends without a word
] as const;

const captureDeadlineSeconds = 10;
const limits = { captureDeadlineSeconds, nodeSlotCount: 2, clusterSlotCount: 5 };
const leaseMillis = leaseSeconds(policyWith(limits)) * 1_000;
/** Small ones for order, large ones that end at, just before and just after a deadline or a lease. */
const waits = [
  1,
  1_000,
  9_999,
  10_000,
  30_000,
  60_000,
  leaseMillis - 60_000,
  leaseMillis - 1,
  leaseMillis,
];
const workloadCount = 3;
const podCount = 2;

interface Pending {
  settle(how: 'answer' | 'loseReply' | 'fail' | 'crash' | 'crashAfter'): void;
}

interface Agent {
  record: CaptureRecord;
  /** By the true clock: the moment in which its own clock shows the deadline. */
  stopMillis: number;
}

export interface Account {
  /** What must never be: two dumps of a workload at once, more on a node than it has slots, a token twice. */
  overlaps: string[];
  dumpCount: number;
}

/**
 * Runs functions and agents against one store, in the order that the schedule says. Every function has a
 * clock of its own, up to skewMillis / 2 before or behind the true one, and so has every agent. Each table
 * request waits until the schedule lets it go, so any two functions interleave in any way.
 */
export async function runSchedule(
  steps: readonly Step[],
  options: { skewMillis: number; lockCondition?: LockCondition },
): Promise<Account> {
  const world = new World(options);
  for (const step of steps) {
    world.take(step);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return world.account;
}

class World {
  readonly account: Account = { overlaps: [], dumpCount: 0 };
  private nowMillis = start.getTime();
  private functionCount = 0;
  private readonly pending: Pending[] = [];
  private agents: Agent[] = [];
  private readonly tokens = new Set<string>();
  private readonly store: ClaimStore;
  private readonly skewMillis: number;

  constructor(options: { skewMillis: number; lockCondition?: LockCondition }) {
    this.skewMillis = options.skewMillis;
    const { lockCondition } = options;
    this.store = createMemoryClaimStore({
      table: this.hesitant(createMemoryItemTable()),
      ...(lockCondition === undefined ? {} : { lockCondition }),
    });
  }

  take({ kind, pick }: Step): void {
    switch (kind) {
      case 'claim':
        void this.capture(pick);
        break;
      case 'sweep':
        void this.sweep(this.clock(pick));
        break;
      case 'wait':
        this.nowMillis += waits[pick % waits.length]!;
        this.agents = this.agents.filter((agent) => agent.stopMillis > this.nowMillis);
        break;
      case 'endDump':
      case 'killAgent': {
        const [agent] = this.agents.splice(pick % Math.max(1, this.agents.length), 1);
        if (agent === undefined || kind === 'killAgent') break;
        void this.finish(agent.record, this.clock(pick), 'complete');
        if (pick % 3 === 0) void this.finish(agent.record, this.clock(pick + 1), 'complete');
        break;
      }
      case 'answer':
      case 'loseReply':
      case 'fail':
      case 'crash':
      case 'crashAfter':
        this.pending.splice(pick % Math.max(1, this.pending.length), 1)[0]?.settle(kind);
    }
  }

  /** The capture function, for one delivery of a signal; it asks twice more when the store fails. */
  private async capture(pick: number): Promise<void> {
    const clock = this.clock(pick);
    const name = `cart-${pick % workloadCount}`;
    const captureId = `capture-${pick % workloadCount}-${pick % podCount}-${pick % 7}`;
    const request = requestWith({
      captureId,
      limits,
      now: clock(),
      workload: { kind: 'Deployment', name },
      claimNonce: `nonce-${(this.functionCount += 1)}`,
    });
    const result = await this.persist(() => this.store.tryAcquire(request));
    if (result?.outcome !== 'acquired') return;
    const { record } = result;
    const token = `${record.lockKey} ${record.fencingToken}`;
    if (this.tokens.has(token)) this.account.overlaps.push(`token given twice: ${token}`);
    this.tokens.add(token);
    const startsWell = pick % 5 !== 0;
    const started = await this.persist(() =>
      this.store.markStarted(captureId, record.fencingToken, startAt(clock())),
    );
    if (started !== true) return;
    if (startsWell) this.startAgent(record, pick);
    else await this.finish(record, clock, 'failed');
  }

  /** The agent begins only before its deadline, and stops at it, both by its own clock. */
  private startAgent(record: CaptureRecord, pick: number): void {
    const stopMillis = Date.parse(record.captureDeadlineTime) - this.offset(pick + 3);
    if (stopMillis <= this.nowMillis) return;
    this.agents.push({ record, stopMillis });
    this.account.dumpCount += 1;
    const ofWorkload = this.agents.filter((agent) => agent.record.lockKey === record.lockKey);
    if (ofWorkload.length > 1) this.account.overlaps.push(`two dumps of ${record.lockKey}`);
    if (this.agents.length > limits.nodeSlotCount)
      this.account.overlaps.push('a node over its slots');
  }

  private async sweep(clock: () => Date): Promise<void> {
    const overdue = await this.persist(() => this.store.listOverdue(clock(), 3));
    for (const record of overdue ?? []) await this.finish(record, clock, 'failed');
  }

  private async finish(
    record: CaptureRecord,
    clock: () => Date,
    outcome: 'complete' | 'failed',
  ): Promise<void> {
    const { captureId, fencingToken } = record;
    const finisherIdentity = `finisher-${(this.functionCount += 1)}`;
    const right = await this.persist(() =>
      this.store.beginFinish(captureId, fencingToken, {
        finisherIdentity,
        now: clock(),
        leaseSeconds: 30,
      }),
    );
    if (right !== 'begun') return;
    await this.persist(() =>
      this.store.finish(captureId, fencingToken, {
        finisherIdentity,
        outcome,
        now: clock(),
        agentNeverRan: outcome === 'failed' && record.started === undefined,
      }),
    );
  }

  private async persist<T>(ask: () => Promise<T>): Promise<T | undefined> {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof CaptureError) || !error.retryable) throw error;
      }
    }
    return undefined;
  }

  private offset(pick: number): number {
    return (((pick * 7) % 11) / 10 - 0.5) * this.skewMillis;
  }

  private clock(pick: number): () => Date {
    return () => new Date(this.nowMillis + this.offset(pick));
  }

  private hesitant(table: ItemTable): ItemTable {
    const hold = <T>(ask: () => Promise<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        const fault = new CaptureError('ClaimStoreUnavailable', 'no reply', { retryable: true });
        const settle: Pending['settle'] = (how) => {
          const reply = how === 'crash' || how === 'fail' ? undefined : ask();
          if (how === 'answer') resolve(reply!);
          if (how === 'loseReply' || how === 'fail') reject(fault);
        };
        this.pending.push({ settle });
      });
    return {
      read: (keys) => hold(() => table.read(keys)),
      write: (writes) => hold(() => table.write(writes)),
      listOpen: (lease, nowMillis, limit) => hold(() => table.listOpen(lease, nowMillis, limit)),
    };
  }
}
