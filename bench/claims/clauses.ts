import type { Condition } from '../../lib/claim/condition.ts';
import type { Write } from '../../lib/claim/item-table.ts';
import { keyOf } from '../../lib/local/memory-items.ts';

/** One clause of the claim's conditions, and how to find it in a write. */
export interface Clause {
  name: string;
  /** Start of the keys of the items on which it is a condition. */
  on: 'lock#' | 'capture#' | 'slot#';
  kind: Write['kind'];
  matches: (condition: Condition) => boolean;
  /** Of an alternative one arm: without it the condition asks for more, and who should get the lock does not. */
  isArm?: true;
  /** What else keeps every promise without it, so that no schedule can miss it. */
  coveredBy?: string;
}

const tests =
  (attribute: string, ...kinds: Condition['is'][]) =>
  (condition: Condition): boolean =>
    'path' in condition &&
    condition.path.attribute === attribute &&
    condition.path.index === undefined &&
    (kinds.length === 0 || kinds.includes(condition.is));

/** An alternative of several, one of which tests this attribute. */
const anyOn =
  (attribute: string, kind: Condition['is']) =>
  (condition: Condition): boolean =>
    condition.is === 'any' &&
    condition.of.some(
      (one) => 'path' in one && one.is === kind && one.path.attribute === attribute,
    );

/** An element of a list. */
const listed =
  (attribute: string, kind: Condition['is']) =>
  (condition: Condition): boolean =>
    'path' in condition &&
    condition.is === kind &&
    condition.path.attribute === attribute &&
    condition.path.index !== undefined;

const armOf = <T extends object>(place: T): T & { isArm: true } => ({ ...place, isArm: true });

const either =
  (...matches: Clause['matches'][]) =>
  (condition: Condition): boolean =>
    matches.some((one) => one(condition));

const onLock = { on: 'lock#', kind: 'put' } as const;
const onCapture = { on: 'capture#', kind: 'put' } as const;
const onTakenSlot = { on: 'slot#', kind: 'put' } as const;
const onFreedSlot = { on: 'slot#', kind: 'delete' } as const;
const onProof = { on: 'lock#', kind: 'check' } as const;

/** Every clause of lib/claim/claim-conditions.ts, by the write that it guards. */
export const clauses: readonly Clause[] = [
  { name: 'lock: free', ...onLock, matches: anyOn('leaseExpireMillis', 'atMost') },
  { name: 'lock: cooldown is over', ...onLock, matches: anyOn('cooldownUntilMillis', 'atMost') },
  { name: 'lock: rate has room', ...onLock, matches: anyOn('acquireMillis', 'atMost') },
  { name: 'lock as read: absent', ...onLock, matches: tests('pk', 'absent') },
  { name: 'lock as read: token', ...onLock, matches: tests('fencingToken') },
  { name: 'lock as read: acquisitions', ...onLock, matches: tests('acquireMillis', 'equal') },
  { name: 'lock as read: holder', ...onLock, matches: tests('holderIdentity') },
  {
    name: 'capture: unknown',
    ...onCapture,
    matches: anyOn('expireTimeEpochSeconds', 'atMost'),
  },
  { name: 'capture as read: token', ...onCapture, matches: tests('fencingToken') },
  { name: 'capture as read: state', ...onCapture, matches: tests('state') },
  {
    name: 'capture as read: finisher',
    ...onCapture,
    matches: tests('finisherIdentity'),
    coveredBy: 'the lease of its right, which no two finishers end in one millisecond',
  },
  {
    name: "capture as read: finisher's lease",
    ...onCapture,
    matches: tests('finisherLeaseExpireMillis'),
    coveredBy: 'the finisher, unless the same one begins anew between read and write',
  },
  {
    name: 'capture as read: finisher and its lease',
    ...onCapture,
    matches: either(tests('finisherIdentity'), tests('finisherLeaseExpireMillis')),
  },
  { name: 'slot: free', ...onTakenSlot, matches: anyOn('leaseExpireMillis', 'atMost') },
  { name: 'freed slot: holder', ...onFreedSlot, matches: tests('holderIdentity') },
  {
    name: 'freed slot: token',
    ...onFreedSlot,
    matches: tests('fencingToken'),
    coveredBy: "the capture's own condition in the same transaction",
  },
  {
    name: 'freed slot: holder and token',
    ...onFreedSlot,
    matches: either(tests('holderIdentity'), tests('fencingToken')),
  },
  {
    name: 'start: holder',
    ...onProof,
    matches: tests('holderIdentity'),
    coveredBy: 'the token, which one lock gives out once',
  },
  {
    name: 'start: token',
    ...onProof,
    matches: tests('fencingToken'),
    coveredBy: "the holder, and the capture's own condition in the same transaction",
  },
  {
    name: 'start: holder and token',
    ...onProof,
    matches: either(tests('holderIdentity'), tests('fencingToken')),
  },
  { name: 'start: lease is alive', ...onProof, matches: tests('leaseExpireMillis') },
  {
    name: 'lock: free, or absent',
    ...armOf(onLock),
    matches: tests('pk', 'absent'),
    coveredBy: 'the arm of the released lock: an absent one has no holder either',
  },
  { name: 'lock: free, or released', ...armOf(onLock), matches: tests('holderIdentity', 'absent') },
  { name: 'lock: free, or expired', ...armOf(onLock), matches: tests('leaseExpireMillis') },
  {
    name: 'lock: cooldown never was',
    ...armOf(onLock),
    matches: tests('cooldownUntilMillis', 'absent'),
  },
  {
    name: 'lock: cooldown has ended',
    ...armOf(onLock),
    matches: tests('cooldownUntilMillis', 'atMost'),
  },
  { name: 'lock: rate has fewer', ...armOf(onLock), matches: listed('acquireMillis', 'absent') },
  { name: 'lock: rate has older', ...armOf(onLock), matches: listed('acquireMillis', 'atMost') },
  { name: 'capture: never was', ...armOf(onCapture), matches: tests('pk', 'absent') },
  {
    name: 'capture: is over',
    ...armOf(onCapture),
    matches: tests('expireTimeEpochSeconds', 'atMost'),
  },
  { name: 'slot: absent', ...armOf(onTakenSlot), matches: tests('pk', 'absent') },
  { name: 'slot: expired', ...armOf(onTakenSlot), matches: tests('leaseExpireMillis') },
];

/** Holds on everything. */
const nothing: Condition = { is: 'all', of: [] };

/** The write as it would be if the clause had been forgotten. */
export function without(clause: Clause, write: Write): Write {
  if (write.condition === undefined) return write;
  if (write.kind !== clause.kind || !keyOf(write).startsWith(clause.on)) return write;
  return { ...write, condition: pruned(write.condition, clause) };
}

function pruned(condition: Condition, clause: Clause): Condition {
  if (condition.is === 'any' && clause.isArm) {
    return { is: 'any', of: condition.of.filter((arm) => !clause.matches(arm)) };
  }
  if (!clause.isArm && clause.matches(condition)) return nothing;
  if (condition.is !== 'all') return condition;
  return { is: 'all', of: condition.of.map((inner) => pruned(inner, clause)) };
}
