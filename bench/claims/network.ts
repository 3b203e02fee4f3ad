import type { Item } from '../../lib/claim/condition.ts';
import type { ItemTable, Write, WriteResult } from '../../lib/claim/item-table.ts';
import { CaptureError } from '../../lib/errors.ts';
import { keyOf, MemoryItems, openCaptures } from '../../lib/local/memory-items.ts';
import { chosen, type Choices } from './choices.ts';
import { without, type Clause } from './clauses.ts';
import type { EventQueue } from './event-queue.ts';
import { Oracle } from './oracle.ts';

/** One run of a function. Dead ones never hear of a reply again. */
export interface Run {
  readonly name: string;
  /** What its clock shows beyond the true time. */
  readonly offsetMillis: number;
  /** None of its steps takes long: all of it fits between two steps of another. */
  readonly isSwift: boolean;
  dead: boolean;
}

const faults = {
  lostReply: 'takes effect, and its caller is told of a fault',
  failed: 'never takes effect, and its caller is told so',
  late: 'takes effect after its caller was told of a fault',
  deadBefore: 'never takes effect, and its caller is dead',
  deadAfter: 'takes effect, and its caller is dead',
  slowReply: 'takes effect long before its caller hears of it',
} as const;
type Fault = keyof typeof faults;
const faultNames = Object.keys(faults) as Fault[];
/** One request in so many meets with a fault. */
const faultRarity = 14;

/** One for all: nobody reads its stack. */
const noReply = new CaptureError('ClaimStoreUnavailable', 'no reply', { retryable: true });

const swiftMillis = 12;
const latencies = [
  { share: 24, millis: (choices: Choices) => 1 + choices.next(swiftMillis) },
  { share: 3, millis: (choices: Choices) => 1_000 * (1 + choices.next(3)) },
  { share: 1, millis: () => 30_000 },
  // Beyond the age at which a claim without a start counts as dead.
  { share: 1, millis: () => 95_000 },
] as const;
/** Of the rest of so many: until a lease, a deadline or a right ends, or a little before or behind it. */
const latencyShares = 32;
const edgeMillis = [0, -1, 1, -30_000, 30_000, -60_000, 60_000, 120_000] as const;

/**
 * The table as functions meet it: every request takes time, may be lost, come late or be answered to nobody. The items
 * themselves are consistent, and a transaction is one step.
 */
export class Network {
  readonly items = new MemoryItems();
  readonly oracle = new Oracle(this.items);
  /** True times at which something ends. */
  readonly moments: number[] = [];
  /** Whether requests may meet with faults. */
  faulty = true;
  /** How often the items were changed. */
  commitCount = 0;
  /** By key, what stood there before: an index that lags behind still shows it. */
  readonly #before = new Map<string, Item | undefined>();
  readonly #choices: Choices;
  readonly #queue: EventQueue;
  readonly #forgotten: Clause | undefined;
  readonly #say: ((who: string, what: string) => void) | undefined;

  constructor(
    choices: Choices,
    queue: EventQueue,
    options: {
      forgotten: Clause | undefined;
      say: ((who: string, what: string) => void) | undefined;
    },
  ) {
    this.#choices = choices;
    this.#queue = queue;
    this.#forgotten = options.forgotten;
    this.#say = options.say;
  }

  /** How long something takes: mostly milliseconds, at times until something else has just ended. */
  delayMillis(run?: Run): number {
    if (!this.faulty) return 1;
    if (run?.isSwift) return 1 + this.#choices.next(swiftMillis);
    let pick = this.#choices.next(latencyShares);
    for (const { share, millis } of latencies) {
      if (pick < share) return millis(this.#choices);
      pick -= share;
    }
    return this.untilMoment();
  }

  /** Milliseconds until something ends, by somebody's clock. */
  untilMoment(): number {
    const moment = this.moments[this.#choices.next(Math.max(1, this.moments.length))];
    const edge = edgeMillis[this.#choices.next(edgeMillis.length)] ?? 0;
    return Math.max(1, (moment ?? 0) + edge - this.#queue.nowMillis);
  }

  tableFor(run: Run): ItemTable {
    return {
      read: (keys) => this.#read(run, keys),
      write: (writes) => this.#ask(run, () => this.#write(run, writes)),
      listOpen: (lease, nowMillis, limit) =>
        this.#ask(run, () => openCaptures(this.#indexItems(), lease, nowMillis, limit)),
    };
  }

  /** Resolves after so many milliseconds, unless the run is dead by then. */
  wait(run: Run, millis: number): Promise<void> {
    if (!this.faulty) return Promise.resolve();
    return new Promise((resolve) => {
      this.#queue.at(this.#queue.nowMillis + millis, () => {
        if (!run.dead) resolve();
      });
    });
  }

  #read(run: Run, keys: readonly string[]): Promise<Map<string, Item>> {
    if (this.faulty && keys.length > 1 && this.#choices.next(faultRarity) === 1) {
      return this.#readTorn(run, keys);
    }
    return this.#ask(run, () => this.items.read(keys));
  }

  /** A batch of consistent reads is not one moment: DynamoDB reads each item by itself. */
  async #readTorn(run: Run, keys: readonly string[]): Promise<Map<string, Item>> {
    // Mostly all others before the lock, which comes first: what they say is older than what it says.
    const cut = chosen(this.#choices, [1, 1 + this.#choices.next(keys.length - 1)]);
    this.#say?.(run.name, `reads ${keys.slice(cut).join(', ')} before the rest`);
    const first = await this.#ask(run, () => this.items.read(keys.slice(cut)));
    await this.wait(run, chosen(this.#choices, [1, 10_000, 30_000, this.untilMoment()]));
    const second = await this.#ask(run, () => this.items.read(keys.slice(0, cut)));
    return new Map([...first, ...second]);
  }

  #ask<T>(run: Run, take: () => T): Promise<T> {
    // In the end there is one run at a time, and nothing that could come between.
    if (!this.faulty) return Promise.resolve(take());
    return new Promise((resolve, reject) => {
      if (run.dead) return;
      this.#later(run, () => this.#serve(run, take, resolve, reject));
    });
  }

  #later(run: Run | undefined, step: () => void): void {
    this.#queue.at(this.#queue.nowMillis + this.delayMillis(run), step);
  }

  #serve<T>(
    run: Run,
    take: () => T,
    resolve: (value: T) => void,
    reject: (error: Error) => void,
  ): void {
    if (run.dead) return;
    const fault = this.#fault();
    if (fault === undefined) {
      resolve(take());
      return;
    }
    this.#say?.(run.name, `has a request that ${faults[fault]}`);
    switch (fault) {
      case 'lostReply':
        take();
        reject(noReply);
        break;
      case 'failed':
        reject(noReply);
        break;
      case 'late':
        this.#later(undefined, () => void take());
        reject(noReply);
        break;
      case 'deadBefore':
        run.dead = true;
        break;
      case 'deadAfter':
        take();
        run.dead = true;
        break;
      case 'slowReply': {
        const reply = take();
        this.#later(undefined, () => {
          if (!run.dead) resolve(reply);
        });
      }
    }
  }

  #fault(): Fault | undefined {
    if (!this.faulty) return undefined;
    return faultNames[this.#choices.next(faultNames.length * faultRarity) - 1];
  }

  #write(run: Run, asked: readonly Write[]): WriteResult {
    const clause = this.#forgotten;
    const writes = clause === undefined ? asked : asked.map((write) => without(clause, write));
    const before = writes.map((write) => this.items.get(keyOf(write)));
    const result = this.items.write(writes);
    this.#say?.(run.name, `${wordsOf(writes)}: ${result.outcome}`);
    if (result.outcome === 'written') {
      this.commitCount += 1;
      for (const [index, write] of writes.entries()) {
        if (keyOf(write).startsWith('capture#')) this.#before.set(keyOf(write), before[index]);
      }
      this.oracle.committed(writes, before);
    }
    return result;
  }

  #indexItems(): readonly Item[] {
    const lags = this.faulty && this.#choices.next(8) === 1;
    const items = [...this.items.values()];
    if (!lags) return items;
    return items.map((item) => this.#before.get(item.pk) ?? item);
  }
}

function wordsOf(writes: readonly Write[]): string {
  return writes
    .map((write) => {
      if (write.kind !== 'put') return `${write.kind} ${write.pk}`;
      const { pk, holderIdentity, fencingToken, state } = write.item;
      const words = [
        pk,
        state,
        holderIdentity,
        fencingToken === undefined ? '' : `#${String(fencingToken)}`,
      ];
      return `put ${words.filter((word) => word !== undefined && word !== '').join(' ')}`;
    })
    .join(', ');
}
