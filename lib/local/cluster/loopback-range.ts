import { randomInt } from 'node:crypto';
import type http from 'node:http';

const maxTryCount = 50;
/** .1 is the API server's; .255 looks like a broadcast. */
const firstPodAddress = 2;
const lastPodAddress = 254;

/**
 * A range 127.x.y.0/24 of this cluster's own: all of 127/8 answers on Linux without any configuration. The API
 * server's socket on its first address is the proof that no other cluster has it.
 */
export async function listenInFreeRange(server: http.Server, port: number): Promise<LoopbackRange> {
  let lastError: unknown;
  for (let tried = 0; tried < maxTryCount; tried++) {
    // 127.0.0.x stays the user's own.
    const prefix = `127.${randomInt(16, 240)}.${randomInt(1, 255)}`;
    try {
      await listen(server, `${prefix}.1`, port);
      return new LoopbackRange(prefix);
    } catch (error) {
      lastError = error;
    }
  }
  throw new Error(`no free 127.x.y.0/24 in ${maxTryCount} tries`, { cause: lastError });
}

function listen(server: http.Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

export class LoopbackRange {
  readonly serverAddress: string;
  readonly #prefix: string;
  readonly #used = new Set<number>();
  #next = firstPodAddress;

  constructor(prefix: string) {
    this.#prefix = prefix;
    this.serverAddress = `${prefix}.1`;
  }

  /** The address that has been unused for longest. `undefined` when all 253 are taken. */
  take(): string | undefined {
    for (let tried = firstPodAddress; tried <= lastPodAddress; tried++) {
      const last = this.#next;
      this.#next = last === lastPodAddress ? firstPodAddress : last + 1;
      if (this.#used.has(last)) continue;
      this.#used.add(last);
      return `${this.#prefix}.${last}`;
    }
    return undefined;
  }

  release(address: string): void {
    this.#used.delete(Number(address.split('.').at(-1)));
  }
}
