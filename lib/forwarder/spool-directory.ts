import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const maxCorruptFileCount = 100;

/**
 * The files of the spool. A file is written beside and renamed, so that it is whole or not there. Nothing is
 * synced: it survives the process, not the node (docs/decisions/forwarder.md). Faults of the disk are thrown as
 * Node throws them; the spool handles them.
 */
export class SpoolDirectory {
  readonly #directory: string;
  readonly #corruptDirectory: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.#corruptDirectory = join(directory, 'corrupt');
  }

  /** Creates what is missing, removes half-written files, and answers the rest, sorted by name. */
  async open(): Promise<readonly { name: string; bytes: number }[]> {
    await mkdir(this.#corruptDirectory, { recursive: true, mode: 0o700 });
    const files: { name: string; bytes: number }[] = [];
    for (const name of (await readdir(this.#directory)).sort()) {
      const path = join(this.#directory, name);
      if (name.endsWith('.tmp')) {
        await rm(path, { force: true });
        continue;
      }
      const stats = await stat(path);
      if (stats.isFile()) files.push({ name, bytes: stats.size });
    }
    return files;
  }

  async write(name: string, text: string): Promise<void> {
    const path = join(this.#directory, name);
    try {
      await writeFile(`${path}.tmp`, text, { mode: 0o600, flag: 'wx' });
      await rename(`${path}.tmp`, path);
    } catch (error) {
      await rm(`${path}.tmp`, { force: true }).catch(() => undefined);
      throw error;
    }
  }

  async read(name: string): Promise<string> {
    return readFile(join(this.#directory, name), 'utf8');
  }

  async remove(name: string): Promise<void> {
    await rm(join(this.#directory, name), { force: true });
  }

  /** Moves a file out of the way, for a person to look at; beyond 100 of them it is removed. */
  async setAside(name: string): Promise<void> {
    const aside = await readdir(this.#corruptDirectory);
    if (aside.length >= maxCorruptFileCount) await this.remove(name);
    else await rename(join(this.#directory, name), join(this.#corruptDirectory, name));
  }
}
