import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { Jdk } from '../../lib/local/jdks.ts';
import { classesOf } from './classes.ts';

/** A folder of its own for dumps, and the compiled test application. */
export interface Workshop {
  readonly folder: string;
  readonly classes: string;
  remove(): void;
}

export function openWorkshop(jdk: Jdk): Workshop {
  const folder = mkdtempSync(join(tmpdir(), 'heapcatch-jvm-'));
  const classes = classesOf(jdk);
  return { folder, classes, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** A running HeapWitness. `stop` may be called again; `kill` is SIGKILL. */
export interface Witness {
  readonly pid: number;
  stop(): Promise<void>;
  kill(): Promise<void>;
}

export async function startWitness(
  jdk: Jdk,
  workshop: Workshop,
  options: { markerCount: number; text?: string; largeArrayLength?: number; jvmArgs?: string[] },
): Promise<Witness> {
  const { markerCount, text = 'a witness', largeArrayLength = 0, jvmArgs = [] } = options;
  const application = ['HeapWitness', `${markerCount}`, text, `${largeArrayLength}`];
  const child = spawn(
    join(jdk.home, 'bin/java'),
    ['-cp', workshop.classes, ...jvmArgs, ...application],
    { stdio: ['pipe', 'pipe', 'inherit'], cwd: workshop.folder },
  );
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const pid = await ready(child);
  const endBy = (end: () => void) => async (): Promise<void> => {
    end();
    await ended;
  };
  return {
    pid,
    stop: endBy(() => child.stdin.end()),
    kill: endBy(() => child.kill('SIGKILL')),
  };
}

function ready(child: ChildProcessByStdio<Writable, Readable, null>): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`java exited with ${code} before it was ready`)));
    child.stdout.once('data', () => {
      if (child.pid === undefined) reject(new Error('java has no process id'));
      else resolve(child.pid);
    });
  });
}
