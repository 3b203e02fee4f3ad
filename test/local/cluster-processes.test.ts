import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  isRunning,
  namespace,
  startTestCluster,
  viewOf,
  type TestCluster,
} from './cluster-harness.ts';

let test: TestCluster;
beforeAll(async () => {
  test = await startTestCluster({
    images: { shell: ['sh', '-c'] },
    programs: { '/heapcatch/agent': ['echo', 'agent', 'of', 'this', 'machine:'] },
  });
});
afterAll(() => test.cluster.close());

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}`);
const stateOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]![0]!;
const hasEnded = (pid: number): boolean => !isAlive(pid) || stateOf(pid) === 'Z';

const identity = () => ({
  runAsUser: process.getuid!(),
  runAsGroup: process.getgid!(),
});

describe('the processes of a pod', () => {
  it('get the environment, the command and the arguments of their spec', async () => {
    test.createPod(
      'spoken',
      {
        image: 'shell',
        command: ['sh', '-c', 'echo "$@" $ADDRESS $BOTH $LABEL $PLAIN; sleep 1000', '$(NAME)'],
        args: ['$(NAME)', '$$(NAME)', '$(NOBODY)'],
        env: [
          { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
          { name: 'ADDRESS', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
          { name: 'BOTH', value: '$(NAME)@$(ADDRESS)' },
          { name: 'LABEL', valueFrom: { fieldRef: { fieldPath: "metadata.labels['color']" } } },
          { name: 'PLAIN', value: '$$5' },
        ],
      },
      {},
      { color: 'red' },
    );
    const { podIP } = await test.until('spoken', isRunning);
    await test.exec('spoken', 'true');

    const log = await test.cluster.readLog(namespace, 'spoken', 'app');

    expect(log).toBe(`spoken $(NAME) $(NOBODY) ${podIP} spoken@${podIP} red $5\n`);
    expect(podIP).toMatch(/^127\.\d+\.\d+\.\d+$/);
  });

  it('replace the programs of an image by those of this machine', async () => {
    test.createPod('programs');
    await test.until('programs', isRunning);

    const result = await test.api.exec(
      { namespace, podName: 'programs', containerName: 'app' },
      ['/heapcatch/agent', 'start'],
      { deadlineSeconds: 20 },
    );

    expect(result.stdout).toBe('agent of this machine: start\n');
  });

  it('are seen in the folder that stands in for /proc, each with its cgroup', async () => {
    test.createPod('seen', { command: ['sh', '-c', 'sleep 1001; true'] });
    const { containers, podUid } = await test.until('seen', isRunning);
    const containerID = containers[0]!.containerID!;

    const result = await test.exec('seen', 'echo $$; exec sleep 0.5');

    const folder = path.join(test.cluster.stateFolder, 'proc', containerID.slice(13));
    const view = viewOf(test.cluster, containerID);
    expect([...view.values()]).toContain('sh -c sleep 1001; true');
    expect([...view.values()]).toContain('sleep 1001');
    expect(view.has(Number(result.stdout))).toBe(false);
    const [pid] = view.keys();
    expect(readlinkSync(path.join(folder, String(pid), 'root'))).toBe(`/proc/${pid}/root`);
    expect(readFileSync(path.join(folder, String(pid), 'cgroup'), 'utf8')).toBe(
      '0::/kubepods.slice/kubepods-burstable.slice/' +
        `kubepods-burstable-pod${podUid.replaceAll('-', '_')}.slice/` +
        `cri-containerd-${containerID.slice(13)}.scope\n`,
    );
  });

  it('are all in the view of a node agent, and in that of no other pod', async () => {
    const labels = { 'app.kubernetes.io/name': 'heapcatch-agent' };
    test.createPod('agent', {}, {}, labels);
    test.createPod('other', { command: ['sleep', '1002'] });
    await test.until('agent', isRunning);
    await test.until('other', isRunning);

    const agent = await test.exec(
      'agent',
      'cat $HEAPCATCH_PROC_ROOT/[0-9]*/cmdline | tr "\\0" " "',
    );
    const other = await test.exec('other', 'echo "$HEAPCATCH_PROC_ROOT"');

    expect(agent.stdout).toContain('sleep 1002');
    expect(agent.stdout).toContain('sleep 1000');
    expect(other.stdout).toBe('\n');
  });

  it('share their view with the ephemeral container that targets them, and take it along', async () => {
    test.createPod('shared', { command: ['sleep', '1003'] }, { restartPolicy: 'Never' });
    const { podUid, containers } = await test.until('shared', isRunning);
    await test.api.addEphemeralAgents({ namespace, podName: 'shared', podUid }, [
      {
        ...identity(),
        containerName: 'helper',
        targetContainerName: 'app',
        image: 'shell',
        env: {},
        volumeMounts: [],
      },
    ]);
    // `sh -c` without a script ends by itself: the container is refused nothing, it is just over.
    await test.api.addEphemeralAgents({ namespace, podName: 'shared', podUid }, [
      {
        ...identity(),
        containerName: 'stayer',
        targetContainerName: 'app',
        image: 'idle',
        env: {},
        volumeMounts: [],
      },
    ]);
    const seen = await test.exec('shared', 'cat $HEAPCATCH_PROC_ROOT/[0-9]*/cmdline', 'stayer');
    expect(seen.stdout).toContain('sleep\x001003');
    const view = viewOf(test.cluster, containers[0]!.containerID!);
    expect([...view.values()].sort()).toEqual(['sleep 1000', 'sleep 1003']);

    const [target] = [...view].find(([, words]) => words === 'sleep 1003')!;
    const [stayer] = [...view].find(([, words]) => words === 'sleep 1000')!;
    process.kill(target, 'SIGKILL');

    const { phase } = await test.until('shared', (pod) => pod.phase === 'Failed');
    expect(phase).toBe('Failed');
    expect(hasEnded(stayer)).toBe(true);
  });

  it('are all killed with the first one, children and exec alike', async () => {
    test.createPod('family', { command: ['sh', '-c', 'sleep 1004 & sleep 1005; true'] });
    const { containers } = await test.until('family', isRunning);
    const running = test.exec('family', 'echo begun; sleep 1006');
    await test.exec('family', 'sleep 0.3');
    const view = viewOf(test.cluster, containers[0]!.containerID!);
    const pids = [...view.keys()];
    expect([...view.values()]).toEqual(
      expect.arrayContaining(['sleep 1004', 'sleep 1005', 'sleep 1006']),
    );

    const [first] = [...view].find(([, words]) => words.startsWith('sh -c sleep 1004'))!;
    process.kill(first, 'SIGKILL');

    await test.until('family', (pod) => pod.containers[0]!.restartCount === 1);
    expect(pids.every(hasEnded)).toBe(true);
    expect((await running).exitCode).toBe(137);
    const { lastTermination } = (await test.until('family', isRunning)).containers[0]!;
    expect(lastTermination).toMatchObject({ exitCode: 137, reason: 'Error' });
  });

  it('get SIGTERM, the grace period, then SIGKILL', async () => {
    const script = 'trap "echo asked" TERM; while true; do sleep 0.05; done';
    test.createPod(
      'stubborn',
      { command: ['sh', '-c', script] },
      { terminationGracePeriodSeconds: 1 },
    );
    const { containers } = await test.until('stubborn', isRunning);
    await test.exec('stubborn', 'true');
    const pids = [...viewOf(test.cluster, containers[0]!.containerID!).keys()];

    test.cluster.deletePod(namespace, 'stubborn');
    const dying = await test.until('stubborn', (pod) => !isRunning(pod));
    await test.gone('stubborn');

    expect(dying.containers[0]!.lastTermination).toMatchObject({ exitCode: 137 });
    expect(pids.every(hasEnded)).toBe(true);
  });

  it('end at once when their pod is deleted without grace', async () => {
    test.createPod('forced', {}, { terminationGracePeriodSeconds: 600 });
    const { containers } = await test.until('forced', isRunning);
    const [pid] = viewOf(test.cluster, containers[0]!.containerID!).keys();

    test.cluster.deletePod(namespace, 'forced', 0);

    expect(await test.api.readPod(namespace, 'forced')).toBeUndefined();
    // The address is given back when nothing uses it any more.
    test.createPod('after');
    await test.until('after', isRunning);
    expect(hasEnded(pid!)).toBe(true);
  });

  it('run a preStop command before they are asked to end', async () => {
    test.createPod('tidy', {
      command: ['sh', '-c', 'trap "echo term; exit 0" TERM; while true; do sleep 0.05; done'],
      lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo hook > $LOG'] } } },
      env: [{ name: 'LOG', value: path.join(test.cluster.stateFolder, 'hook') }],
    });
    await test.until('tidy', isRunning);

    test.cluster.deletePod(namespace, 'tidy', 10);
    await test.gone('tidy');

    expect(readFileSync(path.join(test.cluster.stateFolder, 'hook'), 'utf8')).toBe('hook\n');
  });
});
