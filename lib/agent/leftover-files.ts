import type { FileHandle } from 'node:fs/promises';
import { lstat, unlink } from 'node:fs/promises';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { inside, systemCode } from './container-path.ts';
import { identityOf, type FileIdentity } from './find-leftovers.ts';
import { maxSegmentCount } from './segment-files.ts';

export interface IdentifiedFile {
  readonly name: string;
  readonly identity: FileIdentity;
}

/**
 * The segments of a JVM ≥ 22 that died before it had merged them, from p0 on. A `gap` means that others lie there whose
 * predecessors are gone: the merge was under way, and they are not read.
 */
export async function segmentsOf(
  directory: FileHandle,
  fileName: string,
): Promise<{ found: IdentifiedFile[]; gap: boolean }> {
  const found: IdentifiedFile[] = [];
  for (let index = 0; index < maxSegmentCount; index += 1) {
    const name = `${fileName}.p${index}`;
    const facts = await lstat(inside(directory, name), { bigint: true }).catch(() => undefined);
    if (facts?.isFile() !== true) continue;
    if (found.length < index) return { found, gap: true };
    found.push({ name, identity: identityOf(facts) });
  }
  return { found, gap: false };
}

/** The name of the first file that is not what was read. */
export async function changedFile(
  directory: FileHandle,
  files: readonly IdentifiedFile[],
): Promise<string | undefined> {
  for (const file of files) if (!(await isUnchanged(directory, file))) return file.name;
  return undefined;
}

async function isUnchanged(
  directory: FileHandle,
  { name, identity }: IdentifiedFile,
): Promise<boolean> {
  const facts = await lstat(inside(directory, name), { bigint: true }).catch(() => undefined);
  if (facts?.isFile() !== true) return false;
  const now = identityOf(facts);
  return (
    now.device === identity.device &&
    now.inode === identity.inode &&
    now.bytes === identity.bytes &&
    now.modifiedNanoseconds === identity.modifiedNanoseconds
  );
}

/** Removes each of them that is still what was read. Never throws. */
export async function removeFiles(
  directory: FileHandle,
  files: readonly IdentifiedFile[],
  log: Logger,
): Promise<void> {
  let removedCount = 0;
  for (const file of files) {
    try {
      if (!(await isUnchanged(directory, file))) {
        log.warn('leftover changed, it stays', { fileName: file.name });
        continue;
      }
      await unlink(inside(directory, file.name));
      removedCount += 1;
    } catch (error) {
      const reason = systemCode(error) ?? messageOf(error);
      log.warn('leftover not removed', { fileName: file.name, reason });
    }
  }
  log.info('leftover removed', { removedCount });
}
