import { createHash } from 'node:crypto';
import type { SignalReason } from './signal.ts';

/** Seconds within which all trouble of one container's life is one capture. */
export const triggerWindowSeconds = 600;
/** Seconds within which two requests by hand are one capture. */
export const manualWindowSeconds = 60;

/**
 * The name of one capture, derived from what happened: the same trouble has the same id, however often and
 * through whichever way it is reported. Probe failures, the killing and the deletion of one container's life
 * are one trouble within a window of 600 s; a request by hand is another one, with a window of 60 s. A life ends
 * once: what its end leads to is one capture whenever it is told.
 *
 * Windows are slices of the clock (observedTime divided by the length), so that an id needs no memory. The price: two
 * signals of one trouble on both sides of a boundary have two ids. The workload's lock and the cooldown, whose
 * default is a window's length, refuse the second one; with a cooldown of 0 it can dump again.
 * @param trouble observedTime is RFC 3339.
 * @returns 32 characters of a-z and 2-7: 160 bits of a SHA-256.
 */
export function captureIdOf(trouble: {
  clusterName: string;
  podUid: string;
  containerName: string;
  containerID: string;
  reason: SignalReason;
  observedTime: string;
}): string {
  const kind = kindOf(trouble.reason);
  const windowSeconds = kind === 'manual' ? manualWindowSeconds : triggerWindowSeconds;
  const window =
    kind === 'end' ? 0 : Math.floor(Date.parse(trouble.observedTime) / 1000 / windowSeconds);
  // JSON, so that no two lists of names run into the same text.
  const what = JSON.stringify([
    trouble.clusterName,
    trouble.podUid,
    trouble.containerName,
    trouble.containerID,
    kind,
    window,
  ]);
  return base32(createHash('sha256').update(what).digest().subarray(0, 20));
}

function kindOf(reason: SignalReason): 'manual' | 'end' | 'trouble' {
  if (reason === 'Manual') return 'manual';
  return reason === 'ContainerTerminated' || reason === 'PodEvicted' ? 'end' : 'trouble';
}

/** RFC 4648 base32 in lower case; 5 bytes make 8 characters, without padding. */
function base32(bytes: Uint8Array): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  let bits = 0n;
  for (const byte of bytes) bits = bits * 256n + BigInt(byte);
  let text = '';
  for (let left = Math.ceil((bytes.length * 8) / 5); left > 0; left -= 1) {
    text = alphabet.charAt(Number(bits % 32n)) + text;
    bits /= 32n;
  }
  return text;
}
