/**
 * How the attacher, which lives and dies in the JVM's PID namespace, and the uploader, which outlives it, meet at a unix
 * socket in a volume that both mount: one JSON line each time.
 *
 *   attacher  { challenge }
 *   uploader  { proof, challenge, usedBytes? }    its own memory, which counts to the pod as the attacher's does
 *   attacher  { proof }
 *   attacher  { layout, reason }
 *   uploader  { ticketUrl }                       only where the layout is single; it ends then
 *
 * The application can write in that volume too. The socket's name is not known before it is there, its mode lets
 * only the same uid connect, and each side first proves that it holds the key, which never crosses the socket: an
 * HMAC of the other side's challenge. Whoever relays between them learns what the JVM's own user can ask the JVM
 * for anyway.
 *
 * Both sides do this before they load anything else: no schemas here, which would take as much memory as all of this.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { agentLayouts, type AgentLayout } from '../claim/capture-record.ts';
import { CaptureError } from '../errors.ts';

/** What the attacher found there to be room for, and the numbers. */
export interface LayoutChoice {
  readonly layout: AgentLayout;
  readonly reason: string;
}

const hex32 = /^[0-9a-f]{64}$/;

/** A challenge or a proof. @throws CaptureError AttachFailed: it is not there or is none. */
export function hexFieldOf(line: unknown, name: 'challenge' | 'proof'): string {
  const value = fieldOf(line, name);
  if (typeof value === 'string' && hex32.test(value)) return value;
  throw new CaptureError('AttachFailed', `${name} is not 64 hexadecimal digits`);
}

/** `undefined` where the uploader does not know. */
export function usedBytesOf(line: unknown): number | undefined {
  const value = fieldOf(line, 'usedBytes');
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** @throws CaptureError AttachFailed: the line is no choice. */
export function layoutChoiceOf(line: unknown): LayoutChoice {
  const layout = agentLayouts.find((one) => one === fieldOf(line, 'layout'));
  const reason = fieldOf(line, 'reason');
  if (layout !== undefined && typeof reason === 'string' && reason.length <= 300) {
    return { layout, reason };
  }
  throw new CaptureError(
    'AttachFailed',
    `what came is no layout; accepted are ${agentLayouts.join(', ')}`,
  );
}

/** @throws CaptureError AttachFailed: there is none; whether it is a URL is for who fetches it to judge. */
export function ticketUrlOf(line: unknown): string {
  const value = fieldOf(line, 'ticketUrl');
  if (typeof value === 'string') return value;
  throw new CaptureError('AttachFailed', 'the uploader handed over no ticket');
}

function fieldOf(line: unknown, name: string): unknown {
  return typeof line === 'object' && line !== null && Object.hasOwn(line, name)
    ? (line as Record<string, unknown>)[name]
    : undefined;
}

export type Side = 'attacher' | 'uploader';

export function newChallenge(): string {
  return randomBytes(32).toString('hex');
}

/** What a side answers to the other's challenge; only who holds the key can. */
export function proofOf(key: string, side: Side, challenge: string): string {
  return createHmac('sha256', key).update(`${side} ${challenge}`).digest('hex');
}

export function isProof(key: string, side: Side, challenge: string, proof: string): boolean {
  return timingSafeEqual(Buffer.from(proofOf(key, side, challenge)), Buffer.from(proof));
}

/** Name of the socket: as hard to guess as the key, and says nothing about it. */
export function socketNameOf(key: string): string {
  return `.heapcatch-${createHash('sha256').update(`socket ${key}`).digest('hex').slice(0, 32)}`;
}
