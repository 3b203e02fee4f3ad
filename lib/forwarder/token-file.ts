import { createHash, timingSafeEqual } from 'node:crypto';
import { open } from 'node:fs/promises';
import { messageOf } from '../errors.ts';

export const minTokenLength = 16;
const maxFileBytes = 8 * 1024;

export type TokenCheck = 'right' | 'wrong' | { unavailable: string };

/**
 * Bearer tokens in a file, one a line, as a mounted Secret holds them: two while one replaces the other. The file is read
 * at each check, so a change needs no restart; it is small, and in memory where it is a Secret.
 */
export class TokenFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** Takes the same time whatever the token has in common with a right one. `unavailable` never holds a token. */
  async check(token: string): Promise<TokenCheck> {
    let accepted: readonly string[];
    try {
      accepted = (await readBounded(this.#path)).split('\n').map((line) => line.trim());
    } catch (error) {
      return { unavailable: messageOf(error, 200) };
    }
    const long = accepted.filter((line) => line.length >= minTokenLength);
    if (long.length === 0) {
      return {
        unavailable: `${this.#path} holds no token of at least ${minTokenLength} characters`,
      };
    }
    // Digests have one length, as timingSafeEqual demands; every one is compared.
    const digest = digestOf(token);
    const matches = long.filter((line) => timingSafeEqual(digestOf(line), digest));
    return matches.length > 0 ? 'right' : 'wrong';
  }
}

async function readBounded(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(maxFileBytes + 1));
    if (bytesRead > maxFileBytes) throw new Error(`${path} is larger than ${maxFileBytes} bytes`);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
