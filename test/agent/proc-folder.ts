import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { containerID, podUid } from './tickets.ts';

export interface FakeProcess {
  pid: number;
  ppid?: number;
  uid?: number;
  gid?: number;
  nspid?: number;
  maps?: string;
  cgroup?: string;
  cmdline?: string[];
  environ?: string[];
  state?: string;
  sigCgt?: string;
  startTicks?: string;
}

/** The cgroup line of a process in the tickets' container. */
export function cgroupLine(uid = podUid, id = containerID): string {
  const pod = uid.replaceAll('-', '_');
  return `0::/kubepods.slice/kubepods-pod${pod}.slice/cri-containerd-${id.replace('containerd://', '')}.scope\n`;
}

export const hotspotMaps =
  '7f00-7f01 r-xp 00000000 08:01 1  /opt/java/lib/server/libjvm.so\n7f02-7f03 r-xp 0 0:0 0 \n';

/** A folder that looks like /proc: invented processes, or links to real ones. */
export class ProcFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'heapcatch-proc-'));

  add(fake: FakeProcess): string {
    const folder = join(this.path, String(fake.pid));
    const { uid = 1000, gid = 1000, ppid = 1, nspid = fake.pid } = fake;
    for (const name of ['root/tmp', 'cwd']) mkdirSync(join(folder, name), { recursive: true });
    const status = [
      `State:\t${fake.state ?? 'S (sleeping)'}`,
      `PPid:\t${ppid}`,
      `Uid:\t${uid}\t${uid}\t${uid}\t${uid}`,
      `Gid:\t${gid}\t${gid}\t${gid}\t${gid}`,
      'Groups:\t ',
      `NSpid:\t${fake.pid}\t${nspid}`,
      `SigCgt:\t${fake.sigCgt ?? '0000000101005ccd'}`,
    ];
    writeFileSync(join(folder, 'status'), status.join('\n'));
    const zeros = Array.from({ length: 17 }, () => '0').join(' ');
    const start = fake.startTicks ?? '4711';
    writeFileSync(join(folder, 'stat'), `${fake.pid} (java (x) y) S ${ppid} ${zeros} ${start} 0 0`);
    writeFileSync(join(folder, 'maps'), fake.maps ?? hotspotMaps);
    writeFileSync(join(folder, 'cgroup'), fake.cgroup ?? cgroupLine());
    writeFileSync(join(folder, 'cmdline'), (fake.cmdline ?? ['java', 'Main', '']).join('\0'));
    writeFileSync(join(folder, 'environ'), (fake.environ ?? []).join('\0'));
    return folder;
  }

  /** Shows a real process, as if it ran in the tickets' container, whose root may be another than the machine's. */
  link(pid: number, cgroup = cgroupLine(), root = `/proc/${pid}/root`): void {
    const folder = join(this.path, String(pid));
    mkdirSync(folder);
    for (const name of [
      'cmdline',
      'cwd',
      'environ',
      'fd',
      'limits',
      'maps',
      'mem',
      'stat',
      'status',
      'task',
    ]) {
      symlinkSync(`/proc/${pid}/${name}`, join(folder, name));
    }
    symlinkSync(root, join(folder, 'root'));
    writeFileSync(join(folder, 'cgroup'), cgroup);
  }

  hide(pid: number): void {
    rmSync(join(this.path, String(pid)), { recursive: true });
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
