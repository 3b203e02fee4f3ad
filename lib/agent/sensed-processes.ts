import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { jvmKind } from './find-jvm.ts';
import { listPids, readBounded, readProcess, type ProcessFacts } from './process-facts.ts';

/** A JVM of a container of a pod, as the node's processes show it. */
export interface SensedProcess {
  readonly podUid: string;
  /** containerID without `containerd://`. */
  readonly runtimeID: string;
  readonly process: ProcessFacts;
}

export const maxSensedJvmCount = 250;
/** A process that is no JVM yet can become one: a launcher loads libjvm.so, a shell execs java. */
const eagerLooks = 4;
const rareLookScans = 12;

interface Seen {
  readonly place: ContainerPlace | undefined;
  lookCount: number;
  program: string;
  jvm?: SensedProcess | undefined;
}

export interface ContainerPlace {
  readonly podUid: string;
  readonly runtimeID: string;
}

/**
 * Which container of which pod a process belongs to, from `/proc/<pid>/cgroup`; `undefined` for one of no pod. The kubelet
 * names the pod's cgroup `pod<uid>`, with `_` for `-` under systemd, and the runtime the container's `<id>` or
 * `cri-containerd-<id>.scope` (`crio-`, `docker-`), in v1 and v2 alike; from a cgroup namespace the beginning is missing.
 */
export function containerPlaceOf(cgroupText: string): ContainerPlace | undefined {
  const uid = '[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32}';
  const [, podUid, runtimeID] =
    new RegExp(`pod(${uid})(?:\\.slice)?/(?:[a-z-]{1,40}-)?([0-9a-f]{64})(?![0-9a-f])`).exec(
      cgroupText.slice(0, 64 * 1024),
    ) ?? [];
  if (podUid === undefined || runtimeID === undefined) return undefined;
  return { podUid: podUid.replaceAll('_', '-'), runtimeID };
}

/**
 * Finds the JVMs of all pods of the node, scan by scan. What was looked at is remembered for as long as the process is
 * there, so that a scan costs little more than the list of processes. Of several JVMs of a container the one that began
 * first counts.
 */
export class SensedProcesses {
  readonly #procRoot: string;
  readonly #seen = new Map<number, Seen>();
  #scanCount = 0;

  constructor(procRoot: string) {
    this.#procRoot = procRoot;
  }

  /** @returns at most 250 JVMs, one a container. */
  async scan(): Promise<readonly SensedProcess[]> {
    this.#scanCount += 1;
    const pids = await listPids(this.#procRoot);
    const there = new Set(pids);
    for (const pid of this.#seen.keys()) if (!there.has(pid)) this.#seen.delete(pid);
    for (const pid of pids) if (pid !== process.pid) await this.#look(pid);
    const first = new Map<string, SensedProcess>();
    for (const { jvm } of this.#seen.values()) {
      if (jvm === undefined) continue;
      const other = first.get(jvm.runtimeID);
      if (other === undefined || began(jvm) < began(other)) first.set(jvm.runtimeID, jvm);
    }
    return [...first.values()].slice(0, maxSensedJvmCount);
  }

  /** The process has ended, or its pid is another's by now. */
  forget(pid: number): void {
    this.#seen.delete(pid);
  }

  async #look(pid: number): Promise<void> {
    const seen = this.#seen.get(pid) ?? (await this.#meet(pid));
    if (seen?.place === undefined || seen.jvm !== undefined) return;
    const program = this.#programOf(pid);
    if (program !== seen.program) Object.assign(seen, { program, lookCount: 0 });
    seen.lookCount += 1;
    if (seen.lookCount > eagerLooks && this.#scanCount % rareLookScans !== 0) return;
    if ((await jvmKind(this.#procRoot, pid)) !== 'hotspot') return;
    const process = await readProcess(this.#procRoot, pid);
    if (process?.startTicks !== undefined) seen.jvm = { ...seen.place, process };
  }

  async #meet(pid: number): Promise<Seen | undefined> {
    const text = await readBounded(join(this.#procRoot, String(pid), 'cgroup'), 64 * 1024);
    if (text === undefined) return undefined;
    const seen: Seen = {
      place: containerPlaceOf(text.toString('latin1')),
      lookCount: 0,
      program: this.#programOf(pid),
    };
    this.#seen.set(pid, seen);
    return seen;
  }

  #programOf(pid: number): string {
    try {
      return readlinkSync(join(this.#procRoot, String(pid), 'exe'));
    } catch {
      return '';
    }
  }
}

function began({ process }: SensedProcess): bigint {
  return BigInt(process.startTicks ?? 0);
}
