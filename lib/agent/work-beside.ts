import { readdir } from 'node:fs/promises';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import type { Manifest } from '../capture/manifest.ts';
import type { Rung } from '../policy/policy.ts';
import { CaptureError } from '../errors.ts';
import type { Logger } from '../log.ts';
import {
  memoryHeadroom,
  readCgroupFacts,
  tightestCpuLimit,
  type CgroupFacts,
} from './cgroup-limits.ts';
import { inside, openDirectoryInside, openRegularFile } from './container-path.ts';
import type { JvmReach } from './jvm-reach.ts';
import { readBounded, type ProcessFacts } from './process-facts.ts';
import { planWork, type DumpOrder } from './work-plan.ts';

const maxFileBytes = 64 * 1024;

/**
 * Looks at what the kernel allows the JVM and this process, and picks how to work beside it.
 * @throws CaptureError NotEnoughMemory: the agent would come too near to a memory limit that it shares with the JVM, or to
 *   its own; says the numbers.
 */
export async function planWorkBeside(
  reach: Pick<JvmReach, 'cgroupFacts'>,
  jvm: ProcessFacts,
  { log, ...ordered }: { rung: Rung; order: DumpOrder; mayWait: boolean; log: Logger },
): Promise<NonNullable<Manifest['work']>> {
  const own = await readCgroupOf('/proc', 'self', '/');
  const above = await reach.cgroupFacts(jvm, ordered.rung);
  log.info('limits read', { own: own && limitsOf(own), jvm: above && limitsOf(above) });
  const plan = planWork({ ...ordered, ...(own && { own }), ...(above && { jvm: above }) });
  if ('pace' in plan) return plan;
  const { neededBytes, headroomBytes } = plan;
  throw new CaptureError(
    'NotEnoughMemory',
    `a heap dump was not begun: the agent needs ${neededBytes} bytes of memory at least, and ${headroomBytes} are left below the limit of its pod`,
    { details: { neededBytes, headroomBytes } },
  );
}

/** As the log tells them. `complete`: up to the root of the hierarchy, and not the container alone. */
function limitsOf({ version, cpu, memory, cpuCount, complete }: CgroupFacts): object {
  const headroomBytes = memoryHeadroom(memory);
  return { version, complete, cpuLimit: tightestCpuLimit(cpu), cpuCount, headroomBytes };
}

/** The cgroup of a process as the first of these roots shows it that shows any. */
export async function readCgroupOf(
  procRoot: string,
  pid: string,
  ...views: readonly string[]
): Promise<CgroupFacts | undefined> {
  const text = (await readBounded(join(procRoot, pid, 'cgroup'), maxFileBytes))?.toString();
  for (const view of text === undefined ? [] : views) {
    const facts = await readCgroupFacts(text ?? '', (path) => readTextInside(view, path));
    if (facts) return facts;
  }
  return undefined;
}

/** What counts to this process's own cgroup; `undefined` where that is not to be seen. */
export async function ownUsedBytes(): Promise<number | undefined> {
  return (await readCgroupOf('/proc', 'self', '/'))?.memory[0]?.usedBytes;
}

/** At most 64 KiB. The owner of the container chooses the names below its root: no link of theirs is followed. */
export async function readTextInside(rootPath: string, path: string): Promise<string | undefined> {
  const slash = path.lastIndexOf('/');
  try {
    const directory = await openDirectoryInside(rootPath, path.slice(0, slash));
    try {
      const { file } = await openRegularFile(inside(directory, path.slice(slash + 1)));
      try {
        const { buffer, bytesRead } = await file.read(Buffer.alloc(maxFileBytes), 0);
        return buffer.toString('latin1', 0, bytesRead);
      } finally {
        await file.close();
      }
    } finally {
      await directory.close();
    }
  } catch {
    return undefined;
  }
}

/**
 * Gives this process the lowest share of its cgroup's CPU time. Each thread has a niceness of its own on Linux, so all
 * that run are set; later ones inherit it. It cannot be undone without CAP_SYS_NICE: only for a process that serves one
 * capture. A thread that has ended meanwhile is passed over.
 */
export async function niceThisProcess(): Promise<void> {
  for (const thread of await readdir('/proc/self/task')) {
    try {
      setPriority(Number(thread), constants.priority.PRIORITY_LOW);
    } catch {
      // It has ended, or may not be changed: the dump matters more.
    }
  }
}
