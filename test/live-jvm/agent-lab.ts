import { spawn, type ChildProcess } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import type { Manifest } from '../../lib/capture/manifest.ts';
import { seekTableBytesOf } from '../../lib/capture/seek-table.ts';
import { ZstdFrames } from '../../lib/capture/zstd-frames.ts';
import { RecordChain, type ChainState } from '../../lib/hprof/record-chain.ts';
import type { Jdk } from '../../lib/local/jdks.ts';
import { cgroupLine, ProcFolder } from '../agent/proc-folder.ts';
import { builtFolder, classesOf } from './classes.ts';
import { nextLook } from './next-look.ts';

const root = join(import.meta.dirname, '../..');
export const marker = 'heapcatch-agent-marker';

/** A JVM, the directory of its dumps, and a /proc in which it is the only process of the container. */
export class AgentLab {
  readonly folder = mkdtempSync(join(tmpdir(), 'heapcatch-agent-'));
  readonly dumps = join(this.folder, 'dumps');
  readonly kept = join(this.folder, 'kept');
  readonly proc = new ProcFolder();
  readonly #children: ChildProcess[] = [];

  constructor() {
    for (const path of [this.dumps, this.kept]) mkdirSync(path);
  }

  /** Starts an application of test/live-jvm/apps; resolves when it says that it is ready. */
  async startJvm(
    jdk: Jdk,
    application:
      | 'RandomHeap'
      | 'HeapWitness'
      | 'OutOfMemory'
      | 'GcStorm'
      | 'OffHeap'
      | 'LateSafepoint'
      | 'SecretHeap'
      | 'SlowLeak',
    options: {
      args: string[];
      jvmArgs?: string[];
      maxFileBytes?: number;
      /** It shows the cgroup that it has on this machine, and not only the container's. */
      ownCgroup?: boolean;
      /** The container's line of its cgroup, unless it is the tickets'. */
      cgroup?: string;
    },
  ): Promise<ChildProcess & { pid: number }> {
    const command = [join(jdk.home, 'bin/java'), '-Xmx700m', ...(options.jvmArgs ?? [])];
    command.push('-cp', classesOf(jdk), application, ...options.args);
    // In blocks of 1 KiB. The JVM ignores SIGXFSZ and gets EFBIG, as it would get ENOSPC from a full disk.
    const limited =
      options.maxFileBytes === undefined ? '' : `ulimit -f ${options.maxFileBytes / 1024};`;
    const child = spawn('bash', ['-c', `${limited} exec "$@"`, 'bash', ...command], {
      cwd: this.folder,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#children.push(child);
    await new Promise<void>((resolve, reject) => {
      child.once('exit', (code) => reject(new Error(`java exited with ${code}`)));
      child.stdout.on('data', (text: Buffer) => {
        if (text.includes('ready')) resolve();
      });
    });
    if (child.pid === undefined) throw new Error('java has no process id');
    const own = options.ownCgroup ? readFileSync('/proc/self/cgroup', 'utf8') : '';
    this.proc.link(child.pid, (options.cgroup ?? cgroupLine()) + own);
    return Object.assign(child, { pid: child.pid });
  }

  /** Runs the agent as a process of its own. */
  startAgent(
    command: 'attach' | 'capture' | 'serve' | 'start',
    env: Record<string, string>,
    input = '',
  ): { child: ChildProcess; ended: Promise<{ code: number | null; stdout: string; log: string }> } {
    const child = spawn(process.execPath, [join(root, 'lib/agent/main.ts'), command], {
      env: {
        PATH: process.env['PATH'] ?? '',
        // An agent is started a hundred times: without it, most of its work is to read its own TypeScript.
        NODE_COMPILE_CACHE: join(builtFolder, 'agent'),
        HEAPCATCH_PROC_ROOT: this.proc.path,
        ...env,
      },
    });
    this.#children.push(child);
    child.stdin.end(input);
    let [stdout, log] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
    return {
      child,
      ended: new Promise((resolve) => {
        child.once('close', (code) => resolve({ code, stdout, log }));
      }),
    };
  }

  /** Resolves when a dump file whose name ends so has so many bytes. @throws when a process ended before it did. */
  async dumpHas(bytes: number, suffix = '.hprof'): Promise<void> {
    while (!this.dumpFiles().some((file) => file.name.endsWith(suffix) && file.bytes >= bytes)) {
      if (this.#children.some(({ exitCode }) => exitCode !== null)) {
        throw new Error(`a process ended before a dump had ${bytes} bytes`);
      }
      await nextLook();
    }
  }

  /** Links what lies in the dump directory now to where the agent does not remove it. */
  keepDumps(): void {
    for (const { name } of this.dumpFiles())
      linkSync(join(this.dumps, name), join(this.kept, name));
  }

  /** Resolves when a kept file has so many bytes: the JVM may still write to one that the agent has removed. */
  async keptHas(name: string, bytes: number): Promise<void> {
    while (statSync(join(this.kept, name)).size < bytes) {
      await nextLook();
    }
  }

  dumpFiles(folder = this.dumps): { name: string; path: string; bytes: number }[] {
    return readdirSync(folder).flatMap((name) => {
      const path = join(folder, name);
      try {
        return [{ name, path, bytes: statSync(path).size }];
      } catch {
        return [];
      }
    });
  }

  async close(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.kill('SIGKILL');
      await ended;
    }
    this.proc.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The frames of a stored object, decompressed. */
export function* framesOf(stored: Buffer): Generator<Buffer> {
  for (const frame of new ZstdFrames().push(stored)) yield zstdDecompressSync(frame);
}

/** The stored object without the seek table at its end. */
export function withoutSeekTable(stored: Buffer): Buffer {
  return stored.subarray(0, stored.length - seekTableBytesOf(stored));
}

/** Walks a stored dump, and looks for a text in it. */
export function walkStored(stored: Buffer, text = marker): ChainState & { found: boolean } {
  const chain = new RecordChain();
  let found = false;
  let tail: Buffer = Buffer.alloc(0);
  for (const frame of framesOf(stored)) {
    chain.push(frame);
    found ||= Buffer.concat([tail, frame]).includes(text);
    tail = frame.subarray(-text.length);
  }
  return { ...chain.state, found };
}

/** The dump of a manifest. @throws when it has none. */
export function dumpOf(manifest: unknown): NonNullable<Manifest['dump']> {
  const { dump, faults } = manifest as Manifest;
  if (!dump) throw new Error(`the manifest has no dump: ${JSON.stringify(faults)}`);
  return dump;
}
