import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readProcess } from '../../lib/agent/process-facts.ts';
import { directReach } from '../../lib/agent/jvm-reach.ts';
import { planWorkBeside } from '../../lib/agent/work-beside.ts';
import { createLogger } from '../../lib/log.ts';
import type { Rung } from '../../lib/policy/policy.ts';
import { ProcFolder } from './proc-folder.ts';

const MiB = 1024 * 1024;
const order = {
  ...{ blockBytes: 512 * 1024, partBytes: 5 * MiB, partCount: 100 },
  ...{ expectedBytes: 100 * MiB, segmented: false },
};

const log = createLogger('test', { write: () => undefined });

let proc: ProcFolder;
beforeEach(() => {
  proc = new ProcFolder();
});
afterEach(() => proc.remove());

/** A container with a cgroup namespace of its own, by cgroup v2. */
function addContainer(pid: number, files: Record<string, string>, folder = 'sys/fs/cgroup') {
  const cgroup = join(proc.add({ pid, cgroup: '0::/\n' }), 'root', folder);
  mkdirSync(cgroup, { recursive: true });
  for (const [name, text] of Object.entries({ 'cgroup.procs': '1\n', ...files })) {
    writeFileSync(join(cgroup, name), text);
  }
}

async function plan(rung: Rung) {
  return planWorkBeside(directReach(proc.path), (await readProcess(proc.path, 10))!, {
    ...{ rung, order, log },
    mayWait: false,
  });
}

const quota = { 'cpu.max': '100000 100000\n' };
const memory = (leftBytes: number): Record<string, string> => ({
  ...{ 'memory.max': `${1024 * MiB}\n`, 'memory.current': `${1024 * MiB - leftBytes}\n` },
});

describe('planWorkBeside', () => {
  it('reads the quota of the container of the JVM by its own view', async () => {
    addContainer(10, { ...quota, 'memory.max': 'max\n', 'memory.current': '1\n' });

    expect(await plan('ephemeralContainer')).toMatchObject({
      pace: 'heldBack',
      paceReason: "the JVM's quota of 1 CPUs is the pod's as well: both would share it",
    });
  });

  it('refuses with the numbers where the limit is near', async () => {
    addContainer(10, { ...quota, ...memory(5 * MiB) });

    await expect(plan('exec')).rejects.toMatchObject({
      code: 'NotEnoughMemory',
      message: expect.stringMatching(/needs \d+ bytes of memory at least, and \d+ are left/),
      details: { headroomBytes: 5 * MiB },
    });
  });

  it('follows no link that the owner of the container put there', async () => {
    addContainer(10, { ...memory(0) }, 'elsewhere');
    mkdirSync(join(proc.path, '10/root/sys/fs/cgroup'), { recursive: true });
    for (const name of ['cgroup.procs', 'memory.max', 'memory.current']) {
      const target = join(proc.path, '10/root/elsewhere', name);
      symlinkSync(target, join(proc.path, '10/root/sys/fs/cgroup', name));
    }

    expect(await plan('exec')).toMatchObject({ paceReason: 'no CPU quota is known' });
  });
});
