import { join } from 'node:path';
import { readBounded, stillRuns, type ProcessFacts } from './process-facts.ts';

/**
 * Asks a JVM by SIGQUIT to print its threads to its own log, for want of a way to read them. Never sends it to a process
 * that does not handle it, for which it would be the end. A JVM that is stopped, or on its way to a safepoint,
 * prints when it goes on.
 * @returns what was done, as the end of a sentence.
 */
export async function askForThreadsInLog(
  procRoot: string,
  jvm: ProcessFacts,
  sendQuit: (pid: number) => void = (pid) => process.kill(pid, 'SIGQUIT'),
): Promise<string> {
  const stopped = (await isStopped(procRoot, jvm)) ? 'it is stopped (state T); ' : '';
  if (!(await stillRuns(procRoot, jvm))) return 'it has ended';
  if (!jvm.catchesQuit) {
    return `${stopped}its threads are not in its log either, since it does not handle SIGQUIT`;
  }
  try {
    sendQuit(jvm.pid);
    return `${stopped}SIGQUIT was sent, by which it prints its threads to its own log`;
  } catch {
    return `${stopped}its threads are not in its log either, since SIGQUIT could not be sent`;
  }
}

/** By a signal, or by a debugger. */
async function isStopped(procRoot: string, jvm: ProcessFacts): Promise<boolean> {
  const status = await readBounded(join(procRoot, String(jvm.pid), 'status'), 64 * 1024);
  return /^State:\s*[Tt]/m.test(status?.toString('latin1') ?? '');
}
