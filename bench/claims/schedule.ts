import { leaseSkewMarginSeconds, recordLifeSeconds } from '../../lib/claim/lease.ts';
import { chosen } from './choices.ts';
import type { Violation } from './oracle.ts';
import { deliverSignal, sweep } from './participants.ts';
import { World, type WorldOptions } from './world.ts';

/** What came of one schedule. */
export interface Account {
  /** Empty when all went well. The first one is the cause, what follows it can be its consequence. */
  violations: readonly Violation[];
  dumpCount: number;
  stepCount: number;
}

const minuteMillis = 60_000;
const hourMillis = 60 * minuteMillis;
/** Sweep runs every minute, and the right to finish that a dead run holds lasts for less than two. */
const maxSweepCount = 5;
/** So many schedules stand side by side: one turn of the event loop is a step of each. */
const besideCount = 8;

/**
 * Two to four things that happen from outside, each some time after the one before: mostly signals, now and then an early
 * run of sweep, or a month that goes by. Then, without faults, sweep runs every minute until it must have had its way.
 */
class Schedule {
  readonly #world: World;
  #phase: 'running' | 'settling' | 'over' = 'running';
  #sweepCount = 0;
  #stepCount = 0;

  constructor(options: WorldOptions) {
    this.#world = new World(options);
    this.#goOn(2 + this.#world.choices.next(3));
  }

  get account(): Account {
    const { oracle, dumpCount } = this.#world;
    return { violations: oracle.violations, dumpCount, stepCount: this.#stepCount };
  }

  /** One event. `false` after the last one. All promises must have had their turn before the next. */
  step(): boolean {
    this.#stepCount += 1;
    if (this.#world.queue.runNext()) return true;
    if (this.#phase === 'over') return false;
    if (this.#phase === 'running') {
      this.#phase = 'settling';
      this.#world.network.faulty = false;
    }
    return this.#settle();
  }

  #goOn(count: number): void {
    const { choices, pods, queue, network } = this.#world;
    const kind = choices.next(16);
    if (kind > 11 && kind < 15) {
      this.#world.spawn('sweep', () => sweep(this.#world));
    } else {
      const pod = chosen(choices, pods);
      this.#world.spawn('capture', () => deliverSignal(this.#world, pod));
    }
    if (count < 2) return;
    if (kind === 15) {
      queue.at(queue.nowMillis + recordLifeSeconds * 1_000 + hourMillis, () => {
        this.#deleteByTime();
        this.#goOn(count - 1);
      });
      return;
    }
    const delayMillis = choices.next(3) === 2 ? network.untilMoment() : network.delayMillis();
    queue.at(queue.nowMillis + delayMillis, () => this.#goOn(count - 1));
  }

  /** A month later TTL deletes what is over, some of it, or nothing at all. */
  #deleteByTime(): void {
    const { queue, choices, network, oracle } = this.#world;
    const rarity = 1 + choices.next(2);
    for (const item of [...network.items.values()]) {
      const isOver = Number(item['expireTimeEpochSeconds']) * 1_000 <= queue.nowMillis;
      if (!isOver || choices.next(rarity) !== 0) continue;
      this.#world.say?.('ttl', `deletes ${item.pk}`);
      network.items.delete(item.pk);
      oracle.forget(item.pk);
    }
  }

  #settle(): boolean {
    const { queue, network, oracle } = this.#world;
    const items = [...network.items.values()];
    const isOpen = items.some((item) => item['openCapture'] !== undefined);
    if (isOpen && this.#sweepCount < maxSweepCount) {
      this.#sweepCount += 1;
      const ends = items.map((item) => Number(item['leaseExpireMillis'] ?? 0));
      const settleMillis = Math.max(...ends) + leaseSkewMarginSeconds * 1_000;
      queue.at(Math.max(queue.nowMillis + minuteMillis, settleMillis), () =>
        this.#world.spawn('sweep', () => sweep(this.#world)),
      );
      return true;
    }
    oracle.settled(queue.nowMillis);
    this.#phase = 'over';
    this.#world.askAgain(queue.nowMillis + hourMillis);
    return true;
  }
}

/**
 * Runs so many schedules over the real claim code, which answers in promises: many side by side, so that each turn of the
 * event loop carries all of them one step on. Each is a world of its own, and the same whoever stands beside it.
 * @param whenEnded in the order in which they end.
 */
export async function runSchedules(
  count: number,
  optionsOf: (index: number) => WorldOptions,
  whenEnded: (index: number, account: Account) => void,
): Promise<void> {
  let live: { index: number; schedule: Schedule; isOver: boolean }[] = [];
  let next = 0;
  while (live.length > 0 || next < count) {
    while (live.length < besideCount && next < count) {
      live.push({ index: next, schedule: new Schedule(optionsOf(next)), isOver: false });
      next += 1;
    }
    await new Promise<void>((resolve) => setImmediate(resolve));
    let ended = false;
    for (const one of live) {
      if (one.schedule.step()) continue;
      ended = true;
      one.isOver = true;
      whenEnded(one.index, one.schedule.account);
    }
    if (ended) live = live.filter(({ isOver }) => !isOver);
  }
}

/** Runs one. */
export async function runSchedule(options: WorldOptions): Promise<Account> {
  let answer: Account | undefined;
  await runSchedules(
    1,
    () => options,
    (_, account) => (answer = account),
  );
  if (answer === undefined) throw new Error('a schedule did not end');
  return answer;
}
