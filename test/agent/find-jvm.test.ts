import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findJvm, mainClass } from '../../lib/agent/find-jvm.ts';
import { readProcess, stillRuns } from '../../lib/agent/process-facts.ts';
import { cgroupLine, hotspotMaps, ProcFolder } from './proc-folder.ts';
import { containerID, podUid } from './tickets.ts';

let proc: ProcFolder;
const node = { rung: 'nodeAgent', podUid, containerID } as const;
const ephemeral = { ...node, rung: 'ephemeralContainer' } as const;

beforeEach(() => {
  proc = new ProcFolder();
});
afterEach(() => proc.remove());

describe('findJvm', () => {
  it('finds the process of the container that maps libjvm.so, with the ids it needs', async () => {
    proc.add({ pid: 10, maps: '7f00-7f01 r-xp 0 0:0 1 /bin/sh\n' });
    proc.add({ pid: 4_300, uid: 1001, gid: 1002, nspid: 7 });

    expect(await findJvm(proc.path, node)).toMatchObject({
      ...{ pid: 4_300, namespacePid: 7, uid: 1001, gid: 1002, startTicks: '4711' },
      catchesQuit: true,
    });
  });

  it.each([
    ['tini', '/sbin/tini\n'],
    ['a shell', '/bin/busybox\n'],
  ])('finds the JVM of a musl image where process 1 is %s', async (_name, maps) => {
    proc.add({ pid: 4_299, ppid: 0, nspid: 1, maps: `7f00-7f01 r-xp 0 0:0 1 ${maps}` });
    const library = '/usr/lib/jvm/java-17-openjdk/lib/server/libjvm.so';
    const musl = '7f02-7f03 r-xp 0 0:0 2 /lib/ld-musl-x86_64.so.1\n';
    proc.add({
      ...{ pid: 4_300, ppid: 4_299, nspid: 7 },
      maps: `7f00-7f01 r-xp 00000000 08:01 1  ${library}\n${musl}`,
    });

    expect(await findJvm(proc.path, node)).toMatchObject({ pid: 4_300, namespacePid: 7 });
  });

  it('knows all groups of a JVM, of which 0 may be one', async () => {
    const folder = proc.add({ pid: 10, uid: 1_000_650_000, gid: 0 });
    const status = readFileSync(join(folder, 'status'), 'utf8');
    writeFileSync(join(folder, 'status'), status.replace('Groups:\t ', 'Groups:\t0 1000650000 '));

    expect(await findJvm(proc.path, node)).toMatchObject({
      ...{ uid: 1_000_650_000, gid: 0, groups: [0, 1_000_650_000] },
    });
  });

  it('finds a JVM whose library was replaced under it', async () => {
    proc.add({ pid: 10, maps: hotspotMaps.replace('libjvm.so', 'libjvm.so (deleted)') });

    expect((await findJvm(proc.path, node)).pid).toBe(10);
  });

  it('looks past the JVMs of other pods and other containers of the node', async () => {
    proc.add({ pid: 10, cgroup: cgroupLine('11111111-5f0b-4c7e-9a0d-1b2c3d4e5f60') });
    proc.add({ pid: 11, cgroup: cgroupLine(podUid, 'containerd://another') });
    proc.add({ pid: 12, cgroup: cgroupLine().replaceAll('_', '-') });

    expect((await findJvm(proc.path, node)).pid).toBe(12);
  });

  it('takes any JVM that an ephemeral container sees, since cgroups may be hidden from it', async () => {
    proc.add({ pid: 1, cgroup: '0::/\n' });

    expect((await findJvm(proc.path, ephemeral)).pid).toBe(1);
  });

  it('prefers the target container where a pod shares its process namespace', async () => {
    proc.add({ pid: 20, cgroup: cgroupLine(podUid, 'containerd://sidecar') });
    proc.add({ pid: 21 });

    expect((await findJvm(proc.path, ephemeral)).pid).toBe(21);
  });

  it('answers JvmNotFound where no process maps libjvm.so', async () => {
    proc.add({ pid: 10, maps: '7f00-7f01 r-xp 0 0:0 1 /opt/libjvm.so.txt\n' });

    await expect(findJvm(proc.path, node)).rejects.toMatchObject({
      code: 'JvmNotFound',
      message: expect.stringContaining('looked at 1 processes'),
    });
  });

  it('answers AttachFailed with both users where it may not look into a process', async () => {
    // Stands for a process of another user, whose maps cannot be read either.
    const maps = join(proc.add({ pid: 10, uid: 4_242 }), 'maps');
    rmSync(maps);
    mkdirSync(maps);

    await expect(findJvm(proc.path, node)).rejects.toMatchObject({
      code: 'AttachFailed',
      message: expect.stringMatching(/process 10 \(uid 4242\) .* looked into by uid \d+/),
    });
  });

  it('does not take a JVM that has ended and waits for its parent', async () => {
    proc.add({ pid: 10, state: 'Z (zombie)' });

    await expect(findJvm(proc.path, node)).rejects.toMatchObject({ code: 'JvmNotFound' });
  });

  it('answers JvmAmbiguous with pids and main classes, and never with arguments', async () => {
    proc.add({ pid: 10, cmdline: ['java', '-cp', 'x.jar', 'shop.Cart', '--password=hunter2'] });
    proc.add({ pid: 11, cmdline: ['java', '-Dkey=hunter2', '-jar', '/opt/tool.jar', 'hunter2'] });

    const error: unknown = await findJvm(proc.path, node).catch((reason: unknown) => reason);

    expect(error).toMatchObject({ code: 'JvmAmbiguous' });
    expect(String(error)).toContain('10 shop.Cart, 11 tool.jar');
    expect(String(error)).not.toContain('hunter2');
  });

  it('takes the JVM that is the ancestor of the others, also through a shell', async () => {
    proc.add({ pid: 10 });
    proc.add({ pid: 11, ppid: 10, maps: '/bin/sh\n' });
    proc.add({ pid: 12, ppid: 11 });

    expect((await findJvm(proc.path, node)).pid).toBe(10);
  });

  it('says that OpenJ9 is not supported', async () => {
    const maps = `${hotspotMaps}7f00-7f01 r-xp 0 0:0 1 /opt/java/lib/default/libj9vm29.so\n`;
    proc.add({ pid: 10, maps });

    await expect(findJvm(proc.path, node)).rejects.toMatchObject({
      code: 'NotSupported',
      message: expect.stringContaining('OpenJ9'),
    });
  });
});

describe('readProcess', () => {
  it('takes an empty list of groups for none', async () => {
    const folder = proc.add({ pid: 10 });
    const status = readFileSync(join(folder, 'status'), 'utf8');
    writeFileSync(join(folder, 'status'), status.replace('Groups:\t \n', 'Groups:\t\n'));

    expect((await readProcess(proc.path, 10))!.groups).toEqual([]);
  });
});

describe('stillRuns', () => {
  it('tells a process from a later one of the same pid', async () => {
    proc.add({ pid: 10, startTicks: '100' });
    const found = (await readProcess(proc.path, 10))!;
    expect(await stillRuns(proc.path, found)).toBe(true);

    proc.add({ pid: 10, startTicks: '101' });

    expect(await stillRuns(proc.path, found)).toBe(false);
  });
});

describe('mainClass', () => {
  it.each([
    [['java', '-Xmx1g', 'Main', 'secret'], 'Main'],
    [['java', '--module-path', 'lib', '-m', 'shop/shop.Main'], 'shop.Main'],
    [['java', '@options', '-version'], 'unknown'],
    [[], 'unknown'],
  ])('of %j is %s', async (cmdline, expected) => {
    proc.add({ pid: 10, cmdline });

    expect(await mainClass(proc.path, 10)).toBe(expected);
  });
});
