import { captureOutcomes, type CaptureRecord } from '../../lib/claim/capture-record.ts';
import type { Item } from '../../lib/claim/condition.ts';
import type { Write } from '../../lib/claim/item-table.ts';
import { ratePeriodSeconds } from '../../lib/claim/lease.ts';
import type { MemoryItems } from '../../lib/local/memory-items.ts';

/** What must never be. The first three are what claims are for, the others are promises of ClaimStore. */
export type ViolationKind =
  | 'overlap' // two dumps of a workload, more on a node or in a cluster than it has slots
  | 'stuck' // held although everybody had time to finish it, or refused although nothing is in the way
  | 'indexed-twice' // evidence of one capture in two entries, of different tokens
  | 'token' // not greater than the one before
  | 'unlocked' // a start for a claim that does not hold the lock, or not any more
  | 'cooldown' // acquired before the cooldown was over
  | 'rate' // more acquisitions in an hour than asked, or an attempt that is not given back
  | 'right' // of two finishers both hold the right to finish
  | 'state' // a capture goes on after its end
  | 'fault'; // an error that nobody injected

export interface Violation {
  kind: ViolationKind;
  text: string;
}

export interface Claimed {
  lockPk: string;
  captureId: string;
  acquireMillis: number;
  leaseExpireMillis: number;
  cooldownMillis: number;
  dumpsPerHourCount: number;
}

interface Progress {
  ended: boolean;
  /** It has ended, and what it holds is held until its lease ends. */
  lingers?: boolean;
  startMillis: number;
}

interface Ledger {
  token: number;
  /** Acquisitions that count into the rate. */
  counted: number[];
  cooldownUntilMillis: number;
}

export interface Dump {
  record: CaptureRecord;
  nodeSlotCount: number;
  clusterSlotCount: number;
}

const hourMillis = ratePeriodSeconds * 1_000;

/**
 * Watches what is committed, what agents do and what is indexed, and keeps an account of its own: what it holds against
 * the table comes from the requests, not from the items.
 */
export class Oracle {
  readonly violations: Violation[] = [];
  /** By claimNonce: what was asked for. */
  readonly requests = new Map<string, Claimed>();
  /** By finisherIdentity: for how long it takes the right, and the earliest time at which it can have finished. */
  readonly finishers = new Map<
    string,
    { leaseMillis: number; finishMillis: number; dumpGoesOn?: boolean }
  >();
  readonly #items: MemoryItems;
  readonly #ledgers = new Map<string, Ledger>();
  /** By captureId and token. */
  readonly #claims = new Map<string, Claimed & Progress>();
  readonly #dumps = new Set<Dump>();
  readonly #ranToken = new Map<string, number>();
  readonly #indexedToken = new Map<string, number>();

  constructor(items: MemoryItems) {
    this.#items = items;
  }

  report(kind: ViolationKind, text: string): void {
    this.violations.push({ kind, text });
  }

  /** Every lock that was ever acquired. */
  get lockKeys(): Iterable<string> {
    return this.#ledgers.keys();
  }

  /** After a transaction: `before` are the items that it found, in its order. */
  committed(writes: readonly Write[], before: readonly (Item | undefined)[]): void {
    for (const [index, write] of writes.entries()) {
      if (write.kind !== 'put' || !write.item.pk.startsWith('capture#')) continue;
      this.#captureChanged(write.item, before[index]);
    }
    for (const write of writes) {
      if (write.kind === 'put' && write.item.pk.startsWith('lock#')) this.#checkLock(write.item.pk);
    }
  }

  #captureChanged(item: Item, old: Item | undefined): void {
    if (item['state'] === 'claimed') {
      this.#acquired(item, old);
      return;
    }
    const { pk, fencingToken, state } = item;
    if (isTerminal(old)) this.report('state', `${pk} is ${String(state)} after its end`);
    if (state === 'started' && old?.['state'] === 'finishing') {
      this.report('state', `${pk} is started while it is being finished`);
    }
    if (state === 'started') this.#started(pk, Number(fencingToken));
    if (state === 'finishing') this.#checkRight(item, old);
    if (isTerminal(item)) this.#ended(pk, Number(fencingToken), item);
  }

  #acquired(item: Item, old: Item | undefined): void {
    const asked = this.requests.get(String(item['claimNonce']));
    if (asked === undefined) throw new Error(`nobody asked for ${item.pk}`);
    const { lockPk, captureId, acquireMillis, cooldownMillis, dumpsPerHourCount } = asked;
    const token = Number(item['fencingToken']);
    const ledger = this.#ledgers.get(lockPk) ?? {
      token: 0,
      counted: [],
      cooldownUntilMillis: -Infinity,
    };
    this.#ledgers.set(lockPk, ledger);
    if (token <= ledger.token) this.report('token', `${lockPk}: ${token} after ${ledger.token}`);
    ledger.token = token;
    const again = old?.['state'] === 'failed' && old['agentNeverRan'] === true;
    const isOver = Number(old?.['expireTimeEpochSeconds']) * 1_000 <= acquireMillis;
    if (isOver) this.forget(item.pk);
    else if (old !== undefined && !again) this.report('state', `${captureId} is claimed again`);
    if (acquireMillis < ledger.cooldownUntilMillis) {
      const millis = ledger.cooldownUntilMillis - acquireMillis;
      this.report('cooldown', `${lockPk}: ${millis} ms before its end, of ${cooldownMillis}`);
    }
    // Over by the clock of this claimer, it is over for all.
    ledger.cooldownUntilMillis = -Infinity;
    const counted = ledger.counted.filter((millis) => millis > acquireMillis - hourMillis);
    if (counted.length >= dumpsPerHourCount) {
      this.report('rate', `${lockPk}: ${counted.length + 1} in an hour of ${dumpsPerHourCount}`);
    }
    ledger.counted.push(acquireMillis);
    this.#claims.set(claimKey(captureId, token), { ...asked, ended: false, startMillis: Infinity });
  }

  #started(pk: string, token: number): void {
    const captureId = pk.slice('capture#'.length);
    const claim = this.#claims.get(claimKey(captureId, token));
    if (claim === undefined) return;
    const lock = this.#items.get(claim.lockPk);
    if (lock?.['holderIdentity'] !== captureId || lock['fencingToken'] !== token) {
      this.report('unlocked', `${captureId} is started with token ${token}`);
    }
    if (claim.startMillis >= claim.leaseExpireMillis) {
      this.report('unlocked', `${captureId} is started after its lease`);
    }
  }

  #checkRight(item: Item, old: Item | undefined): void {
    const finisher = String(item['finisherIdentity']);
    const before = old?.['finisherIdentity'];
    if (before === undefined || before === finisher) return;
    const { leaseMillis = 0 } = this.finishers.get(finisher) ?? {};
    const nowMillis = Number(item['finisherLeaseExpireMillis']) - leaseMillis;
    if (Number(old?.['finisherLeaseExpireMillis']) > nowMillis) {
      this.report('right', `${finisher} takes ${item.pk} from ${String(before)}, who has it`);
    }
  }

  #ended(pk: string, token: number, item: Item): void {
    const captureId = pk.slice('capture#'.length);
    const claim = this.#claims.get(claimKey(captureId, token));
    if (claim === undefined) {
      this.report('state', `${captureId} ends with token ${token}, which it never had`);
      return;
    }
    const ledger = this.#ledgers.get(claim.lockPk);
    const held = !claim.ended && ledger?.token === token;
    claim.ended = true;
    const finisher = this.finishers.get(String(item['finisherIdentity']));
    claim.lingers = finisher?.dumpGoesOn === true;
    if (ledger === undefined) return;
    if (item['state'] === 'failed') {
      const index = ledger.counted.indexOf(claim.acquireMillis);
      if (index >= 0) ledger.counted.splice(index, 1);
    } else if (held) {
      const { finishMillis = 0 } = finisher ?? {};
      ledger.cooldownUntilMillis = finishMillis + claim.cooldownMillis;
    }
  }

  #checkLock(pk: string): void {
    const lock = this.#items.get(pk);
    const ledger = this.#ledgers.get(pk);
    if (lock === undefined || ledger === undefined) return;
    const { holderIdentity, fencingToken, acquireMillis } = lock;
    if (typeof holderIdentity === 'string') {
      const claim = this.#claims.get(claimKey(holderIdentity, Number(fencingToken)));
      if (claim?.ended !== false && claim?.lingers !== true) {
        this.report('stuck', `${pk} is held by ${holderIdentity}, which has ended`);
      }
    }
    const stored = (acquireMillis as readonly number[]).toSorted(ascending);
    const counted = ledger.counted.sort(ascending);
    const isSame = stored.length === counted.length && stored.every((one, n) => one === counted[n]);
    if (!isSame) {
      this.report('rate', `${pk} counts ${stored.join()} in place of ${counted.join()}`);
      ledger.counted = stored;
    }
  }

  /** The time of the item is over: what it knew is forgotten, rightly. */
  forget(pk: string): void {
    this.#ledgers.delete(pk);
    if (!pk.startsWith('capture#')) return;
    const captureId = pk.slice('capture#'.length);
    this.#ranToken.delete(captureId);
    this.#indexedToken.delete(captureId);
  }

  /** Whoever asks for a start names this time as now. */
  starting(captureId: string, token: number, nowMillis: number): void {
    const claim = this.#claims.get(claimKey(captureId, token));
    if (claim !== undefined) claim.startMillis = Math.min(claim.startMillis, nowMillis);
  }

  dumpBegins(dump: Dump): void {
    const { captureId, fencingToken, lockKey, nodeName } = dump.record;
    const lock = this.#items.get(`lock#${lockKey}`);
    if (lock?.['holderIdentity'] !== captureId || lock['fencingToken'] !== fencingToken) {
      this.report('unlocked', `${captureId} begins with token ${fencingToken}`);
    }
    const ran = this.#ranToken.get(captureId);
    if (ran !== undefined && ran !== fencingToken) {
      this.report('state', `agents of ${captureId} ran under tokens ${ran} and ${fencingToken}`);
    }
    this.#ranToken.set(captureId, fencingToken);
    const others = [...this.#dumps];
    this.#dumps.add(dump);
    const sameLock = others.find(({ record }) => record.lockKey === lockKey);
    if (sameLock !== undefined) {
      this.report('overlap', `${captureId} and ${sameLock.record.captureId} dump at once`);
    }
    const onNode = others.filter(({ record }) => record.nodeName === nodeName).length + 1;
    if (onNode > dump.nodeSlotCount) this.report('overlap', `${onNode} dumps on ${nodeName}`);
    if (this.#dumps.size > dump.clusterSlotCount) {
      this.report('overlap', `${this.#dumps.size} dumps in the cluster`);
    }
  }

  /** Whether an agent of this claim ran, so that there is evidence. */
  hasRun({ captureId, fencingToken }: CaptureRecord): boolean {
    return this.#ranToken.get(captureId) === fencingToken;
  }

  dumpEnds(dump: Dump): void {
    this.#dumps.delete(dump);
  }

  indexed({ captureId, fencingToken }: CaptureRecord): void {
    const before = this.#indexedToken.get(captureId);
    if (before !== undefined && before !== fencingToken) {
      this.report('indexed-twice', `${captureId} under ${before} and ${fencingToken}`);
    }
    this.#indexedToken.set(captureId, fencingToken);
  }

  #lingers({ holderIdentity, fencingToken }: Item): boolean {
    const claim = this.#claims.get(claimKey(String(holderIdentity), Number(fencingToken)));
    return claim?.lingers === true;
  }

  /** When everybody had time enough: nothing is held any more. */
  settled(nowMillis: number): void {
    for (const item of this.#items.values()) {
      if (Number(item['expireTimeEpochSeconds']) * 1_000 <= nowMillis) continue;
      const held = item.pk.startsWith('capture#')
        ? item['openCapture'] !== undefined
        : item['holderIdentity'] !== undefined && !this.#lingers(item);
      if (held) this.report('stuck', `${item.pk} is still held`);
    }
  }
}

function isTerminal(item: Item | undefined): boolean {
  return (captureOutcomes as readonly unknown[]).includes(item?.['state']);
}

function claimKey(captureId: string, token: number): string {
  return `${captureId} ${token}`;
}

const ascending = (left: number, right: number): number => left - right;
