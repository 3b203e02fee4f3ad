import { describe, expect, it } from '@jest/globals';
import { partBytesAt } from '../../lib/capture/part-layout.ts';
import { planCapture, type PlanInput } from '../../lib/capture/plan.ts';
import type { Policy } from '../../lib/policy/policy.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import type { ContainerFacts, PodFacts, VolumeMountFacts } from '../../lib/policy/pod-facts.ts';
import { containerFacts, gibibyte, podFacts } from './fake-cluster.ts';

function input(
  changes: Partial<PlanInput> = {},
  facts: { pod?: Partial<PodFacts>; container?: Partial<ContainerFacts> } = {},
): PlanInput {
  return {
    signalReason: 'LivenessProbeFailing',
    pod: podFacts(facts.pod, facts.container),
    container: containerFacts(facts.container),
    policy: defaultPolicy,
    decision: { artifacts: ['heapInfo', 'heapDump'], expectedBytes: gibibyte },
    nodeAgent: { podName: 'agent-node-1' },
    agentImage: 'heapcatch:1',
    ...changes,
  };
}

function mount(mountPath: string, changes: Partial<VolumeMountFacts> = {}): VolumeMountFacts {
  return { volumeName: 'v', mountPath, readOnly: false, volumeType: 'emptyDir', ...changes };
}

describe('planCapture, rungs', () => {
  it('takes the node agent where one is ready, with the ephemeral container behind it', () => {
    const plan = planCapture(input());

    expect(plan.rungs).toEqual(['nodeAgent', 'ephemeralContainer']);
    expect(plan.refusedRungs).toEqual({ exec: 'PolicyForbids' });
  });

  it('does not go into the application container with a dump that is to be redacted', () => {
    const policy: Policy = { ...defaultPolicy, rungs: ['exec'], redact: 'primitiveArrays' };

    expect(planCapture(input({ policy })).refusedRungs.exec).toBe('ExecCannotRedact');
  });

  it('does not go into the application container with what is to be encrypted', () => {
    const policy: Policy = { ...defaultPolicy, rungs: ['exec'], encrypt: true };

    expect(planCapture(input({ policy, execAgentPackaged: true })).refusedRungs.exec).toBe(
      'ExecCannotEncrypt',
    );
  });

  it('takes the ephemeral container where there is no node agent', () => {
    const plan = planCapture(input({ nodeAgent: undefined }));

    expect(plan.rung).toBe('ephemeralContainer');
    expect(plan.refusedRungs.nodeAgent).toBe('NoNodeAgent');
  });

  it.each<[string, Partial<PlanInput>, Parameters<typeof input>[1]]>([
    ['PodBeingDeleted', {}, { pod: { deletionTime: '2026-01-01T12:00:00Z' } }],
    ['ContainerBeingKilled', { signalReason: 'ContainerKilling' }, {}],
    ['AgentImageNotConfigured', { agentImage: undefined }, {}],
    ['RunsAsRoot', {}, { container: { runAsUser: 0 } }],
    [
      'PolicyForbids',
      { policy: { ...defaultPolicy, rungs: ['nodeAgent'] } },
      { container: { runAsUser: 1000 } },
    ],
  ])('refuses the ephemeral container: %s', (reason, changes, facts) => {
    const plan = planCapture(input({ nodeAgent: undefined, ...changes }, facts));

    expect(plan.rung).toBeUndefined();
    expect(plan.refusedRungs.ephemeralContainer).toBe(reason);
  });

  it('refuses the ephemeral container while the uid of the JVM is not known', () => {
    const container = containerFacts();
    delete container.runAsUser;

    const plan = planCapture(input({ nodeAgent: undefined, container }));

    expect(plan.refusedRungs.ephemeralContainer).toBe('UidUnknown');
  });

  it('takes exec where the policy asks for it and the functions have its agent, last of all', () => {
    const policy: PlanInput['policy'] = {
      ...defaultPolicy,
      rungs: ['exec', 'ephemeralContainer', 'nodeAgent'],
    };

    const plan = planCapture(input({ policy, execAgentPackaged: true }));

    expect(plan.rungs).toEqual(['nodeAgent', 'ephemeralContainer', 'exec']);
  });

  it('takes exec on a pod that is being deleted, without a node agent', () => {
    const policy: PlanInput['policy'] = {
      ...defaultPolicy,
      rungs: ['nodeAgent', 'ephemeralContainer', 'exec'],
    };
    const changes = { policy, execAgentPackaged: true, nodeAgent: undefined };

    const plan = planCapture(input(changes, { pod: { deletionTime: '2026-01-01T12:00:00Z' } }));

    expect(plan.rung).toBe('exec');
    expect(plan.refusedRungs).toEqual({
      nodeAgent: 'NoNodeAgent',
      ephemeralContainer: 'PodBeingDeleted',
    });
  });

  it('refuses exec where the functions were packaged without its agent', () => {
    const plan = planCapture(input({ policy: { ...defaultPolicy, rungs: ['exec'] } }));

    expect(plan.rung).toBeUndefined();
    expect(plan.refusedRungs).toEqual({
      nodeAgent: 'PolicyForbids',
      ephemeralContainer: 'PolicyForbids',
      exec: 'ExecAgentNotPackaged',
    });
  });
});

describe('planCapture, directories', () => {
  function placesOf(container: Partial<ContainerFacts>) {
    const plan = planCapture(input({}, { container }));
    const directories = plan.heapDump.wanted ? plan.heapDump.directories : plan.heapDump.reason;
    const sizeLimits = plan.heapDump.wanted ? plan.heapDump.sizeLimits : undefined;
    return { directories, sizeLimits, refused: plan.refusedDirectories };
  }

  it('prefers emptyDir to other volumes, and these to /tmp of the image', () => {
    const { directories } = placesOf({
      volumeMounts: [
        mount('/host', { volumeType: 'hostPath' }),
        mount('/claim', { volumeType: 'persistentVolumeClaim' }),
        mount('/scratch'),
      ],
    });

    expect(directories).toEqual(['/scratch', '/host', '/claim', '/tmp']);
  });

  it('never takes memory, read-only or unknown volumes, and says so of each', () => {
    const { directories, refused } = placesOf({
      readOnlyRootFilesystem: true,
      volumeMounts: [
        mount('/memory', { volumeType: 'memory' }),
        mount('/fixed', { readOnly: true }),
        mount('/secret', { volumeType: 'other' }),
        mount('/shared', { volumeType: 'hostPath', subPath: 'a' }),
      ],
    });

    expect(directories).toBe('NoDumpDirectory');
    expect(refused).toEqual([
      { path: '/memory', reason: 'MemoryVolume' },
      { path: '/fixed', reason: 'ReadOnly' },
      { path: '/secret', reason: 'VolumeTypeUnknown' },
      { path: '/shared', reason: 'SubPath' },
      { path: '/tmp', reason: 'RootFilesystemReadOnly' },
    ]);
  });

  it('does not offer the image’s /tmp where a volume lies over it', () => {
    const { directories, refused } = placesOf({
      volumeMounts: [mount('/tmp/', { volumeType: 'memory' })],
    });

    expect(directories).toBe('NoDumpDirectory');
    expect(refused).toEqual([{ path: '/tmp/', reason: 'MemoryVolume' }]);
  });

  it('asks an emptyDir for a fifth more than the dump, to the byte, and tells the limit where it has less', () => {
    const needed = Math.ceil(gibibyte * 1.2);

    const enough = placesOf({ volumeMounts: [mount('/scratch', { sizeLimitBytes: needed })] });
    const less = placesOf({ volumeMounts: [mount('/scratch', { sizeLimitBytes: needed - 1 })] });

    expect([enough.directories, enough.sizeLimits]).toEqual([['/scratch', '/tmp'], undefined]);
    // The used heap may be far less than the estimate: the agent, which knows it, decides.
    expect(less.directories).toEqual(['/tmp', '/scratch']);
    expect(less.sizeLimits).toEqual({ '/scratch': gibibyte - 1 });
  });

  it('tells the ephemeral-storage limit of what counts to it, and takes these places last', () => {
    const { directories, sizeLimits } = placesOf({
      ephemeralStorageLimitBytes: 1_200,
      volumeMounts: [
        mount('/scratch', { sizeLimitBytes: 600 }),
        mount('/claim', { volumeType: 'persistentVolumeClaim' }),
      ],
    });

    expect(directories).toEqual(['/claim', '/scratch', '/tmp']);
    expect(sizeLimits).toEqual({ '/scratch': 500, '/tmp': 1_000 });
  });
});

describe('planCapture, parts', () => {
  function dumpOf(expectedBytes: number) {
    return planCapture(input({ decision: { artifacts: ['heapDump'], expectedBytes } })).heapDump;
  }

  it('makes URLs for a heap that does not compress, and some to spare', () => {
    expect(dumpOf(gibibyte)).toMatchObject({ partBytes: 5 * 1024 * 1024, partCount: 226 + 40 });
  });

  it('has larger parts where the numbers would not do, and always leaves one number free', () => {
    for (const expectedBytes of [60 * gibibyte, 100 * gibibyte, 500 * gibibyte]) {
      const dump = dumpOf(expectedBytes);

      expect(dump.wanted && dump.partCount < 10_000).toBe(true);
      if (!dump.wanted) throw new Error('no dump is planned');
      const sizes = { partCount: dump.partCount, firstBytes: dump.partBytes, expectedBytes };
      const parts = Array.from({ length: dump.partCount }, (_, n) => partBytesAt(n, sizes));
      expect(parts[0]).toBe(5 * 1024 * 1024);
      expect(parts.reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThan(expectedBytes);
    }
  });

  it('says when a dump is larger than any upload of ours', () => {
    expect(dumpOf(1_000 * gibibyte)).toEqual({ wanted: false, reason: 'DumpTooLarge' });
  });

  it('plans none where none is asked for', () => {
    const decision = { artifacts: ['threads'] as const, expectedBytes: 0 };

    expect(planCapture(input({ decision })).heapDump).toEqual({
      wanted: false,
      reason: 'NotAskedFor',
    });
  });
});
