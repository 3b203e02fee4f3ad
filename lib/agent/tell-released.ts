import { readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { Ticket } from '../capture/ticket.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { jvmReleasedPath, type JvmReleased } from '../signal/jvm-released.ts';
import { postJson } from './post-json.ts';
import type { SensorSettings } from './sensor-service.ts';

const timeoutMilliseconds = 2_000;
// A forwarder that does not lead answers 503, and each attempt may come to either.
const attemptCount = 8;
const restMilliseconds = 500;

/**
 * Tells the forwarder that a JVM has written its dump, so that a hook which holds the pod for it can let go. Never throws: a word
 * that does not arrive costs the pod the time until the capture's end.
 */
export async function tellReleased(
  { forwarderUrl, tokenFile, nodeName }: SensorSettings,
  ticket: Pick<Ticket, 'captureId' | 'target'>,
  log: Logger,
): Promise<void> {
  const { captureId, target } = ticket;
  const body: JvmReleased = { schemaVersion: 1, nodeName, podUid: target.podUid, captureId };
  let words = '';
  for (let attempt = 1; attempt <= attemptCount; attempt += 1) {
    try {
      const bearerToken = (await readFile(tokenFile, 'utf8')).trim();
      const url = new URL(jvmReleasedPath, forwarderUrl);
      const { status } = await postJson(url, { body, bearerToken, timeoutMilliseconds });
      if (status === 200) return;
      words = `it answered ${status}`;
      // Of an older forwarder, and of one that will refuse it again.
      if (status < 500) break;
    } catch (error) {
      words = messageOf(error, 200);
    }
    await pause(restMilliseconds);
  }
  log.warn('the forwarder was not told that the JVM may go', { captureId, explanation: words });
}
