/**
 * Use and limit of the memory of a JVM's container, as its own mount of the cgroup file system shows them, so that a
 * node agent needs no mount of the node's. Source: memory.txt of cgroup v1, cgroup-v2.rst.
 */
import { join } from 'node:path';
import { inside, openDirectoryInside, openRegularFile } from './container-path.ts';
import { readBounded, type ProcessFacts } from './process-facts.ts';

export interface ContainerMemory {
  /** Without page cache that the kernel would drop first: what the kubelet calls the working set. */
  readonly usedBytes: number;
  /** Absent where the container has no limit of its own. */
  readonly limitBytes?: number;
}

const versions = [
  {
    mount: '/sys/fs/cgroup',
    line: /^0::(\/.*)$/m,
    usage: 'memory.current',
    limit: 'memory.max',
    cache: /^inactive_file (\d{1,19})$/m,
  },
  {
    mount: '/sys/fs/cgroup/memory',
    line: /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(\/.*)$/m,
    usage: 'memory.usage_in_bytes',
    limit: 'memory.limit_in_bytes',
    cache: /^total_inactive_file (\d{1,19})$/m,
  },
] as const;

/** Limits from here on are how the kernel prints none: cgroup v1 says 2^63 less one page. */
const noLimitBytes = 2 ** 60;

/** `undefined` where the container shows no cgroup of its own that can be read. */
export async function readContainerMemory(
  procRoot: string,
  jvm: ProcessFacts,
): Promise<ContainerMemory | undefined> {
  const folder = join(procRoot, String(jvm.pid));
  const cgroup = (await readBounded(join(folder, 'cgroup'), 64 * 1024))?.toString() ?? '';
  for (const { mount, line, usage, limit, cache } of versions) {
    const path = line.exec(cgroup)?.[1];
    // With a cgroup namespace of its own the container sees its cgroup as the root; without one, by its whole path.
    for (const directory of path === undefined ? [mount] : [`${mount}${path}`, mount]) {
      const [usageText, limitText, statText] = await readFiles(join(folder, 'root'), directory, [
        ...[usage, limit, 'memory.stat'],
      ]);
      const usedBytes = wholeNumber(usageText);
      if (usedBytes === undefined) continue;
      const cacheBytes = wholeNumber(cache.exec(statText ?? '')?.[1]) ?? 0;
      const limitBytes = wholeNumber(limitText) ?? noLimitBytes;
      return {
        usedBytes: Math.max(0, usedBytes - cacheBytes),
        ...(limitBytes < noLimitBytes && { limitBytes }),
      };
    }
  }
  return undefined;
}

async function readFiles(
  rootPath: string,
  directoryPath: string,
  names: readonly string[],
): Promise<readonly (string | undefined)[]> {
  try {
    const directory = await openDirectoryInside(rootPath, directoryPath);
    try {
      return await Promise.all(names.map((name) => readText(inside(directory, name))));
    } finally {
      await directory.close();
    }
  } catch {
    return [];
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    const { file } = await openRegularFile(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(16 * 1024), 0, 16 * 1024, 0);
      return buffer.toString('latin1', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

function wholeNumber(text: string | undefined): number | undefined {
  return /^\d{1,19}$/.test(text?.trim() ?? '') ? Number(text) : undefined;
}
