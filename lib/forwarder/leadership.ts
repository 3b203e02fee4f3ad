import type { LeaseApi } from '../kubernetes/lease.ts';
import type { Logger } from '../log.ts';
import type { Signal } from '../signal/signal.ts';
import type { ApiAnswer, Route } from './api.ts';
import { Election, type Role, type Standing } from './election.ts';
import { LookBack } from './look-back.ts';
import type { ForwarderMetrics } from './metrics.ts';
import type { MonitorController } from './monitor-controller.ts';
import type { SignalSender } from './sender.ts';
import type { Time } from './time.ts';

type Controller = Pick<MonitorController, 'start' | 'stop'>;

export interface LeadershipOptions {
  /** Without it there is one forwarder, and it leads. */
  election?: { lease: LeaseApi; identity: string };
  sender: Pick<SignalSender, 'send' | 'room' | 'hasRoom' | 'idle'>;
  /** Until when every watch is known to have told all; `undefined` while one has not begun. */
  health: { heardThrough(): Date | undefined };
  time: Time;
  metrics: ForwarderMetrics;
  log: Logger;
}

/**
 * What depends on who of several forwarders leads: all of them watch, one sends what was observed and does what is to be
 * done once for a cluster. What somebody tells a forwarder is sent by whoever was told.
 */
export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #lookBack: LookBack;
  #role: Role = 'unsure';
  #ended: Promise<void> = Promise.resolve();
  #controller: Controller | undefined;

  constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#lookBack = new LookBack(options);
  }

  /** Whether another one leads, and this one stands by. */
  get follows(): boolean {
    return this.#role === 'following';
  }

  /** A signal that every forwarder has observed. */
  hear(signal: Signal): void {
    this.#lookBack.hear(signal);
  }

  /** For whoever reads a watch: `undefined` to go on, or what to wait for. */
  pace(): Promise<void> | undefined {
    return this.#lookBack.pace();
  }

  /** Takes part in the election until the abort; the controller runs while this one leads. */
  start(controller: Controller, signal: AbortSignal): void {
    const { election, sender } = this.#options;
    this.#controller = controller;
    const onStanding = (standing: Standing): void => this.#stand(standing);
    if (election === undefined) {
      onStanding({ role: 'leading' });
      return;
    }
    const all = (): Date | undefined =>
      sender.idle && this.#lookBack.heldCount === 0
        ? this.#options.health.heardThrough()
        : undefined;
    const taking = new Election({ ...this.#options, ...election, sentThrough: all, onStanding });
    this.#ended = taking.run(signal);
  }

  /** After the abort: the lease is given back, the controller has ended, the sender has all that nobody else would send. */
  async stop(): Promise<void> {
    await this.#ended;
    await this.#controller?.stop();
    if (!this.follows) this.#lookBack.close();
  }

  #stand(standing: Standing): void {
    const { role } = standing;
    if (role !== this.#role) this.#options.metrics.roleChanges.inc({ role });
    this.#role = role;
    this.#options.metrics.leading.set(role === 'leading' ? 1 : 0);
    this.#lookBack.standing(standing);
    if (role === 'leading') this.#controller?.start();
    else void this.#controller?.stop();
  }
}

/** The same route, answered by the leader alone: for what is judged over time, and so at one place. */
export function byLeader(route: Route, leadership: Pick<Leadership, 'follows'>): Route {
  const notLeading: ApiAnswer = {
    status: 503,
    body: { error: 'another forwarder leads and judges this; try again on a new connection' },
  };
  return {
    ...route,
    admit: async (caller) => (leadership.follows ? notLeading : route.admit?.(caller)),
  };
}
