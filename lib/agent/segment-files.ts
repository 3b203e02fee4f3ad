import { readdir, unlink, type FileHandle } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { inside, openRegularFile, systemCode } from './container-path.ts';

interface Segment {
  readonly file: FileHandle;
  bytes: number;
}

/** How far ahead of the last known segment to look: threads do not create theirs in order. */
const lookAheadCount = 4;
const watchMilliseconds = 10;
/** One for each dump thread of the JVM, and one that all share. */
export const maxSegmentCount = 64;

/**
 * The files `d.hprof.p0` … of JDK ≥ 22, opened as soon as they appear: the JVM removes them while it merges,
 * and the kubelet removes everything when the container is gone, but what is open stays readable.
 */
export class SegmentFiles {
  readonly #directory: FileHandle;
  readonly #baseName: string;
  readonly #removeName: boolean;
  readonly #segments: (Segment | undefined)[] = [];
  #stopped = false;
  #nameRemoved = false;
  #watching: Promise<void> | undefined;

  /** @param removeName takes the name of the first segment away as soon as it is open. */
  constructor(directory: FileHandle, baseName: string, { removeName = false } = {}) {
    this.#directory = directory;
    this.#baseName = baseName;
    this.#removeName = removeName;
  }

  /** The open files of p0, p1, …, up to the first that was never seen. */
  get files(): readonly FileHandle[] {
    const gap = this.#segments.findIndex((segment) => segment === undefined);
    const known = gap === -1 ? this.#segments : this.#segments.slice(0, gap);
    return known.flatMap((segment) => (segment ? [segment.file] : []));
  }

  /** Bytes in all of them; grows as long as the JVM writes. */
  get totalBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + (segment?.bytes ?? 0), 0);
  }

  /**
   * Looks again and again until stop() or close(), whatever the reader waits for meanwhile: a segment of a dump
   * that fails lives for some milliseconds.
   */
  watch(): void {
    this.#watching = (async () => {
      while (!this.#stopped) {
        // What cannot be opened now is tried again, and at stop() it is a fault.
        await this.#look().catch(() => undefined);
        await wait(watchMilliseconds);
      }
    })();
  }

  /** The name of the first segment was taken away. */
  get nameRemoved(): boolean {
    return this.#nameRemoved;
  }

  /** Looks a last time: what is there now counts. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#watching;
    await this.#look();
  }

  /**
   * To be asked once the merge has begun: how many segments the dump has. The JVM removes each when it has merged it,
   * in ascending order, so that the last one is there as long as any is.
   * @returns `undefined` when all are gone already: there may have been one more than was seen.
   */
  async countAll(): Promise<number | undefined> {
    const prefix = `${this.#baseName}.p`;
    const names = await readdir(inside(this.#directory, '.')).catch(() => []);
    const present = names
      .filter((name) => name.startsWith(prefix) && /^[0-9]{1,2}$/.test(name.slice(prefix.length)))
      .map((name) => Number(name.slice(prefix.length)));
    if (present.length === 0) return undefined;
    const count = Math.max(...present) + 1;
    for (const index of present) {
      if (!this.#segments[index]) await this.#open(index).catch(() => undefined);
    }
    return count;
  }

  async close(): Promise<void> {
    this.#stopped = true;
    await this.#watching;
    for (const segment of this.#segments) await segment?.file.close();
    this.#segments.length = 0;
  }

  /** Opens what is new and takes the sizes. */
  async #look(): Promise<void> {
    const end = Math.min(this.#segments.length + lookAheadCount, maxSegmentCount);
    for (let index = 0; index < end; index += 1) {
      const segment = this.#segments[index] ?? (await this.#open(index));
      if (segment) segment.bytes = (await segment.file.stat()).size;
    }
  }

  async #open(index: number): Promise<Segment | undefined> {
    try {
      const { file } = await openRegularFile(
        inside(this.#directory, `${this.#baseName}.p${index}`),
      );
      const known = this.#segments[index];
      if (known) {
        // Both loops found it in the same moment.
        await file.close();
        return known;
      }
      const segment = { file, bytes: 0 };
      this.#segments[index] = segment;
      if (index === 0 && this.#removeName) await this.#removeFirstName();
      return segment;
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  async #removeFirstName(): Promise<void> {
    await unlink(inside(this.#directory, `${this.#baseName}.p0`)).then(
      () => (this.#nameRemoved = true),
      () => undefined,
    );
  }
}
