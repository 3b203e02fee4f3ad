import { readdirSync, readFileSync } from 'node:fs';

export interface ProcessEntry {
  pid: number;
  parentPid: number;
  sessionId: number;
}

/** Every process of the machine, from /proc. Fields of `stat`: proc_pid_stat(5). */
export function listProcesses(): ProcessEntry[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      // The program's name is in parentheses and may hold anything, also ")".
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (fields[0] === 'Z' || fields[0] === 'X') return [];
      return [{ pid: Number(name), parentPid: Number(fields[1]), sessionId: Number(fields[3]) }];
    } catch {
      return [];
    }
  });
}

/**
 * The processes that belong to these session leaders: their sessions, and the children of what belongs to them.
 * One that leaves the session and is orphaned at once is missed; a PID namespace would hold it.
 */
export function membersOf(
  leaders: ReadonlySet<number>,
  processes: readonly ProcessEntry[],
): Set<number> {
  const members = new Set(
    processes
      .filter(({ pid, sessionId }) => leaders.has(sessionId) || leaders.has(pid))
      .map(({ pid }) => pid),
  );
  for (let grew = true; grew;) {
    const before = members.size;
    for (const { pid, parentPid } of processes) if (members.has(parentPid)) members.add(pid);
    grew = members.size > before;
  }
  return members;
}
