import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readContainerMemory } from '../../lib/agent/container-memory.ts';
import { readProcess } from '../../lib/agent/process-facts.ts';
import { ProcFolder } from './proc-folder.ts';

let proc: ProcFolder;
beforeEach(() => {
  proc = new ProcFolder();
});
afterEach(() => proc.remove());

/** A process whose root has such files, by directory. */
async function memoryOf(
  cgroup: string,
  files: Record<string, Record<string, string>>,
): Promise<unknown> {
  const root = join(proc.add({ pid: 10, cgroup }), 'root');
  for (const [directory, contents] of Object.entries(files)) {
    mkdirSync(join(root, directory), { recursive: true });
    for (const [name, text] of Object.entries(contents)) {
      writeFileSync(join(root, directory, name), text);
    }
  }
  return readContainerMemory(proc.path, (await readProcess(proc.path, 10))!);
}

const v2 = {
  'cgroup.procs': '10\n',
  'memory.current': '1000\n',
  'memory.max': '4000\n',
  'memory.stat': 'anon 600\nfile 400\ninactive_file 300\n',
};

describe('readContainerMemory', () => {
  it('reads cgroup v2 as a container with a namespace of its own sees it', async () => {
    expect(await memoryOf('0::/\n', { 'sys/fs/cgroup': v2 })).toEqual({
      usedBytes: 700,
      limitBytes: 4_000,
    });
  });

  it('reads the cgroup of the process where the container sees the whole tree', async () => {
    const path = '/kubepods.slice/pod1';
    const of = await memoryOf(`0::${path}\n`, {
      'sys/fs/cgroup': { ...v2, 'memory.current': '999999' },
      [`sys/fs/cgroup${path}`]: { ...v2, 'memory.max': 'max\n' },
    });

    expect(of).toEqual({ usedBytes: 700 });
  });

  it('reads cgroup v1, whose largest number means no limit', async () => {
    const of = await memoryOf('4:cpu,memory:/box\n0::/\n', {
      'sys/fs/cgroup/memory/box': {
        tasks: '10\n',
        'memory.usage_in_bytes': '5000\n',
        'memory.limit_in_bytes': '9223372036854771712\n',
        'memory.stat': 'inactive_file 1\ntotal_inactive_file 1000\n',
      },
    });

    expect(of).toEqual({ usedBytes: 4_000 });
  });

  it('does not follow a link of the container out of its root', async () => {
    const root = join(proc.add({ pid: 10, cgroup: '0::/\n' }), 'root');
    mkdirSync(join(root, 'sys/fs'), { recursive: true });
    const outside = join(proc.path, 'outside');
    mkdirSync(outside);
    for (const [name, text] of Object.entries(v2)) writeFileSync(join(outside, name), text);
    symlinkSync(outside, join(root, 'sys/fs/cgroup'));

    const jvm = (await readProcess(proc.path, 10))!;

    expect(await readContainerMemory(proc.path, jvm)).toBeUndefined();
  });

  it.each([
    ['nothing', {}],
    ['no number', { 'sys/fs/cgroup': { ...v2, 'memory.current': 'lots' } }],
  ])('answers nothing where the container shows %s', async (_what, files) => {
    expect(await memoryOf('0::/\n', files as never)).toBeUndefined();
  });
});
