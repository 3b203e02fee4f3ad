import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildImageFolder } from '../infra/images/build.ts';
import { attach } from '../lib/agent/attach.ts';
import { findJvm } from '../lib/agent/find-jvm.ts';
import { heapDumpCommand } from '../lib/jvm/diagnostic-commands.ts';
import type { Jdk } from '../lib/local/jdks.ts';
import { ProcFolder } from '../test/agent/proc-folder.ts';
import { containerID, podUid } from '../test/agent/tickets.ts';
import { startS3Server, type S3Server } from './s3-server.ts';
import { setting, type HeapShape } from './settings.ts';

export const target = {
  clusterName: 'bench',
  namespace: 'bench',
  podName: 'bench-1',
  podUid,
  containerName: 'app',
  containerID,
};

export interface BenchJvm {
  readonly jdk: Jdk;
  readonly pid: number;
  readonly heapMebibytes: number;
  /** A /proc in which it is the only process of the target's container. */
  readonly proc: ProcFolder;
  /** Everything it printed so far. */
  readonly output: () => string;
  readonly kill: () => Promise<void>;
}

const dumpTimeoutSeconds = 600;
const startTimeoutMilliseconds = 300_000;

/**
 * What every benchmark on this machine needs: a folder on a disk (HEAPCATCH_BENCH_FOLDER, the system's folder for
 * temporary files unless told), an S3 server, the agent as it is deployed, and JVMs.
 */
export class Lab {
  readonly folder: string;
  readonly dumps: string;
  readonly s3: S3Server;
  /** The bundled agent of the image. */
  readonly agentFile: string;
  readonly #running = new Set<BenchJvm>();

  private constructor(folder: string, s3: S3Server, agentFile: string) {
    this.folder = folder;
    this.dumps = join(folder, 'dumps');
    this.s3 = s3;
    this.agentFile = agentFile;
    mkdirSync(this.dumps);
  }

  /** Opens a lab, hands it over, and removes all of it. */
  static async use<T>(work: (lab: Lab) => Promise<T>): Promise<T> {
    const folder = mkdtempSync(
      join(setting('HEAPCATCH_BENCH_FOLDER', tmpdir()), 'heapcatch-bench-'),
    );
    try {
      const image = await buildImageFolder(join(folder, 'image'));
      const s3 = await startS3Server(folder);
      const lab = new Lab(folder, s3, join(image, 'heapcatch/agent'));
      try {
        return await work(lab);
      } finally {
        for (const jvm of lab.#running) await jvm.kill();
        await s3.close();
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Starts bench/apps/BenchHeap; resolves once it holds its heap. */
  async startJvm(
    jdk: Jdk,
    shape: HeapShape,
    heapMebibytes: number,
    options: { allocating?: boolean; jvmOptions?: readonly string[] } = {},
  ): Promise<BenchJvm> {
    const classes = join(this.folder, `classes-${jdk.major}`);
    mkdirSync(classes, { recursive: true });
    const source = join(import.meta.dirname, 'apps/BenchHeap.java');
    execFileSync(join(jdk.home, 'bin/javac'), ['-d', classes, source], { timeout: 60_000 });
    const child = spawn(
      join(jdk.home, 'bin/java'),
      [
        ...[`-Xmx${Math.ceil(heapMebibytes * 1.3) + 128}m`, ...(options.jvmOptions ?? [])],
        ...['-cp', classes, 'BenchHeap', shape, String(heapMebibytes)],
        options.allocating === true ? 'allocating' : 'idle',
      ],
      { cwd: this.folder, stdio: ['pipe', 'pipe', 'inherit'] },
    );
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await readyOf(child, () => output.includes('ready'));
    const { pid } = child;
    if (pid === undefined) throw new Error('java has no process id');
    const proc = new ProcFolder();
    proc.link(pid);
    const jvm: BenchJvm = {
      ...{ jdk, pid, heapMebibytes, proc },
      output: () => output,
      kill: async () => {
        this.#running.delete(jvm);
        await endOf(child);
        proc.remove();
      },
    };
    this.#running.add(jvm);
    return jvm;
  }

  /** Sizes and occupied bytes of what lies in the dump folder now. */
  dumpFiles(): { path: string; bytes: number; restingBytes: number }[] {
    return readdirSync(this.dumps).flatMap((name) => {
      const path = join(this.dumps, name);
      const stat = statSync(path, { throwIfNoEntry: false });
      return stat === undefined
        ? []
        : [{ path, bytes: stat.size, restingBytes: stat.blocks * 512 }];
    });
  }

  /** The JVM's dump, and nothing else; the caller removes the file. @returns its path and seconds until the JVM's reply. */
  async bareDump(jvm: BenchJvm): Promise<{ path: string; seconds: number }> {
    const path = join(this.dumps, 'bare.hprof');
    const found = await findJvm(jvm.proc.path, { rung: 'nodeAgent', ...target });
    const { signal } = new AbortController();
    const attached = await attach({
      procRoot: jvm.proc.path,
      jvm: found,
      timeoutSeconds: 20,
      signal,
    });
    try {
      const started = performance.now();
      await attached.run(heapDumpCommand(path, { jdkMajor: jvm.jdk.major }), {
        ...{ timeoutSeconds: dumpTimeoutSeconds, signal, maxBytes: 4_096 },
      });
      return { path, seconds: (performance.now() - started) / 1_000 };
    } finally {
      await attached.close();
    }
  }

  /** The jcmd program, as people type it; the caller removes the file. */
  jcmdDump(jvm: BenchJvm): string {
    const path = join(this.dumps, 'jcmd.hprof');
    execFileSync(join(jvm.jdk.home, 'bin/jcmd'), [String(jvm.pid), 'GC.heap_dump', '-all', path], {
      timeout: dumpTimeoutSeconds * 1_000,
      stdio: 'ignore',
    });
    return path;
  }
}

function readyOf(child: ChildProcess, ready: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`java did not fill its heap within ${startTimeoutMilliseconds / 1_000} s`));
    }, startTimeoutMilliseconds);
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`java exited with ${code}`));
    });
    child.stdout?.on('data', () => {
      if (!ready()) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

export async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}
