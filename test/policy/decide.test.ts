import { describe, expect, it } from '@jest/globals';
import { decide } from '../../lib/policy/decide.ts';
import type { DecisionInput } from '../../lib/policy/decision-facts.ts';
import type { PodFacts } from '../../lib/policy/pod-facts.ts';
import { policySchema, type Policy } from '../../lib/policy/policy.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import { skipReasons, type SkipReason } from '../../lib/policy/skip.ts';
import type { Signal } from '../../lib/signal/signal.ts';
import { container, noHistory, now, observedTime, pod, signal } from './facts.ts';

const gibibyte = 1024 ** 3;
const decided = (changes: Partial<DecisionInput> = {}) =>
  decide({
    signal: signal(),
    pod: pod(),
    history: noHistory,
    policy: defaultPolicy,
    now,
    ...changes,
  });
const outcome = (changes: Partial<DecisionInput> = {}): SkipReason | 'dump' => {
  const decision = decided(changes);
  return decision.decision === 'dump' ? 'dump' : decision.reason;
};
const triggers = (changes: Partial<Policy['triggers']>): Policy => ({
  ...defaultPolicy,
  triggers: { ...defaultPolicy.triggers, ...changes },
});
const limits = (changes: Partial<Policy['limits']>): Policy => ({
  ...defaultPolicy,
  limits: { ...defaultPolicy.limits, ...changes },
});
const at = (seconds: number): string => new Date(now.getTime() + seconds * 1000).toISOString();

// Six failures are needed for a kill, so that no deadline is near in the rows of the table.
const patient = pod({
  containers: [
    container({
      livenessProbe: {
        periodSeconds: 10,
        timeoutSeconds: 1,
        failureThreshold: 6,
        initialDelaySeconds: 0,
      },
    }),
  ],
});
const deleted: PodFacts = { ...patient, deletionTime: at(29), deletionGracePeriodSeconds: 30 };
const unready = { ...deleted, ready: false };
const unreadyContainer = { ...deleted, containers: [container({ ready: false })] };
const failures = (failureCount: number) => signal({ numbers: { failureCount } });
const reported = (reason: Signal['reason']) => signal({ reason, numbers: {} });

interface Sample {
  signal: Signal;
  pod: PodFacts;
}
const samples = {
  'first failure': { signal: failures(1), pod: patient },
  'second failure': { signal: failures(2), pod: patient },
  'third failure': { signal: failures(3), pod: patient },
  'a failure without a number': { signal: reported('LivenessProbeFailing'), pod: patient },
  'a probe kill': { signal: reported('ContainerKilling'), pod: patient },
  'a kill in a deletion': { signal: reported('ContainerKilling'), pod: deleted },
  'a kill in the deletion of an unready pod': {
    signal: reported('ContainerKilling'),
    pod: unready,
  },
  'a deletion': { signal: reported('PodDeleting'), pod: deleted },
  'the deletion of an unready pod': { signal: reported('PodDeleting'), pod: unready },
  'a deletion with an unready container': {
    signal: reported('PodDeleting'),
    pod: unreadyContainer,
  },
  'a deletion amid failures': {
    signal: signal({ reason: 'PodDeleting', numbers: { failureCount: 1 } }),
    pod: deleted,
  },
  'a request': { signal: reported('Manual'), pod: patient },
  'a request in a deletion': { signal: reported('Manual'), pod: deleted },
  'a GC limit': { signal: reported('GcLimitCrossed'), pod: patient },
  'a GC limit in a deletion': { signal: reported('GcLimitCrossed'), pod: deleted },
  'a heap near its limit': { signal: reported('HeapNearLimit'), pod: patient },
  'a GC storm in a deletion': { signal: reported('GcStorm'), pod: deleted },
  'a cgroup near its limit': { signal: reported('CgroupNearLimit'), pod: patient },
  readiness: { signal: reported('ReadinessProbeFailing'), pod: patient },
  startup: { signal: reported('StartupProbeFailing'), pod: patient },
  'an end': { signal: reported('ContainerTerminated'), pod: patient },
} satisfies Record<string, Sample>;
type SampleName = keyof typeof samples;

const settings = {
  'one failure, no deletion': triggers({ livenessFailureCount: 1, podDeletion: 'never' }),
  'two failures, unhealthy deletions': defaultPolicy,
  'three failures, all deletions': triggers({ livenessFailureCount: 3, podDeletion: 'always' }),
  disabled: { ...defaultPolicy, enabled: false },
} satisfies Record<string, Policy>;
const settingNames = Object.keys(settings) as (keyof typeof settings)[];

const below = 'BelowFailureThreshold';
const healthy = 'DeletedHealthy';
const unwanted = 'DeletionNotWanted';
const off = 'PolicyDisabled';
/** The answer for each sample under each of the settings, in their order. */
const table: Record<SampleName, readonly (SkipReason | 'dump')[]> = {
  'first failure': ['dump', below, below, off],
  'second failure': ['dump', 'dump', below, off],
  'third failure': ['dump', 'dump', 'dump', off],
  'a failure without a number': ['dump', below, below, off],
  'a probe kill': ['dump', 'dump', 'dump', off],
  'a kill in a deletion': [unwanted, healthy, 'dump', off],
  'a kill in the deletion of an unready pod': [unwanted, 'dump', 'dump', off],
  'a deletion': [unwanted, healthy, 'dump', off],
  'the deletion of an unready pod': [unwanted, 'dump', 'dump', off],
  'a deletion with an unready container': [unwanted, 'dump', 'dump', off],
  'a deletion amid failures': [unwanted, 'dump', 'dump', off],
  'a request': ['dump', 'dump', 'dump', off],
  'a request in a deletion': ['dump', 'dump', 'dump', off],
  'a GC limit': ['dump', 'dump', 'dump', off],
  'a GC limit in a deletion': ['dump', 'dump', 'dump', off],
  'a heap near its limit': ['dump', 'dump', 'dump', off],
  'a GC storm in a deletion': ['dump', 'dump', 'dump', off],
  'a cgroup near its limit': ['dump', 'dump', 'dump', off],
  readiness: Array.from({ length: 3 }, () => 'ReadinessProbeFailing' as const).concat(off as never),
  startup: Array.from({ length: 3 }, () => 'StartupProbeFailing' as const).concat(off as never),
  'an end': Array.from({ length: 3 }, () => 'HeapAlreadyGone' as const).concat(off as never),
};

describe('the triggers', () => {
  for (const name of Object.keys(table) as SampleName[]) {
    it.each(settingNames.map((setting, index) => [setting, table[name][index]] as const))(
      `answer ${name} under "%s" with %s and nothing else`,
      (setting, expected) => {
        const answer = outcome({ ...samples[name], policy: settings[setting] });

        for (const asked of ['dump', ...skipReasons]) {
          expect(answer === asked).toBe(asked === expected);
        }
      },
    );
  }
});

describe('a dump', () => {
  it('names what to collect, of whom, how much, and until when', () => {
    expect(decided()).toEqual({
      decision: 'dump',
      containerName: 'app',
      containerID: 'containerd://aaaa',
      captureId: expect.stringMatching(/^[a-z0-9]{16,40}$/),
      artifacts: [
        ...['processFacts', 'heapInfo', 'threads', 'nativeMemory'],
        ...['classHistogram', 'heapDump'],
      ],
      expectedBytes: Math.ceil(1.4 * 512 * 1024 ** 2),
      // One failure is left, 10 s away, and then 30 s of grace.
      deadlineTime: '2026-03-01T12:00:40.000Z',
    });
  });

  it('collects what the policy asks for, cheapest first', () => {
    const policy: Policy = { ...defaultPolicy, evidence: ['threads', 'heapInfo'] };

    expect(decided({ policy })).toMatchObject({
      artifacts: ['heapInfo', 'threads'],
      expectedBytes: 0,
    });
  });

  it('is tried with a note when the time is too short for the whole heap', () => {
    const large = pod({
      deletionTime: at(5),
      deletionGracePeriodSeconds: 30,
      ready: false,
      containers: [container({ memoryLimitBytes: 8 * gibibyte })],
    });

    const decision = decided({ signal: reported('PodDeleting'), pod: large });

    expect(decision).toMatchObject({
      decision: 'dump',
      note: expect.stringMatching(/^5 s are left and the heap dump may need 116 s/),
    });
  });

  it('needs no note when no heap dump is wanted', () => {
    const policy: Policy = { ...defaultPolicy, evidence: ['threads'] };
    const short = { ...unready, deletionTime: at(2) };

    expect(decided({ signal: reported('PodDeleting'), pod: short, policy })).not.toHaveProperty(
      'note',
    );
  });

  it('comes before the wanted failure when the next one could be too late', () => {
    const policy = triggers({ livenessFailureCount: 3 });

    expect(outcome({ policy, signal: failures(1) })).toBe(below);
    // The third failure is the kill: after it no agent could start any more.
    expect(outcome({ policy, signal: failures(2) })).toBe('dump');
  });

  it('comes at the first failure when the heap is too large for the time after the second', () => {
    // 2 periods of 10 s and 30 s of grace, less the next period: 39 s for 100 MiB/s.
    const sized = (memoryLimitBytes: number) =>
      outcome({
        signal: failures(1),
        pod: pod({ containers: [container({ memoryLimitBytes })] }),
      });

    expect(sized(2 * gibibyte)).toBe(below);
    expect(sized(3 * gibibyte)).toBe('dump');
  });

  it('waits for the wanted failure when preStop leaves an agent on the node time to start', () => {
    const held = pod({ containers: [container({ hasPreStop: true, preStopSeconds: 15 })] });
    const policy = triggers({ livenessFailureCount: 3 });

    expect(outcome({ signal: failures(2), pod: held, policy })).toBe(below);
    expect(
      outcome({
        signal: failures(2),
        pod: held,
        policy: { ...policy, rungs: ['ephemeralContainer'] },
      }),
    ).toBe('dump');
  });

  it('of a request takes the only container', () => {
    const unnamed: Signal = { ...unnamedSignal(), reason: 'Manual' };

    expect(decided({ signal: unnamed })).toMatchObject({ containerName: 'app' });
  });
});

describe('identity', () => {
  const two = pod({ containers: [container(), container({ containerName: 'proxy' })] });
  const unnamed = unnamedSignal();

  it.each<[SkipReason | 'dump', Partial<DecisionInput>]>([
    ['PodNotFound', { pod: undefined }],
    ['PodReplaced', { pod: pod({ podUid: 'uid-2' }) }],
    ['ContainerAmbiguous', { signal: unnamed, pod: two }],
    ['dump', { pod: two }],
    ['ContainerNotFound', { signal: signal({ containerName: 'proxy' }) }],
    ['ContainerNotFound', { signal: unnamed, pod: pod({ containers: [] }) }],
    ['ContainerRestarted', { signal: signal({ containerID: 'containerd://bbbb' }) }],
    ['ContainerRestarted', { pod: pod({ containers: [container({ startedTime: at(0) })] }) }],
    ['dump', { pod: pod({ containers: [container({ startedTime: observedTime })] }) }],
    ['ContainerNotRunning', { pod: pod({ containers: [container({ running: false })] }) }],
    ['ContainerNotRunning', neverStarted()],
  ])('leads to %s', (expected, changes) => {
    expect(outcome(changes)).toBe(expected);
  });

  it('holds for a request by hand as well', () => {
    const asked = signal({ reason: 'Manual' });

    expect(outcome({ signal: asked, pod: pod({ podUid: 'uid-2' }) })).toBe('PodReplaced');
    expect(outcome({ signal: { ...unnamed, reason: 'Manual' }, pod: two })).toBe(
      'ContainerAmbiguous',
    );
  });

  it('lists the containers that could be named', () => {
    expect(decided({ signal: unnamed, pod: two })).toMatchObject({
      message: expect.stringContaining('app, proxy'),
    });
  });
});

/** Names neither a container nor its ID. */
function unnamedSignal(): Signal {
  const { containerName, containerID, ...unnamed } = signal();
  expect([containerName, containerID]).toEqual(['app', 'containerd://aaaa']);
  return unnamed;
}

function neverStarted(): Partial<DecisionInput> {
  const { containerID, ...facts } = container({ running: false });
  expect(containerID).toBe('containerd://aaaa');
  return { pod: pod({ containers: [facts] }), signal: unnamedSignal() };
}

describe('the age of a signal', () => {
  it.each<[number, SkipReason | 'dump']>([
    [900, 'dump'],
    [901, 'SignalTooOld'],
    [-300, 'dump'],
    [-301, 'SignalTooOld'],
  ])('of %i s leads to %s', (ageSeconds, expected) => {
    const asked = signal({ reason: 'Manual', observedTime: at(-ageSeconds) });

    expect(outcome({ signal: asked })).toBe(expected);
  });
});

describe('the deadline', () => {
  it.each<[number, SkipReason | 'dump']>([
    [1, 'dump'],
    [0.5, 'TooLate'],
    [-10, 'TooLate'],
  ])('of a deletion in %f s leads to %s', (seconds, expected) => {
    const late = { ...unready, deletionTime: at(seconds), deletionGracePeriodSeconds: 60 };

    expect(outcome({ signal: reported('PodDeleting'), pod: late })).toBe(expected);
  });

  it('is passed for an ephemeral container as soon as the kubelet kills', () => {
    const policy: Policy = { ...defaultPolicy, rungs: ['ephemeralContainer'] };

    expect(outcome({ signal: reported('ContainerKilling'), policy })).toBe('TooLate');
    expect(outcome({ signal: reported('PodDeleting'), pod: unready, policy })).toBe('TooLate');
    expect(outcome({ policy })).toBe('dump');
  });

  it('was wrong when its time has passed and the container still runs', () => {
    const past = signal({ observedTime: at(-120), numbers: { failureCount: 3 } });

    const decision = decided({ signal: past });

    expect(decision.decision).toBe('dump');
    expect(decision).not.toHaveProperty('deadlineTime');
  });

  it.each([
    ['Manual', patient, true],
    ['AlertFiring', patient, true],
    ['AlertFiring', deleted, undefined],
    // Nobody can tell when a heap or a cgroup near its limit ends the JVM.
    ['GcStorm', patient, undefined],
  ] as const)(
    '%s lets the dump wait for the JVM only where none is expected',
    (reason, pod, mayWait) => {
      const decision = decided({ signal: reported(reason), pod });

      expect(decision.decision).toBe('dump');
      expect('mayWait' in decision ? decision.mayWait : undefined).toBe(mayWait);
    },
  );

  it('is the one of the signal where the facts tell none', () => {
    const { livenessProbe, ...unprobed } = container();
    const changes = {
      pod: pod({ containers: [unprobed] }),
      signal: signal({ expectedKillTime: at(20) }),
    };

    expect(livenessProbe).toBeDefined();
    expect(decided(changes)).toMatchObject({ decision: 'dump', deadlineTime: at(20) });
  });
});

describe('the limits', () => {
  const held = { holderIdentity: 'other', leaseExpireTime: at(1), acquireTimes: [] };

  it.each<[SkipReason | 'dump', Partial<DecisionInput>]>([
    ['LockHeld', { history: held }],
    ['dump', { history: { ...held, leaseExpireTime: at(0) } }],
    ['Cooldown', { history: { cooldownUntilTime: at(1), acquireTimes: [] } }],
    ['dump', { history: { cooldownUntilTime: at(0), acquireTimes: [] } }],
    ['RateLimited', { history: { acquireTimes: [at(-3599), at(-40), at(-30), at(-20)] } }],
    ['dump', { history: { acquireTimes: [at(-3601), at(-40), at(-30), at(-20)] } }],
    ['TooFewReadyReplicas', { policy: limits({ minReadyReplicaCount: 3 }) }],
    ['dump', { policy: limits({ minReadyReplicaCount: 2 }) }],
    ['dump', { policy: limits({ minReadyReplicaCount: 3 }), pod: pod({ ready: false }) }],
  ])('lead to %s', (expected, changes) => {
    expect(outcome(changes)).toBe(expected);
    const asked = { ...changes, signal: signal({ reason: 'Manual' }) };
    expect(outcome(asked)).toBe(expected);
  });

  it('know their own capture when it holds the lock', () => {
    const first = decided();
    const holderIdentity = first.decision === 'dump' ? first.captureId : '';

    expect(outcome({ history: { ...held, holderIdentity } })).toBe('AlreadyCaptured');
  });

  it('refuse while the number of ready replicas is not known', () => {
    const { readyReplicaCount, ...unknown } = pod();
    const policy = limits({ minReadyReplicaCount: 1 });

    expect(readyReplicaCount).toBe(3);
    expect(outcome({ pod: unknown, policy })).toBe('TooFewReadyReplicas');
    expect(outcome({ pod: unknown })).toBe('dump');
  });
});

it('every policy that the schema makes from nothing is the default', () => {
  expect(policySchema.parse({})).toEqual(defaultPolicy);
});
