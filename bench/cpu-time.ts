import { readFileSync } from 'node:fs';

/** Ticks of /proc/<pid>/stat in a second: the kernel's USER_HZ, 100 on every architecture that runs a JVM. */
const ticksPerSecond = 100;

/** CPU seconds, user and system, that a process has taken so far. Source: proc(5), stat, fields 14 and 15. */
export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The program's name may hold anything but ends at the last bracket; behind it comes field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Runs it, and tells how many seconds of the clock and of the CPU these processes took meanwhile. */
export async function timed<T>(
  pids: readonly (number | undefined)[],
  work: () => Promise<T>,
): Promise<{ value: T; seconds: number; cpuSeconds: number }> {
  const own = pids.filter((pid) => pid !== undefined);
  const cpu = (): number => own.reduce((sum, pid) => sum + cpuSecondsOf(pid), 0);
  const before = cpu();
  const started = performance.now();
  const value = await work();
  const seconds = (performance.now() - started) / 1_000;
  return { value, seconds, cpuSeconds: cpu() - before };
}
