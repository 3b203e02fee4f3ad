import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Signal } from '../signal/signal.ts';
import type { Standing } from './election.ts';
import type { ForwarderMetrics } from './metrics.ts';
import { maxSignalAgeSeconds } from './spool.ts';
import type { Time } from './time.ts';

/** A storm over a whole cluster. */
export const maxHeldSignalCount = 20_000;
/** Before the time until which the leader has sent all: clocks of nodes differ, and one watch is behind the other. */
export const lookBackMarginSeconds = 30;
const maxTakenAtOnce = 500;

interface Held {
  readonly signal: Signal;
  readonly heardMilliseconds: number;
}

export interface LookBackOptions {
  send(signal: Signal): void;
  /** Resolves when `send` may be called again without piling up. */
  room(): Promise<void>;
  time: Time;
  metrics: ForwarderMetrics;
  log: Logger;
}

/**
 * What this forwarder observed and another one is to send: kept until that one says that it has, and sent when it leads no
 * more. Both watch the same cluster, so that a leader that dies takes nothing with it.
 * Beyond 20,000 the oldest go, counted; so do those older than 15 minutes, of which no dump can come any more.
 */
export class LookBack {
  readonly #options: LookBackOptions;
  /** Oldest first. */
  #held: Held[] = [];
  #open = false;
  #draining = false;
  #lastFullLogMilliseconds = Number.NEGATIVE_INFINITY;

  constructor(options: LookBackOptions) {
    this.#options = options;
  }

  get heldCount(): number {
    return this.#held.length;
  }

  /** Sends it, or keeps it while another one sends. */
  hear(signal: Signal): void {
    if (this.#open && this.#held.length === 0) {
      this.#options.send(signal);
      return;
    }
    this.#held.push({ signal, heardMilliseconds: this.#now() });
    if (this.#held.length > maxHeldSignalCount) this.#giveUpOldest();
    this.#report();
  }

  /** Holds while another one leads; in every other case it is better that two send than that none does. */
  standing({ role, sentThrough }: Standing): void {
    this.#open = role !== 'following';
    const sent = (sentThrough?.getTime() ?? 0) - lookBackMarginSeconds * 1_000;
    const oldest = this.#now() - maxSignalAgeSeconds * 1_000;
    this.#forget(sent, 'SentByLeader');
    this.#forget(oldest, 'LookBackExpired');
    this.#report();
    if (this.#open) void this.#drain();
  }

  /** For the end of one that does not follow: all that it still has is given to `send`, without a wait. */
  close(): void {
    for (const { signal } of this.#held.splice(0)) this.#options.send(signal);
  }

  async #drain(): Promise<void> {
    if (this.#draining || this.#held.length === 0) return;
    this.#draining = true;
    this.#options.log.info('sends what it observed while another one led', {
      signalCount: this.#held.length,
    });
    try {
      while (this.#held.length > 0) {
        await this.#options.room();
        if (!this.#mayGive()) break;
        for (const { signal } of this.#held.splice(0, maxTakenAtOnce)) this.#options.send(signal);
        this.#report();
      }
    } catch (error) {
      this.#options.log.error('the look-back failed', { error: messageOf(error) });
    } finally {
      this.#draining = false;
    }
  }

  /** Another one may have taken the lead meanwhile. */
  #mayGive(): boolean {
    return this.#open;
  }

  #forget(beforeMilliseconds: number, reason: string): void {
    const first = this.#held.findIndex((held) => held.heardMilliseconds >= beforeMilliseconds);
    const count = first === -1 ? this.#held.length : first;
    if (count === 0) return;
    this.#held.splice(0, count);
    this.#options.metrics.signalsIgnored.inc({ reason }, count);
  }

  #giveUpOldest(): void {
    this.#held.shift();
    this.#options.metrics.signalsIgnored.inc({ reason: 'LookBackFull' });
    const now = this.#now();
    if (now - this.#lastFullLogMilliseconds < 60_000) return;
    this.#lastFullLogMilliseconds = now;
    this.#options.log.error('more signals than can be kept for the leader', {
      maxHeldSignalCount,
    });
  }

  #report(): void {
    this.#options.metrics.lookBackSignals.set(this.#held.length);
  }

  #now(): number {
    return this.#options.time.now().getTime();
  }
}
