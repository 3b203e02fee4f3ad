import { join } from 'node:path';
import type { ProcessFacts } from './process-facts.ts';
import { readCgroupOf } from './work-beside.ts';

export interface ContainerMemory {
  /** Without page cache that the kernel would drop first: what the kubelet calls the working set. */
  readonly usedBytes: number;
  /** Absent where the container has no limit of its own. */
  readonly limitBytes?: number;
}

/**
 * Use and limit of the memory of a JVM's container, as its own mount of the cgroup file system shows them, so that a
 * node agent needs no mount of the node's. `undefined` where it shows none that can be read.
 */
export async function readContainerMemory(
  procRoot: string,
  jvm: ProcessFacts,
): Promise<ContainerMemory | undefined> {
  const pid = String(jvm.pid);
  const [own] = (await readCgroupOf(procRoot, pid, join(procRoot, pid, 'root')))?.memory ?? [];
  if (own?.usedBytes === undefined) return undefined;
  const { usedBytes, limitBytes } = own;
  return { usedBytes, ...(typeof limitBytes === 'number' && { limitBytes }) };
}
