import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { containerPlaceOf, SensedProcesses } from '../../lib/agent/sensed-processes.ts';
import { cgroupLine, ProcFolder } from './proc-folder.ts';
import { podUid } from './tickets.ts';

const id = '4f'.repeat(32);
const other = '5e'.repeat(32);
const underscored = podUid.replaceAll('-', '_');
const place = { podUid, runtimeID: id };

describe('containerPlaceOf', () => {
  it.each([
    ['v1, cgroupfs', `11:memory:/kubepods/burstable/pod${podUid}/${id}\n0::/\n`],
    [
      'v1, systemd',
      `4:memory:/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${underscored}.slice/cri-containerd-${id}.scope\n`,
    ],
    ['v2, systemd', cgroupLine(podUid, id)],
    ['v2, cgroupfs', `0::/kubepods/besteffort/pod${podUid}/${id}\n`],
    [
      'v2, CRI-O',
      `0::/kubepods.slice/kubepods-pod${underscored}.slice/crio-${id}.scope/container\n`,
    ],
    [
      'v2, from a cgroup namespace beside it',
      `0::/../../kubepods-burstable-pod${underscored}.slice/cri-containerd-${id}.scope\n`,
    ],
    ['v1, containerd’s path in a path of its own', `4:memory:/k8s/pod${podUid}/${id}/init\n`],
  ])('knows pod and container of a process: %s', (_name, text) => {
    expect(containerPlaceOf(text)).toEqual(place);
  });

  it.each([
    ['a process of the node', '0::/system.slice/kubelet.service\n'],
    ['a container of no pod', `0::/system.slice/docker-${id}.scope\n`],
    ['a pod without a container', `0::/kubepods/burstable/pod${podUid}\n`],
    ['an id that is too long', `0::/kubepods/pod${podUid}/${id}ab\n`],
    ['nothing', ''],
  ])('knows none of %s', (_name, text) => {
    expect(containerPlaceOf(text)).toBeUndefined();
  });

  it('is not held up by a long line', () => {
    expect(containerPlaceOf('pod'.repeat(1_000_000))).toBeUndefined();
  });
});

describe('SensedProcesses', () => {
  let proc: ProcFolder;
  beforeEach(() => {
    proc = new ProcFolder();
  });
  afterEach(() => proc.remove());

  const inPod = (runtimeID = id) => cgroupLine(podUid, runtimeID);
  const pidsOf = async (processes: SensedProcesses) =>
    (await processes.scan()).map(({ process }) => process.pid);

  it('finds the JVMs of pods, and no other process', async () => {
    proc.add({ pid: 10, cgroup: inPod() });
    proc.add({ pid: 11, cgroup: inPod(other), maps: '7f00-7f01 r-xp 0 0:0 0 /bin/sh\n' });
    proc.add({ pid: 12, cgroup: '0::/system.slice/jenkins.service\n' });
    proc.add({ pid: 13, cgroup: inPod(other), state: 'Z (zombie)' });

    const processes = await new SensedProcesses(proc.path).scan();

    expect(processes).toMatchObject([{ podUid, runtimeID: id, process: { pid: 10 } }]);
  });

  it('takes of a container’s JVMs the one that began first', async () => {
    proc.add({ pid: 20, cgroup: inPod(), startTicks: '900' });
    proc.add({ pid: 30, cgroup: inPod(), startTicks: '800' });

    expect(await pidsOf(new SensedProcesses(proc.path))).toEqual([30]);
  });

  it('sees a JVM that begins, one that a launcher becomes, and one that ends', async () => {
    const launcher = proc.add({ pid: 10, cgroup: inPod(), maps: 'nothing yet\n' });
    const processes = new SensedProcesses(proc.path);
    expect(await pidsOf(processes)).toEqual([]);

    writeFileSync(join(launcher, 'maps'), '7f00-7f01 r-xp 0 08:01 1 /opt/java/lib/libjvm.so\n');
    proc.add({ pid: 11, cgroup: inPod(other) });
    expect(await pidsOf(processes)).toEqual([10, 11]);

    proc.hide(10);
    expect(await pidsOf(processes)).toEqual([11]);
  });

  it('looks again at a pid that was given to another process', async () => {
    proc.add({ pid: 10, cgroup: inPod(), startTicks: '1' });
    const processes = new SensedProcesses(proc.path);
    await processes.scan();

    proc.hide(10);
    proc.add({ pid: 10, cgroup: inPod(other), startTicks: '2' });
    processes.forget(10);

    expect(await processes.scan()).toMatchObject([{ runtimeID: other }]);
  });
});
