import { hash } from 'node:crypto';
import type { Workload } from '../policy/pod-facts.ts';

const maxPartLength = 200;
const isPlain = /^[A-Za-z0-9._-]*$/;

/**
 * Text as one part of a key: letters, digits, "." "_" "-" stay, every other UTF-16 unit becomes % and four
 * hexadecimal digits, so no name can hold a separator. Too long for a key (2,048 bytes), it is cut and its
 * SHA-256 put behind a "~". Different texts give different parts.
 */
function keyPart(text: string): string {
  if (text.length <= maxPartLength && isPlain.test(text)) return text;
  const encoded = text.replace(
    /[^A-Za-z0-9._-]/g,
    (unit) => `%${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  if (encoded.length <= maxPartLength) return encoded;
  return `${encoded.slice(0, 60)}~${hash('sha256', encoded)}`;
}

/** The workload's lock: what at most one replica holds. */
export function lockKeyOf(of: {
  clusterName: string;
  namespace: string;
  workload: Workload;
}): string {
  return [of.clusterName, of.namespace, of.workload.kind, of.workload.name].map(keyPart).join('/');
}

/**
 * The lock under which leftovers of one container are collected. Not the workload's: nobody is paused, so that neither
 * refuses the other, nor counts into the other's cooldown and rate, and what another replica left waits for nobody.
 */
export function leftoversLockKeyOf(of: {
  clusterName: string;
  namespace: string;
  workload: Workload;
  podUid: string;
  containerName: string;
}): string {
  return [lockKeyOf(of), 'leftovers', keyPart(of.podUid), keyPart(of.containerName)].join('/');
}

/** Partition key of the item behind a lockKey. */
export function lockItemKey(lockKey: string): string {
  return `lock#${lockKey}`;
}

/** Partition key of a capture's record. */
export function captureItemKey(captureId: string): string {
  return `capture#${keyPart(captureId)}`;
}

/** A dump of a JVM that dies must not wait for a file that lies there: leftovers have slots of their own. */
export type SlotUse = 'dump' | 'leftover';

/** Partition keys of a node's slots, `count` of them. */
export function nodeSlotKeys(
  clusterName: string,
  nodeName: string,
  count: number,
  use: SlotUse = 'dump',
): string[] {
  return slotKeys(`${slotPrefix[use]}#node#${keyPart(clusterName)}/${keyPart(nodeName)}`, count);
}

/** Partition keys of a cluster's slots, `count` of them. */
export function clusterSlotKeys(
  clusterName: string,
  count: number,
  use: SlotUse = 'dump',
): string[] {
  return slotKeys(`${slotPrefix[use]}#cluster#${keyPart(clusterName)}`, count);
}

const slotPrefix: Readonly<Record<SlotUse, string>> = { dump: 'slot', leftover: 'slot#leftover' };

function slotKeys(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}/${index}`);
}

/**
 * The same keys, beginning at one that the captureId chooses: claimers that come at once try different
 * slots first.
 */
export function spreadBy(captureId: string, keys: readonly string[]): string[] {
  if (keys.length < 2) return [...keys];
  const start = mixed(captureId) % keys.length;
  return [...keys.slice(start), ...keys.slice(0, start)];
}

/** A whole number of 32 bits, by FNV-1a: to spread, and for nothing that must not be guessed. */
function mixed(text: string): number {
  let state = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    state = Math.imul(state ^ text.charCodeAt(index), 0x01000193);
  }
  return state >>> 0;
}
