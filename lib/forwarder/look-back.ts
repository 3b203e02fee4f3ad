import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Signal } from '../signal/signal.ts';
import type { Standing } from './election.ts';
import type { ForwarderMetrics } from './metrics.ts';
import type { SignalSender } from './sender.ts';
import { maxSignalAgeSeconds } from './spool.ts';
import type { Time } from './time.ts';

/** A storm over a whole cluster. */
export const maxHeldSignalCount = 20_000;
/** Before the time until which the leader has sent all: clocks of nodes differ, and one watch is behind the other. */
export const lookBackMarginSeconds = 30;
const marginMilliseconds = lookBackMarginSeconds * 1_000;
/** With more than this the watches wait. */
export const maxQueuedSignalCount = 10_000;
const maxTakenAtOnce = 500;

interface Held {
  readonly signal: Signal;
  readonly heardMilliseconds: number;
}

export interface LookBackOptions {
  sender: Pick<SignalSender, 'send' | 'room' | 'hasRoom'>;
  time: Time;
  metrics: ForwarderMetrics;
  log: Logger;
}

/**
 * Between the watches and the sender. While another forwarder leads: what was observed here and that one is to send, kept until it
 * says that it has, and sent from here when it leads no more; both watch the same cluster, so that a leader that dies takes nothing
 * with it. Else: a queue for a sender that has no room, behind which the watches wait (`pace`).
 * Never more than 20,000: then the oldest go, counted; so do those older than 15 minutes, of which no dump can come any more.
 */
export class LookBack {
  readonly #options: LookBackOptions;
  /** Oldest first. */
  #held: Held[] = [];
  #open = false;
  #draining = false;
  #paced: (() => void)[] = [];
  #lastFullLogMilliseconds = Number.NEGATIVE_INFINITY;

  constructor(options: LookBackOptions) {
    this.#options = options;
  }

  get heldCount(): number {
    return this.#held.length;
  }

  /** Sends it, or keeps it while another one sends or the sender has no room. */
  hear(signal: Signal): void {
    const { sender } = this.#options;
    if (this.#open && this.#held.length === 0 && sender.hasRoom) {
      sender.send(signal);
      return;
    }
    this.#held.push({ signal, heardMilliseconds: this.#now() });
    if (this.#held.length > maxHeldSignalCount) this.#giveUpOldest();
    this.#report();
    if (this.#open) void this.#drain();
  }

  /** For whoever reads a watch: `undefined` to go on, or what to wait for. */
  pace(): Promise<void> | undefined {
    if (!this.#open || this.#held.length < maxQueuedSignalCount) return undefined;
    this.#options.metrics.watchPauses.inc();
    return new Promise((resolve) => this.#paced.push(resolve));
  }

  /** Holds while another one leads; in every other case it is better that two send than that none does. */
  standing({ role, sentThrough }: Standing): void {
    const opens = role !== 'following' && !this.#open;
    this.#open = role !== 'following';
    if (!this.#open)
      this.#forget((sentThrough?.getTime() ?? 0) - marginMilliseconds, 'SentByLeader');
    if (opens) this.#opened(sentThrough);
    this.#forget(this.#now() - maxSignalAgeSeconds * 1_000, 'LookBackExpired');
    this.#report();
    if (this.#open) void this.#drain();
  }

  /** For the end of one that does not follow: all that it still has is given to the sender, without a wait. */
  close(): void {
    for (const { signal } of this.#held.splice(0)) this.#options.sender.send(signal);
    this.#report();
  }

  #opened(sentThrough: Date | undefined): void {
    this.#forget((sentThrough?.getTime() ?? 0) - marginMilliseconds, 'SentByLeader');
    if (this.#held.length === 0) return;
    const fields = { signalCount: this.#held.length, sentThroughTime: sentThrough?.toISOString() };
    this.#options.log.info('sends what it observed while another one led', fields);
  }

  async #drain(): Promise<void> {
    if (this.#draining || this.#held.length === 0) return;
    this.#draining = true;
    const { sender, log } = this.#options;
    try {
      while (this.#held.length > 0) {
        await sender.room();
        if (!this.#mayGive()) break;
        for (const { signal } of this.#held.splice(0, maxTakenAtOnce)) sender.send(signal);
        this.#report();
      }
    } catch (error) {
      log.error('the look-back failed', { error: messageOf(error) });
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
    const { metrics, log } = this.#options;
    this.#held.shift();
    if (this.#open) metrics.signalsFailed.inc({ reason: 'QueueFull' });
    else metrics.signalsIgnored.inc({ reason: 'LookBackFull' });
    const now = this.#now();
    if (now - this.#lastFullLogMilliseconds < 60_000) return;
    this.#lastFullLogMilliseconds = now;
    log.error('more signals than can be kept, the oldest are given up', {
      ...{ maxHeldSignalCount, leads: this.#open },
    });
  }

  #report(): void {
    const { lookBackSignals, queueSignals } = this.#options.metrics;
    lookBackSignals.set(this.#open ? 0 : this.#held.length);
    queueSignals.set(this.#open ? this.#held.length : 0);
    const goesOn = !this.#open || this.#held.length < maxQueuedSignalCount;
    if (goesOn) for (const resolve of this.#paced.splice(0)) resolve();
  }

  #now(): number {
    return this.#options.time.now().getTime();
  }
}
