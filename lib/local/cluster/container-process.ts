import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { apiTime } from './api-objects.ts';
import type { Guardian } from './guardian.ts';
import { listProcesses, membersOf } from './process-tree.ts';

export interface ContainerCommand {
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  workingDir: string;
  uid: number;
  gid: number;
  logFile: string;
}

export interface ContainerExit {
  exitCode: number;
  signal?: number;
  startedAt: string;
  finishedAt: string;
}

/**
 * The processes of one container: its first one, and whatever exec brings in, each in a session of its own.
 * When the first one ends, all the others are killed, as the kernel does at the end of a PID namespace.
 */
export class ContainerProcess {
  readonly containerId = randomBytes(32).toString('hex');
  readonly startedAt = apiTime();
  readonly exited: Promise<ContainerExit>;
  readonly leaders = new Set<number>();
  readonly pid: number;
  readonly #command: ContainerCommand;
  readonly #guardian: Guardian;

  /** @throws Error when the program cannot be started. */
  static async start(command: ContainerCommand, guardian: Guardian): Promise<ContainerProcess> {
    const log = openSync(command.logFile, 'a');
    try {
      const child = launch(command, command.argv, ['ignore', log, log]);
      return new ContainerProcess(child, await pidOf(child), command, guardian);
    } finally {
      closeSync(log);
    }
  }

  private constructor(
    child: ChildProcess,
    pid: number,
    command: ContainerCommand,
    guardian: Guardian,
  ) {
    this.pid = pid;
    this.#command = command;
    this.#guardian = guardian;
    this.#adopt(pid);
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signalName) => {
        const signal = signalName === null ? undefined : constants.signals[signalName];
        this.kill();
        this.#disown(pid);
        resolve({
          exitCode: code ?? 128 + (signal ?? 0),
          ...(signal !== undefined && { signal }),
          startedAt: this.startedAt,
          finishedAt: apiTime(),
        });
      });
    });
  }

  get env(): Readonly<Record<string, string>> {
    return this.#command.env;
  }

  /** Sends a signal to the container's first process. */
  signal(name: NodeJS.Signals): void {
    send(this.pid, name);
  }

  /** Ends every process of the container at once. */
  kill(): void {
    const members = membersOf(this.leaders, listProcesses());
    for (const leader of this.leaders) send(-leader, 'SIGKILL');
    for (const pid of members) send(pid, 'SIGKILL');
  }

  /**
   * Starts another process in the container, with pipes.
   * @throws Error when the program cannot be started.
   */
  async exec(argv: readonly string[]): Promise<ChildProcess> {
    const child = launch(this.#command, argv, ['pipe', 'pipe', 'pipe']);
    const pid = await pidOf(child);
    this.#adopt(pid);
    child.once('exit', () => this.#disown(pid));
    return child;
  }

  #adopt(pid: number): void {
    this.leaders.add(pid);
    this.#guardian.watch(pid);
  }

  #disown(pid: number): void {
    this.leaders.delete(pid);
    this.#guardian.forget(pid);
  }
}

function launch(
  command: ContainerCommand,
  argv: readonly string[],
  stdio: ('ignore' | 'pipe' | number)[],
): ChildProcess {
  const [program = '', ...args] = argv;
  const isRoot = process.getuid?.() === 0;
  return spawn(program, args, {
    env: command.env,
    cwd: command.workingDir,
    // A session and process group of its own: what it starts can be found and killed with it.
    detached: true,
    stdio,
    ...(isRoot && { uid: command.uid, gid: command.gid }),
  });
}

function pidOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => {
      // Later errors are failed signals to a process that has ended.
      child.on('error', () => undefined);
      resolve(child.pid ?? 0);
    });
  });
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended already.
  }
}
