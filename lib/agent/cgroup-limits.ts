/**
 * What the kernel allows a process, by its cgroup and those above it: CPU time, CPUs, memory. A pod's cgroup lies above
 * its containers', with the sum of their limits. Who sees how much of the tree depends on the view: the node's init sees
 * all of it; a container sees its own cgroup only, as the root of its mount.
 * Source: cgroup-v1/memory.txt, sched-bwc.txt, cgroup-v2.rst, cgroups(7).
 */

/** `none`: the kernel says that there is no limit. `undefined`: not known, or not a value that a kernel prints. */
export type Limit = number | 'none' | undefined;

export interface CpuLevel {
  /** Of this cgroup in the view; `/` is the mount's root. */
  readonly path: string;
  /** CPUs: quota ÷ period. */
  readonly cpuLimit: Limit;
}

export interface MemoryLevel {
  readonly path: string;
  readonly limitBytes: Limit;
  /** Without page cache that the kernel drops first: what the kubelet calls the working set. */
  readonly usedBytes: number | undefined;
}

export interface CgroupFacts {
  readonly version: 1 | 2;
  /** The process's own cgroup first, then upwards as far as the view goes. */
  readonly cpu: readonly CpuLevel[];
  readonly memory: readonly MemoryLevel[];
  /** Number of CPUs that it may use at all. */
  readonly cpuCount: number | undefined;
  /** The view begins at the hierarchy's root, so that the pod's cgroup is among the levels. */
  readonly complete: boolean;
}

/** Text of a file by its path in the view; `undefined` when it is not there or cannot be read. */
export type ReadText = (path: string) => Promise<string | undefined>;

/** Limits from here on are how the kernel prints none: v1 says 2^63 less one page. */
const noLimitBytes = 2 ** 60;
const maxLevels = 32;
/** Where the kubelet puts pods, by driver and class. A path that is relative to another cgroup lacks its beginning. */
const podParents = ['', '/kubepods', '/kubepods.slice', '/kubelet.slice', '/kubelet'].flatMap(
  (top) => [
    top,
    ...['burstable', 'besteffort'].flatMap((name) => [
      `${top}/${name}`,
      `${top}/kubepods-${name}.slice`,
      `${top}/kubelet-kubepods-${name}.slice`,
    ]),
  ],
);

interface Hierarchy {
  readonly mounts: readonly string[];
  readonly path: string;
}

/**
 * @param cgroupText of `/proc/<pid>/cgroup`.
 * @returns `undefined` when the view shows no cgroup at all.
 */
export async function readCgroupFacts(
  cgroupText: string,
  readText: ReadText,
): Promise<CgroupFacts | undefined> {
  const { unified, levels } = hierarchiesOf(cgroupText, readText);
  const memory = await levels('memory');
  const cpu = await levels('cpu', ['cpu', 'cpu,cpuacct']);
  const cpuset = await levels('cpuset');
  if (memory.length === 0 && cpu.length === 0) return undefined;
  const cpus = cpuset[0]
    ? await readText(`${cpuset[0].folder}/${unified ? 'cpuset.cpus.effective' : 'cpuset.cpus'}`)
    : undefined;
  return {
    version: unified ? 2 : 1,
    cpu: await Promise.all(cpu.map((level) => readCpuLevel(level, unified, readText))),
    memory: await Promise.all(memory.map((level) => readMemoryLevel(level, unified, readText))),
    cpuCount: parseCpuList(cpus),
    complete: (memory.length > 0 ? memory : cpu).length > 1,
  };
}

/**
 * Where the view shows the memory controller's files of the process's own cgroup.
 * @returns `undefined` where it shows none.
 */
export async function memoryFolder(
  cgroupText: string,
  readText: ReadText,
): Promise<{ version: 1 | 2; folder: string } | undefined> {
  const { unified, levels } = hierarchiesOf(cgroupText, readText);
  const [own] = await levels('memory');
  return own && { version: unified ? 2 : 1, folder: own.folder };
}

/** Version 2 has one hierarchy for all controllers. Each is asked for by its controller, and by other names of its mount. */
function hierarchiesOf(cgroupText: string, readText: ReadText) {
  const paths = parseCgroupPaths(cgroupText);
  const unified = !paths.byController.has('memory');
  const probe = unified ? 'cgroup.procs' : 'tasks';
  const levels = (controller: string, names: readonly string[] = [controller]) => {
    const hierarchy = unified
      ? { mounts: ['/sys/fs/cgroup'], path: paths.unified ?? '/' }
      : {
          mounts: names.map((name) => `/sys/fs/cgroup/${name}`),
          path: paths.byController.get(controller) ?? '/',
        };
    return levelsOf(hierarchy, probe, readText);
  };
  return { unified, levels };
}

interface Level {
  readonly path: string;
  readonly folder: string;
}

/** The cgroup and those above it that the view shows; the mount's root alone where it shows only that. */
async function levelsOf(
  { mounts, path }: Hierarchy,
  probe: string,
  readText: ReadText,
): Promise<readonly Level[]> {
  for (const mount of mounts) {
    for (const candidate of candidatePaths(path)) {
      const folder = candidate === '/' ? mount : `${mount}${candidate}`;
      if ((await readText(`${folder}/${probe}`)) === undefined) continue;
      return withParents(candidate).map((one) => ({
        path: one,
        folder: one === '/' ? mount : `${mount}${one}`,
      }));
    }
  }
  return [];
}

function candidatePaths(path: string): readonly string[] {
  if (!path.startsWith('/..')) return [path, '/'];
  const below = path.replace(/^(?:\/\.\.)+/, '');
  return below === '' ? ['/'] : [...podParents.map((parent) => `${parent}${below}`), '/'];
}

function withParents(path: string): readonly string[] {
  const names = path.split('/').filter(Boolean).slice(0, maxLevels);
  const paths = names.map((_, at) => `/${names.slice(0, names.length - at).join('/')}`);
  return [...paths, '/'];
}

async function readCpuLevel(
  { path, folder }: Level,
  unified: boolean,
  readText: ReadText,
): Promise<CpuLevel> {
  if (unified) return { path, cpuLimit: parseCpuMax(await readText(`${folder}/cpu.max`)) };
  const quota = await readText(`${folder}/cpu.cfs_quota_us`);
  const period = await readText(`${folder}/cpu.cfs_period_us`);
  return { path, cpuLimit: parseCfsQuota(quota, period) };
}

async function readMemoryLevel(
  { path, folder }: Level,
  unified: boolean,
  readText: ReadText,
): Promise<MemoryLevel> {
  const [limit, usage] = unified
    ? ['memory.max', 'memory.current']
    : ['memory.limit_in_bytes', 'memory.usage_in_bytes'];
  const stat = await readText(`${folder}/memory.stat`);
  const used = wholeNumber(await readText(`${folder}/${usage}`));
  return {
    path,
    limitBytes: parseMemoryLimit(await readText(`${folder}/${limit}`)),
    usedBytes: used === undefined ? undefined : Math.max(0, used - inactiveFileBytes(stat)),
  };
}

/** Paths of a process by controller (v1), and in the unified hierarchy (v2). Lines that are neither are left out. */
export function parseCgroupPaths(text: string): {
  unified: string | undefined;
  byController: ReadonlyMap<string, string>;
} {
  let unified: string | undefined;
  const byController = new Map<string, string>();
  for (const line of text.split('\n').slice(0, 100)) {
    const [, controllers, path] = /^\d{1,5}:([^:]{0,500}):(\/.{0,4000})$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    if (controllers === '') unified = path;
    for (const name of controllers.split(',')) byController.set(name, path);
  }
  byController.delete('');
  return { unified, byController };
}

/** `cpu.max` of v2: `max 100000`, or quota and period in µs. */
export function parseCpuMax(text: string | undefined): Limit {
  const [quota, period = '100000', ...more] = (text ?? '').trim().split(/\s+/);
  if (more.length > 0) return undefined;
  return quota === 'max' ? 'none' : quotient(wholeNumber(quota), wholeNumber(period));
}

/** v1: a quota of -1 is none. */
export function parseCfsQuota(quota: string | undefined, period: string | undefined): Limit {
  if (quota?.trim() === '-1') return 'none';
  return quotient(wholeNumber(quota), wholeNumber(period));
}

function quotient(quota: number | undefined, period: number | undefined): number | undefined {
  if (quota === undefined || period === undefined || quota === 0 || period === 0) return undefined;
  return quota / period;
}

/** `memory.max` of v2 and `memory.limit_in_bytes` of v1. */
export function parseMemoryLimit(text: string | undefined): Limit {
  if (text?.trim() === 'max') return 'none';
  const bytes = wholeNumber(text);
  if (bytes === undefined) return undefined;
  return bytes >= noLimitBytes ? 'none' : bytes;
}

/** v1 counts the cgroup alone in `inactive_file`, and all below it in `total_inactive_file`. */
function inactiveFileBytes(stat: string | undefined): number {
  const total = /^total_inactive_file (\d{1,19})$/m.exec(stat ?? '')?.[1];
  return Number(total ?? /^inactive_file (\d{1,19})$/m.exec(stat ?? '')?.[1] ?? 0);
}

/** Number of CPUs in a list such as `0-2,7`. */
export function parseCpuList(text: string | undefined): number | undefined {
  let count = 0;
  for (const range of (text ?? '').trim().split(',').slice(0, 10_000)) {
    const [, first, last] = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(range) ?? [];
    if (first === undefined) return undefined;
    const width = Number(last ?? first) - Number(first) + 1;
    if (width < 1) return undefined;
    count += width;
  }
  return count;
}

function wholeNumber(text: string | undefined): number | undefined {
  const trimmed = text?.trim() ?? '';
  return /^\d{1,20}$/.test(trimmed) ? Number(trimmed) : undefined;
}

/** The tightest CPU limit of these levels; `none` where all are known to have none. */
export function tightestCpuLimit(levels: readonly CpuLevel[]): Limit {
  const limits = levels.map(({ cpuLimit }) => cpuLimit);
  const numbers = limits.filter((limit) => typeof limit === 'number');
  if (numbers.length > 0) return Math.min(...numbers);
  return limits.length > 0 && limits[0] === 'none' ? 'none' : undefined;
}

/** Bytes that may still be used before one of these cgroups meets its limit; `none` where there is no limit. */
export function memoryHeadroom(levels: readonly MemoryLevel[]): Limit {
  const rooms = levels.flatMap(({ limitBytes, usedBytes }) =>
    typeof limitBytes === 'number' && usedBytes !== undefined
      ? [Math.max(0, limitBytes - usedBytes)]
      : [],
  );
  if (rooms.length > 0) return Math.min(...rooms);
  return levels[0]?.limitBytes === 'none' ? 'none' : undefined;
}
