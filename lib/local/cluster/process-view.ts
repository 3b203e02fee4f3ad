import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { listProcesses, membersOf } from './process-tree.ts';

/** What an agent reads of a process; everything but the cgroup is the machine's own. */
const links = [
  'cmdline',
  'comm',
  'cwd',
  'environ',
  'exe',
  'fd',
  'limits',
  'maps',
  'mountinfo',
  'mounts',
  'ns',
  'root',
  'stat',
  'status',
  'task',
];
const refreshMilliseconds = 200;

interface ViewedContainer {
  podUid: string;
  /** Without its `containerd://`. */
  containerId: string;
  /** Session leaders: the container's first process and those that exec brought in. */
  leaders: ReadonlySet<number>;
  /** Container whose process namespace an ephemeral container shares. */
  targetId?: string;
}

/**
 * Stands in for PID namespaces: a folder a container, laid out like its /proc, with the processes of the container
 * and of the ephemeral containers that target it; and one of the node with all of them, as hostPID shows it.
 * Process ids are the machine's own, so what the entries link to is real.
 */
export class ProcessView {
  readonly #folder: string;
  readonly #containers = new Map<string, ViewedContainer>();
  readonly #shown = new Map<string, Map<number, string>>();
  readonly #timer: NodeJS.Timeout;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(this.nodeFolder, { recursive: true });
    this.#timer = setInterval(() => this.refresh(), refreshMilliseconds);
    this.#timer.unref();
  }

  get nodeFolder(): string {
    return path.join(this.#folder, 'node');
  }

  folderOf(containerId: string): string {
    return path.join(this.#folder, containerId);
  }

  add(container: ViewedContainer): void {
    this.#containers.set(container.containerId, container);
    mkdirSync(this.folderOf(container.containerId), { recursive: true });
  }

  remove(containerId: string): void {
    this.#containers.delete(containerId);
    this.refresh();
    rmSync(this.folderOf(containerId), { recursive: true, force: true });
    this.#shown.delete(containerId);
  }

  /** Shows what runs now. Called at every start and end that is known, and by time for children. */
  refresh(): void {
    if (this.#containers.size === 0 && this.#shown.size === 0) return;
    const processes = listProcesses();
    const node = new Map<number, string>();
    const views = new Map<string, Map<number, string>>();
    for (const container of this.#containers.values()) {
      const members = membersOf(container.leaders, processes);
      const cgroup = cgroupOf(container);
      for (const id of [container.containerId, container.targetId]) {
        if (id === undefined) continue;
        const view = views.get(id) ?? new Map<number, string>();
        for (const pid of members) view.set(pid, cgroup);
        views.set(id, view);
      }
      for (const pid of members) node.set(pid, cgroup);
    }
    for (const id of this.#containers.keys()) {
      this.#show(id, this.folderOf(id), views.get(id) ?? new Map<number, string>());
    }
    this.#show('node', this.nodeFolder, node);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #show(id: string, folder: string, wanted: ReadonlyMap<number, string>): void {
    const shown = this.#shown.get(id) ?? new Map<number, string>();
    this.#shown.set(id, shown);
    for (const pid of [...shown.keys()]) {
      if (shown.get(pid) === wanted.get(pid)) continue;
      rmSync(path.join(folder, String(pid)), { recursive: true, force: true });
      shown.delete(pid);
    }
    for (const [pid, cgroup] of wanted) {
      if (shown.has(pid)) continue;
      const entry = path.join(folder, String(pid));
      // Made aside and moved in by its name, so that a reader never sees half an entry.
      const partial = path.join(folder, `.${pid}`);
      rmSync(partial, { recursive: true, force: true });
      mkdirSync(partial);
      for (const link of links) symlinkSync(`/proc/${pid}/${link}`, path.join(partial, link));
      writeFileSync(path.join(partial, 'cgroup'), cgroup);
      renameSync(partial, entry);
      shown.set(pid, cgroup);
    }
  }
}

function cgroupOf({ podUid, containerId }: ViewedContainer): string {
  const pod = podUid.replaceAll('-', '_');
  return (
    '0::/kubepods.slice/kubepods-burstable.slice/' +
    `kubepods-burstable-pod${pod}.slice/cri-containerd-${containerId}.scope\n`
  );
}
