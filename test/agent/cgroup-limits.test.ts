import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  memoryHeadroom,
  parseCfsQuota,
  parseCgroupPaths,
  parseCpuList,
  parseCpuMax,
  parseMemoryLimit,
  readCgroupFacts,
  tightestCpuLimit,
} from '../../lib/agent/cgroup-limits.ts';

/**
 * Captured on a one-node Kubernetes 1.34 with cgroup v1 (containerd, cgroupfs driver): a pod of two containers, limits of
 * 1 CPU and 64 MiB, and of 500m and 32 MiB; shortened ids, usage and page cache of a busy container put in.
 */
const pod = '/kubepods/burstable/podca38d323-8f31-4303-8a79-ed5adafd828b';
const container = `${pod}/414826b2e3b747e5`;
const v1Cgroup = ['9:name=systemd', '4:memory', '3:cpuset', '2:cpuacct', '1:cpu', '0:']
  .map((controller) => `${controller}:${container}\n`)
  .join('');
const v1Memory = (limit: string, usage: string, stat: string): Record<string, string> => ({
  tasks: '13474\n',
  'memory.limit_in_bytes': limit,
  'memory.usage_in_bytes': usage,
  'memory.stat': stat,
});
const none = '9223372036854771712\n';
const v1Host = tree('/sys/fs/cgroup', {
  [`memory${container}`]: v1Memory('67108864\n', '50331648\n', 'total_inactive_file 8388608\n'),
  [`memory${pod}`]: v1Memory('100663296\n', '58720256\n', 'total_inactive_file 8388608\n'),
  'memory/kubepods/burstable': v1Memory(none, '58720256\n', ''),
  'memory/kubepods': v1Memory('25276502016\n', '58720256\n', ''),
  memory: v1Memory(none, '8165756928\n', ''),
  [`cpu${container}`]: quota('100000', '100000'),
  [`cpu${pod}`]: quota('150000', '100000'),
  'cpu/kubepods/burstable': quota('-1', '100000'),
  'cpu/kubepods': quota('-1', '100000'),
  cpu: quota('-1', '100000'),
  [`cpuset${container}`]: { tasks: '', 'cpuset.cpus': '0-1\n' },
});

function quota(micros: string, period: string): Record<string, string> {
  return { tasks: '', 'cpu.cfs_quota_us': `${micros}\n`, 'cpu.cfs_period_us': `${period}\n` };
}

/** File contents by path, as a view of the file system. */
function tree(mount: string, folders: Record<string, Record<string, string>>) {
  const files = new Map<string, string>();
  for (const [folder, contents] of Object.entries(folders)) {
    for (const [name, text] of Object.entries(contents)) {
      files.set(`${mount}${folder === '' ? '' : `/${folder}`}/${name}`, text);
    }
  }
  return (path: string) => Promise.resolve(files.get(path));
}

describe('readCgroupFacts', () => {
  it('reads cgroup v1 up the tree, as the node sees it: the pod has the sum of its containers', async () => {
    const facts = await readCgroupFacts(v1Cgroup, v1Host);

    expect(facts).toMatchObject({ version: 1, complete: true, cpuCount: 2 });
    expect(facts!.cpu.map(({ cpuLimit }) => cpuLimit)).toEqual([1, 1.5, 'none', 'none', 'none']);
    expect(facts!.memory.slice(0, 3)).toEqual([
      { path: container, limitBytes: 67_108_864, usedBytes: 41_943_040 },
      { path: pod, limitBytes: 100_663_296, usedBytes: 50_331_648 },
      { path: '/kubepods/burstable', limitBytes: 'none', usedBytes: 58_720_256 },
    ]);
    expect(tightestCpuLimit(facts!.cpu)).toBe(1);
    expect(memoryHeadroom(facts!.memory)).toBe(67_108_864 - 41_943_040);
  });

  it('takes the mount as the own cgroup inside a container, whose path on the node it does not show', async () => {
    const view = tree('/sys/fs/cgroup', {
      memory: v1Memory('67108864\n', '50331648\n', ''),
      cpu: quota('-1', '100000'),
    });

    expect(await readCgroupFacts(v1Cgroup, view)).toEqual({
      version: 1,
      cpu: [{ path: '/', cpuLimit: 'none' }],
      memory: [{ path: '/', limitBytes: 67_108_864, usedBytes: 50_331_648 }],
      cpuCount: undefined,
      complete: false,
    });
  });

  // Texts in the form that Documentation/admin-guide/cgroup-v2.rst gives, paths by the kubelet's systemd driver.
  const slice = 'kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice';
  const scope = `${slice}/cri-containerd-2.scope`;
  const v2Host = tree('/sys/fs/cgroup', {
    '': { 'cgroup.procs': '1\n' },
    'kubepods.slice': { 'cgroup.procs': '', 'cpu.max': 'max 100000\n', 'memory.max': 'max\n' },
    'kubepods.slice/kubepods-burstable.slice': { 'cgroup.procs': '', 'cpu.max': 'max 100000\n' },
    [slice]: {
      ...{ 'cgroup.procs': '', 'cpu.max': '50000 100000\n' },
      ...{ 'memory.max': '1000\n', 'memory.current': '700\n' },
    },
    [scope]: {
      ...{ 'cgroup.procs': '10\n', 'cpu.max': 'max 100000\n', 'cpuset.cpus.effective': '0,2-3\n' },
      ...{ 'memory.max': 'max\n', 'memory.current': '600\n' },
      'memory.stat': 'anon 300\ninactive_file 200\n',
    },
  });

  it.each([
    ['by its whole path', `0::/${scope}\n`],
    [
      'by a path relative to another cgroup',
      '0::/../../kubepods-burstable-pod1.slice/cri-containerd-2.scope\n',
    ],
  ])('reads cgroup v2 up the tree, named %s', async (_how, text) => {
    const facts = await readCgroupFacts(text, v2Host);

    expect(facts).toMatchObject({ version: 2, complete: true, cpuCount: 3 });
    expect(facts!.memory.slice(0, 2)).toEqual([
      { path: `/${scope}`, limitBytes: 'none', usedBytes: 400 },
      { path: `/${slice}`, limitBytes: 1_000, usedBytes: 700 },
    ]);
    expect(tightestCpuLimit(facts!.cpu)).toBe(0.5);
    expect(memoryHeadroom(facts!.memory)).toBe(300);
  });

  it('knows nothing where nothing is shown, and claims no limit from that', async () => {
    expect(await readCgroupFacts('0::/\n', () => Promise.resolve(undefined))).toBeUndefined();
    expect(tightestCpuLimit([])).toBeUndefined();
    expect(memoryHeadroom([])).toBeUndefined();
  });

  it('answers whatever the files hold', async () => {
    const answer = fc.asyncProperty(fc.string(), fc.string(), async (cgroup, text) => {
      const facts = await readCgroupFacts(cgroup, () => Promise.resolve(text));
      for (const { cpuLimit } of facts?.cpu ?? []) {
        expect(cpuLimit === undefined || cpuLimit === 'none' || cpuLimit > 0).toBe(true);
      }
    });
    await fc.assert(answer, { numRuns: 200 });
  });
});

describe('the texts of the kernel', () => {
  it.each([
    ['max 100000\n', 'none'],
    ['150000 100000\n', 1.5],
    ['0 100000', undefined],
    ['100000 0', undefined],
    ['-5 100000', undefined],
    ['1 2 3', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('reads cpu.max %j as %p', (text, limit) => {
    expect(parseCpuMax(text)).toBe(limit);
  });

  it.each([
    ['-1\n', '100000\n', 'none'],
    ['50000\n', '100000\n', 0.5],
    ['50000\n', undefined, undefined],
    ['0', '100000', undefined],
    ['many', '100000', undefined],
  ])('reads a quota of %j in %j as %p', (micros, period, limit) => {
    expect(parseCfsQuota(micros, period)).toBe(limit);
  });

  it.each([
    ['max\n', 'none'],
    [none, 'none'],
    ['8589934592\n', 2 ** 33],
    ['0\n', 0],
    ['-1', undefined],
    ['4G', undefined],
  ])('reads a memory limit of %j as %p', (text, limit) => {
    expect(parseMemoryLimit(text)).toBe(limit);
  });

  it.each([
    ['0-2,7\n', 4],
    ['5\n', 1],
    ['3-1', undefined],
    ['', undefined],
    ['all', undefined],
  ])('counts the CPUs of %j as %p', (text, count) => {
    expect(parseCpuList(text)).toBe(count);
  });

  it('reads paths with colons, and several controllers of one hierarchy', () => {
    const { unified, byController } = parseCgroupPaths('4:cpu,cpuacct:/a:b\n0::/c\nnonsense\n');

    expect([...byController]).toEqual([
      ['cpu', '/a:b'],
      ['cpuacct', '/a:b'],
    ]);
    expect(unified).toBe('/c');
  });
});
