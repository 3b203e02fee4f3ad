/** One stop of the JVM for a heap dump, by its own log (`-Xlog:safepoint:stdout:utctime`). */
export interface Pause {
  startMillis: number;
  endMillis: number;
}

/**
 * The heap dump pauses in a JVM's log. The line is written when the pause ends and gives its length in nanoseconds:
 * `[2026-01-02T03:04:05.678+0000] Safepoint "HeapDumper", Time since last: … Total: 250000000 ns`.
 */
export function heapDumpPauses(log: string): Pause[] {
  const pauses: Pause[] = [];
  for (const line of log.split('\n')) {
    const match = /^\[([^\]]+)\].*Safepoint "HeapDumper".*Total:\s+(\d+) ns/.exec(line);
    if (match === null) continue;
    const endMillis = Date.parse(match[1]!.replace('+0000', 'Z'));
    pauses.push({ startMillis: endMillis - Number(match[2]) / 1e6, endMillis });
  }
  return pauses;
}

/** Pairs of pauses that share an instant. */
export function overlaps(pauses: readonly Pause[]): [Pause, Pause][] {
  const sorted = pauses.toSorted((a, b) => a.startMillis - b.startMillis);
  const found: [Pause, Pause][] = [];
  for (const [index, pause] of sorted.entries()) {
    const next = sorted[index + 1];
    if (next !== undefined && next.startMillis < pause.endMillis) found.push([pause, next]);
  }
  return found;
}
