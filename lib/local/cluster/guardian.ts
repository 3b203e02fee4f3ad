import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Reads `+ pid` and `- pid` lines; at the end of its input it kills the process groups that are left and removes
 * the folder. It is in a session of its own, so that Ctrl-C in the terminal does not reach it.
 * No `--` before the group: dash takes it for a process.
 */
const script = `
live=" "
while read -r change pid; do
  case $change in
    +) live="$live$pid " ;;
    -) live="\${live%% $pid *} \${live#* $pid }" ;;
  esac
done
for pid in $live; do kill -9 "-$pid" 2>/dev/null; done
rm -rf -- "$1"
`;

/**
 * Outlives this process and cleans up behind it, however it ends: Node cannot ask the kernel to kill its children
 * with it (PR_SET_PDEATHSIG), but the pipe to the guardian closes by itself.
 * A process between its start and the guardian's reading of its line is missed: microseconds.
 */
export class Guardian {
  readonly #process: ChildProcess;

  constructor(folder: string) {
    this.#process = spawn('/bin/sh', ['-c', script, 'heapcatch-guardian', folder], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#process.unref();
    this.#process.stdin?.on('error', () => undefined);
    // A pipe keeps Node alive like any other handle; only the containers may do that.
    (this.#process.stdin as unknown as { unref?: () => void } | null)?.unref?.();
  }

  /** Kills this process group when we are gone. */
  watch(pid: number): void {
    this.#process.stdin?.write(`+ ${pid}\n`);
  }

  forget(pid: number): void {
    this.#process.stdin?.write(`- ${pid}\n`);
  }

  /** Lets the guardian do its work now, and waits for its end. */
  async close(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#process.once('exit', () => resolve()));
    this.#process.ref();
    this.#process.stdin?.end();
    await ended;
  }
}
