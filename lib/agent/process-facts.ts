/**
 * What the kernel says about a process, read from `<procRoot>/<pid>/…` only, so that a test or a local
 * cluster can present processes of its own. Source: proc(5).
 */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

export interface ProcessFacts {
  readonly pid: number;
  /** The process id in its own, innermost PID namespace: what the JVM calls itself. */
  readonly namespacePid: number;
  readonly parentPid: number;
  /** Effective ids, as seen from here. */
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** Whether the process handles SIGQUIT. Where it does not (`-Xrs`, early start), SIGQUIT would kill it. */
  readonly catchesQuit: boolean;
  /** Start time in clock ticks since boot; tells a process from a later one of the same pid. */
  readonly startTicks?: string;
}

const sigQuitBit = 1n << 2n;

/** Reads at most maxBytes of a file whose size is not known beforehand. @throws the system's error. */
export async function readFileBounded(path: string, maxBytes: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const chunks: Buffer[] = [];
    let total = 0;
    while (total < maxBytes) {
      const chunk = Buffer.allocUnsafe(Math.min(64 * 1024, maxBytes - total));
      const { bytesRead } = await file.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) break;
      chunks.push(chunk.subarray(0, bytesRead));
      total += bytesRead;
    }
    return Buffer.concat(chunks, total);
  } finally {
    await file.close();
  }
}

/** The same; `undefined` when it cannot be read. */
export function readBounded(path: string, maxBytes: number): Promise<Buffer | undefined> {
  return readFileBounded(path, maxBytes).catch(() => undefined);
}

/** Every pid that the folder shows, ascending; at most 100,000. */
export async function listPids(procRoot: string): Promise<readonly number[]> {
  const names = await readdir(procRoot);
  return names
    .filter((name) => /^[1-9]\d{0,9}$/.test(name))
    .slice(0, 100_000)
    .map(Number)
    .sort((a, b) => a - b);
}

/** `undefined` when there is no such process, or when it has ended and only waits for its parent. */
export async function readProcess(
  procRoot: string,
  pid: number,
): Promise<ProcessFacts | undefined> {
  const folder = join(procRoot, String(pid));
  const status = (await readBounded(join(folder, 'status'), 64 * 1024))?.toString('latin1');
  if (status === undefined) return undefined;
  const field = (name: string): string[] =>
    new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1]?.trim().split(/\s+/) ?? [];
  const [state = ''] = field('State');
  const [, uid] = field('Uid');
  const [, gid] = field('Gid');
  if (/^[ZXx]/.test(state) || uid === undefined || gid === undefined) return undefined;
  const [caught = '0'] = field('SigCgt');
  const startTicks = await readStartTicks(folder);
  return {
    pid,
    namespacePid: Number(field('NSpid').at(-1) ?? pid),
    parentPid: Number(field('PPid')[0] ?? 0),
    uid: Number(uid),
    gid: Number(gid),
    groups: field('Groups').filter(Boolean).map(Number),
    catchesQuit: /^[0-9a-f]{1,32}$/.test(caught) && (BigInt(`0x${caught}`) & sigQuitBit) !== 0n,
    ...(startTicks !== undefined && { startTicks }),
  };
}

/** Whether it still is the very process that was found: not gone, not ended, its pid not reused. */
export async function stillRuns(procRoot: string, found: ProcessFacts): Promise<boolean> {
  const now = await readProcess(procRoot, found.pid);
  return now !== undefined && now.startTicks === found.startTicks;
}

/** Field 22 of stat. The command in field 2 may hold blanks and parentheses: count from the last `)`. */
async function readStartTicks(folder: string): Promise<string | undefined> {
  const stat = (await readBounded(join(folder, 'stat'), 4_096))?.toString('latin1');
  return stat
    ?.slice(stat.lastIndexOf(')') + 1)
    .trim()
    .split(' ')[19];
}
