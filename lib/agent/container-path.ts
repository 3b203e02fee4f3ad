import { constants, type Stats } from 'node:fs';
import { open, readlink, type FileHandle } from 'node:fs/promises';
import { CaptureError } from '../errors.ts';

/** Opens a name without the right to read it; not among Node's constants. Source: open(2), fcntl.h of Linux. */
const oPath = 0o10000000;
const directoryOnly = oPath | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const maxSteps = 256;

/**
 * Opens a directory as a container sees it. The container's owner controls every name below its root, so a
 * plain path could lead out of it (an absolute link is resolved against *our* root). This walks name by name,
 * never follows a link in the kernel, and reads links itself: `/` and `..` stay inside. What is opened is
 * what was checked.
 * @param rootPath `<procRoot>/<pid>/root`; itself trusted, and followed.
 * @param path absolute, in the container's view.
 * @returns a handle for use as `/proc/self/fd/<fd>/<name>` (see inside()); the caller closes it.
 * @throws Error as the file system says it: ENOENT, ENOTDIR, EACCES; ELOOP after 256 steps.
 */
export async function openDirectoryInside(rootPath: string, path: string): Promise<FileHandle> {
  const opened: FileHandle[] = [await open(rootPath, oPath | constants.O_DIRECTORY)];
  const pending = names(path).reverse();
  try {
    for (let step = 0; pending.length > 0; step += 1) {
      if (step >= maxSteps) throw tooManyLinks(path);
      const name = pending.pop() ?? '.';
      const here = opened.at(-1);
      if (here === undefined) break;
      if (name === '..') {
        if (opened.length > 1) await opened.pop()?.close();
        continue;
      }
      const target = await linkTarget(here, name);
      if (target === undefined) {
        opened.push(await open(inside(here, name), directoryOnly));
        continue;
      }
      pending.push(...names(target).reverse());
      if (target.startsWith('/')) await closeAll(opened.splice(1));
    }
    const result = opened.pop();
    if (result === undefined) throw tooManyLinks(path);
    return result;
  } finally {
    await closeAll(opened);
  }
}

/** Opens a directory in an open one; never a link. @throws the system's error: ENOTDIR, ELOOP, EACCES. */
export function openSubdirectory(directory: FileHandle, name: string): Promise<FileHandle> {
  return open(inside(directory, name), directoryOnly);
}

/** A path to a name in an open directory that stays right whatever happens to the directory's own path. */
export function inside(directory: FileHandle, name: string): string {
  return `/proc/self/fd/${directory.fd}/${name}`;
}

/** Opens a regular file for reading, never a link, a device or a pipe that would block. */
export async function openRegularFile(path: string): Promise<{ file: FileHandle; stats: Stats }> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags);
  const stats = await file.stat();
  if (stats.isFile()) return { file, stats };
  await file.close();
  throw new CaptureError('DumpFailed', 'the dump file is not a regular file');
}

/** Code of a system error, such as ENOENT. */
export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : undefined;
}

function names(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

async function linkTarget(directory: FileHandle, name: string): Promise<string | undefined> {
  try {
    return await readlink(inside(directory, name));
  } catch (error) {
    if (systemCode(error) === 'EINVAL') return undefined;
    throw error;
  }
}

async function closeAll(handles: readonly FileHandle[]): Promise<void> {
  await Promise.all(handles.map((handle) => handle.close()));
}

function tooManyLinks(path: string): Error {
  return Object.assign(new Error(`ELOOP: too many links in ${path}`), { code: 'ELOOP' });
}
