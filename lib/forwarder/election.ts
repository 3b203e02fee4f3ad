import { messageOf } from '../errors.ts';
import type { LeaseApi, LeaseRecord, StoredLease } from '../kubernetes/lease.ts';
import type { Logger } from '../log.ts';
import type { Time } from './time.ts';

/** A holder that is not seen to renew for this long has lost the lease. */
export const leaseDurationSeconds = 3;
/** A holder that could not renew for this long takes itself for one that has lost it: before anybody else does. */
export const renewDeadlineSeconds = 2;
const renewPeriodMilliseconds = 1_000;
const retryPeriodMilliseconds = 500;
const roundDeadlineMilliseconds = 1_000;
const faultLogMilliseconds = 60_000;

/**
 * `leading`: this one holds the lease. `following`: another one does, and was seen to renew it.
 * `unsure`: the lease can be neither read nor written now, or has no live holder yet.
 */
export type Role = 'leading' | 'following' | 'unsure';

export interface Standing {
  readonly role: Role;
  /** Of the one that leads, or that led before this one: all that it observed until then is with the bus. */
  readonly sentThrough?: Date;
}

export interface ElectionOptions {
  readonly lease: LeaseApi;
  /** Of this process alone: one that is started anew has missed what the others saw, and must not go on as leader. */
  readonly identity: string;
  /** What this one, while it leads, can say: until when all that was observed is with the bus. */
  sentThrough(): Date | undefined;
  /** At every round, whether or not anything changed. */
  onStanding(standing: Standing): void;
  readonly time: Time;
  readonly log: Logger;
}

/**
 * Who of several forwarders leads, by a Lease. As in client-go nobody compares clocks: whoever waits measures how long
 * the lease has not changed, and whoever holds it gives itself up before others can take it.
 * Two may think for a moment that they lead, where one stood still in between: whatever a leader does must bear that.
 * Source: https://pkg.go.dev/k8s.io/client-go/tools/leaderelection.
 */
export class Election {
  readonly #options: ElectionOptions;
  /** As last seen, and since when it has not changed. */
  #seen: { lease: StoredLease | undefined; sinceMilliseconds: number } | undefined;
  /** When the last renewal that succeeded was begun. */
  #renewedMilliseconds = Number.NEGATIVE_INFINITY;
  /** When the API last answered. */
  #answeredMilliseconds = Number.NEGATIVE_INFINITY;
  #role: Role = 'unsure';
  #sentThrough: Date | undefined;
  #lastFaultLogMilliseconds = Number.NEGATIVE_INFINITY;

  constructor(options: ElectionOptions) {
    this.#options = options;
  }

  get role(): Role {
    return this.#role;
  }

  /** Takes part until the abort, then gives the lease back if it holds it. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#round(signal);
      if (isAborted(signal)) break;
      await this.#options.time.sleep(this.#restMilliseconds(), signal);
    }
    await this.#giveBack();
  }

  async #round(signal: AbortSignal): Promise<void> {
    const started = this.#now();
    const outcome = await this.#within(this.#roundMilliseconds(), signal, () => this.#ask());
    if (signal.aborted) return;
    if (outcome !== undefined) this.#take(outcome ?? undefined, started);
    this.#stand();
  }

  #take(lease: StoredLease | undefined, startedMilliseconds: number): void {
    const now = this.#now();
    this.#answeredMilliseconds = now;
    if (!this.#seen || this.#seen.lease?.resourceVersion !== lease?.resourceVersion) {
      this.#seen = { lease, sinceMilliseconds: now };
    }
    const renewed = this.#isMine(lease);
    this.#renewedMilliseconds = renewed ? startedMilliseconds : Number.NEGATIVE_INFINITY;
  }

  /** `null`: there is no lease. */
  async #ask(): Promise<StoredLease | null> {
    const { lease } = this.#options;
    const known = this.#seen?.lease;
    if (this.#isMine(known)) {
      const renewed = await lease.write(this.#renewal(known), known?.resourceVersion);
      if (renewed !== undefined) return renewed;
    }
    const found = await lease.read();
    if (!this.#isFree(found)) return found ?? null;
    const taken = await lease.write(this.#renewal(found), found?.resourceVersion);
    return taken ?? (await lease.read()) ?? null;
  }

  #isMine(lease: StoredLease | null | undefined): boolean {
    return lease?.holderIdentity === this.#options.identity;
  }

  /** Nobody's, this one's, or not renewed for as long as its holder said. */
  #isFree(found: StoredLease | undefined): boolean {
    if (found === undefined || found.holderIdentity === '' || this.#isMine(found)) return true;
    if (found.resourceVersion !== this.#seen?.lease?.resourceVersion) return false;
    const seconds = found.leaseDurationSeconds || leaseDurationSeconds;
    return this.#now() - this.#seen.sinceMilliseconds >= seconds * 1_000;
  }

  #renewal(before: StoredLease | undefined): LeaseRecord {
    const { identity, time } = this.#options;
    const renewTime = time.now().toISOString();
    const mine = this.#isMine(before);
    // One that has not led yet passes on what the one before it said.
    const sentThrough = this.#options.sentThrough()?.toISOString();
    const sentThroughTime = (mine ? sentThrough : undefined) ?? before?.sentThroughTime;
    return {
      ...{ holderIdentity: identity, leaseDurationSeconds, renewTime },
      acquireTime: (mine && before?.acquireTime) || renewTime,
      leaseTransitions: (before?.leaseTransitions ?? -1) + (mine ? 0 : 1),
      ...(sentThroughTime === undefined ? {} : { sentThroughTime }),
    };
  }

  #stand(): void {
    const { log } = this.#options;
    const before = this.#role;
    const lease = this.#seen?.lease;
    // What another one had sent counts for whoever comes after it; its own account says nothing new to the leader.
    if (lease !== undefined && !(before === 'leading' && this.#isMine(lease))) {
      const sent = Date.parse(lease.sentThroughTime ?? '');
      this.#sentThrough = Number.isNaN(sent) ? undefined : new Date(sent);
    }
    this.#role = this.#roleNow();
    if (this.#role !== before) {
      const { holderIdentity = '', leaseTransitions = 0 } = lease ?? {};
      log.info('its part in the election', { role: this.#role, holderIdentity, leaseTransitions });
    }
    const sentThrough = this.#sentThrough;
    this.#options.onStanding({ role: this.#role, ...(sentThrough && { sentThrough }) });
  }

  #roleNow(): Role {
    const now = this.#now();
    if (now - this.#renewedMilliseconds < renewDeadlineSeconds * 1_000) return 'leading';
    const lease = this.#seen?.lease;
    const answered = now - this.#answeredMilliseconds < leaseDurationSeconds * 1_000;
    const held = lease !== undefined && lease.holderIdentity !== '' && !this.#isMine(lease);
    return answered && held ? 'following' : 'unsure';
  }

  /** So that it stops leading in time, however long the API takes to answer. */
  #roundMilliseconds(): number {
    return Math.max(1, Math.min(roundDeadlineMilliseconds, this.#leadMilliseconds()));
  }

  #restMilliseconds(): number {
    if (this.#role !== 'leading') return retryPeriodMilliseconds;
    const late = this.#now() - this.#renewedMilliseconds >= renewPeriodMilliseconds;
    const rest = late ? retryPeriodMilliseconds : renewPeriodMilliseconds;
    return Math.max(1, Math.min(rest, this.#leadMilliseconds()));
  }

  /** For which it still leads without a renewal; endless for one that does not lead. */
  #leadMilliseconds(): number {
    if (this.#role !== 'leading') return Number.POSITIVE_INFINITY;
    return this.#renewedMilliseconds + renewDeadlineSeconds * 1_000 - this.#now();
  }

  async #giveBack(): Promise<void> {
    const known = this.#seen?.lease;
    if (known === undefined || !this.#isMine(known)) return;
    const { lease, time, log } = this.#options;
    const record = { ...this.#renewal(known), holderIdentity: '', leaseDurationSeconds: 1 };
    const given = await this.#within(roundDeadlineMilliseconds, undefined, () =>
      lease.write(record, known.resourceVersion).then((written) => written ?? null),
    );
    this.#role = 'unsure';
    if (given) log.info('gave the lease back', { renewTime: time.now().toISOString() });
  }

  /** The answer, or `undefined` for none in time, a fault, or the abort. */
  async #within<T>(
    milliseconds: number,
    signal: AbortSignal | undefined,
    ask: () => Promise<T>,
  ): Promise<T | undefined> {
    const answered = new AbortController();
    const either = signal ? AbortSignal.any([signal, answered.signal]) : answered.signal;
    try {
      const late = this.#options.time.sleep(milliseconds, either).then(() => undefined);
      const outcome = await Promise.race([ask(), late]);
      if (outcome === undefined && signal?.aborted !== true) this.#complain('no answer in time');
      return outcome;
    } catch (error) {
      this.#complain(messageOf(error));
      return undefined;
    } finally {
      answered.abort();
    }
  }

  #complain(error: string): void {
    if (this.#now() - this.#lastFaultLogMilliseconds < faultLogMilliseconds) return;
    this.#lastFaultLogMilliseconds = this.#now();
    this.#options.log.warn('the lease could not be read or written', { error });
  }

  #now(): number {
    return this.#options.time.now().getTime();
  }
}

/** Read anew after each await: the compiler would hold on to what it knew before. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
