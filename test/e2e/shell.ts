import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

/** Runs a program to its end; its stdout. Fails with the end of its stderr. */
export async function run(
  command: string,
  args: readonly string[],
  options: {
    env?: Record<string, string>;
    cwd?: string;
    timeoutSeconds?: number;
    input?: string;
  } = {},
): Promise<string> {
  const child = execFileAsync(command, [...args], {
    env: { ...process.env, ...options.env },
    cwd: options.cwd,
    timeout: (options.timeoutSeconds ?? 60) * 1000,
    maxBuffer: 64 * 1024 * 1024,
  });
  // A program that ended without reading its input is judged by its exit code.
  child.child.stdin?.on('error', () => undefined);
  child.child.stdin?.end(options.input ?? '');
  try {
    return (await child).stdout;
  } catch (error) {
    const stderr = (error as { stderr?: string }).stderr ?? '';
    throw new Error(`${command} ${args.slice(0, 4).join(' ')} failed: ${stderr.slice(-600)}`, {
      cause: error,
    });
  }
}

/** Asks again until the answer is defined. The cluster and the bucket have no event to await from here. */
export async function eventually<T>(
  what: string,
  seconds: number,
  ask: () => Promise<T | undefined>,
): Promise<T> {
  const end = Date.now() + seconds * 1000;
  let last: unknown;
  while (Date.now() < end) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`${what}: not within ${seconds} s`, { cause: last });
}
