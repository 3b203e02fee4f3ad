import { setTimeout as delay } from 'node:timers/promises';

/**
 * For what no event announces: another process's files, sockets and objects. To look again at once would take the
 * core that the other process needs to get there.
 * @param milliseconds more where a look is a request, and nothing depends on how soon it comes.
 */
export function nextLook(milliseconds = 1): Promise<void> {
  return delay(milliseconds);
}
