import { open, stat, type FileHandle } from 'node:fs/promises';
import { messageOf } from '../../errors.ts';
import { filesOf, seriesName } from './log-files.ts';

const readBytes = 256 * 1024;
/** Files of a directory that are followed at once; the youngest win. */
export const maxFollowedCount = 256;

/** Takes what a followed log holds, in order. */
export interface FollowSink {
  bytes(seriesName: string, chunk: Buffer, modifiedEpochMilliseconds: number): void;
  /** A file has ended: it was rotated away and read to its end. */
  endOfFile(seriesName: string): void;
  /** Something of the input cannot be read now; said again only after it could be. */
  trouble(message: string): void;
}

interface Followed {
  handle: FileHandle;
  seriesName: string;
  offset: number;
}

/**
 * Follows one log file, or the files of a directory, by their identity and not by their names: a rotated file is read to its
 * end, then the new one of its name from the start. One that shrank begins anew (`copytruncate`; what it had beyond the last
 * poll is lost). A file that is not there yet is waited for.
 */
export class LogFollower {
  readonly #input: string;
  readonly #sink: FollowSink;
  readonly #followed = new Map<string, Followed>();
  #trouble = '';

  constructor(input: string, sink: FollowSink) {
    this.#input = input;
    this.#sink = sink;
  }

  /** Reads whatever came since the last call. Never throws. */
  async poll(): Promise<void> {
    try {
      const present = await this.#present();
      for (const [key, followed] of this.#followed) {
        await this.#read(followed);
        if (present.has(key)) continue;
        this.#followed.delete(key);
        await followed.handle.close();
        this.#sink.endOfFile(followed.seriesName);
      }
      for (const [key, { file }] of present) {
        if (!this.#followed.has(key)) await this.#begin(key, file);
      }
      this.#trouble = '';
    } catch (error) {
      this.#say(`${this.#input} cannot be read now: ${messageOf(error, 300)}`);
    }
  }

  async close(): Promise<void> {
    for (const { handle } of this.#followed.values()) await handle.close();
    this.#followed.clear();
  }

  /** The files by device and inode, the oldest first. */
  async #present(): Promise<Map<string, { file: string }>> {
    const found: { key: string; file: string; modified: number }[] = [];
    for (const file of await filesOf(this.#input)) {
      if (file.endsWith('.gz')) continue;
      const status = await stat(file);
      found.push({ key: `${status.dev}:${status.ino}`, file, modified: status.mtimeMs });
    }
    const youngest = found
      .sort((one, other) => one.modified - other.modified)
      .slice(-maxFollowedCount);
    if (youngest.length < found.length) {
      this.#say(
        `${this.#input} has ${found.length} files, the youngest ${maxFollowedCount} are followed`,
      );
    }
    return new Map(youngest.map(({ key, file }) => [key, { file }]));
  }

  async #begin(key: string, file: string): Promise<void> {
    const followed = { handle: await open(file), seriesName: seriesName(file), offset: 0 };
    const { dev, ino } = await followed.handle.stat();
    if (`${dev}:${ino}` !== key) {
      // It was rotated between the look and the opening: the next poll sees both.
      await followed.handle.close();
      return;
    }
    this.#followed.set(key, followed);
    await this.#read(followed);
  }

  async #read(followed: Followed): Promise<void> {
    const { size, mtimeMs } = await followed.handle.stat();
    if (size < followed.offset) {
      followed.offset = 0;
      this.#sink.endOfFile(followed.seriesName);
    }
    while (followed.offset < size) {
      const { buffer, bytesRead } = await followed.handle.read(
        Buffer.allocUnsafe(readBytes),
        0,
        readBytes,
        followed.offset,
      );
      if (bytesRead === 0) return;
      followed.offset += bytesRead;
      this.#sink.bytes(followed.seriesName, buffer.subarray(0, bytesRead), mtimeMs);
    }
  }

  #say(message: string): void {
    if (message === this.#trouble) return;
    this.#trouble = message;
    this.#sink.trouble(message);
  }
}
