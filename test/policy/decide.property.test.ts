import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decide } from '../../lib/policy/decide.ts';
import type { DecisionInput } from '../../lib/policy/decision-facts.ts';
import { endCauses } from '../../lib/policy/end-of-life.ts';
import type { ContainerFacts, PodFacts } from '../../lib/policy/pod-facts.ts';
import {
  artifacts,
  endArtifacts,
  jvmArtifacts,
  podDeletionModes,
  policySchema,
  rungs,
  type Policy,
} from '../../lib/policy/policy.ts';
import { skipReasons } from '../../lib/policy/skip.ts';
import { signalReasons, signalSchema, type Signal } from '../../lib/signal/signal.ts';
import { container, now, pod } from './facts.ts';

/** Times around now, and what an API could give in place of one. */
const time = fc
  .integer({ min: -2_000, max: 2_000 })
  .map((seconds) => new Date(now.getTime() + seconds * 1000).toISOString());
const anyTime = fc.oneof(
  { weight: 9, arbitrary: time },
  fc.constantFrom('', 'soon', '0000-01-01T00:00:00Z'),
);
const seconds = fc.oneof(fc.integer({ min: 0, max: 120 }), fc.constantFrom(2_147_483_647));
const bytes = fc.oneof(fc.integer({ min: 0, max: 2 ** 34 }), fc.constant(Number.MAX_SAFE_INTEGER));
/** Valid inputs that fail at the first question would leave the later ones untested. */
const mostly = <T>(usual: T, rare: T): fc.Arbitrary<T> =>
  fc.oneof({ weight: 7, arbitrary: fc.constant(usual) }, fc.constant(rare));
const optionally = { requiredKeys: [] };

const anyContainer: fc.Arbitrary<ContainerFacts> = fc
  .record(
    {
      containerName: mostly('app', 'proxy'),
      containerID: mostly('containerd://aaaa', 'containerd://bbbb'),
      running: mostly(true, false),
      ready: mostly(true, false),
      restartCount: fc.nat(5),
      startedTime: fc.oneof({ weight: 5, arbitrary: fc.constant('2026-03-01T11:00:00Z') }, anyTime),
      memoryLimitBytes: bytes,
      livenessProbe: fc.record(
        {
          periodSeconds: seconds,
          timeoutSeconds: seconds,
          failureThreshold: seconds,
          initialDelaySeconds: seconds,
          terminationGracePeriodSeconds: seconds,
        },
        {
          requiredKeys: [
            'periodSeconds',
            'timeoutSeconds',
            'failureThreshold',
            'initialDelaySeconds',
          ],
        },
      ),
      preStopSeconds: seconds,
      volumeMounts: fc.constantFrom(
        [],
        [{ volumeName: 'v', mountPath: '/v', readOnly: false, volumeType: 'emptyDir' as const }],
      ),
      lastTermination: fc.record({ reason: fc.constant('Error'), exitCode: fc.nat(143) }),
      hasPreStop: fc.boolean(),
    },
    optionally,
  )
  .map((changes) => container(changes));

const anyPod: fc.Arbitrary<PodFacts> = fc
  .record(
    {
      podUid: mostly('uid-1', 'uid-2'),
      phase: mostly('Running' as const, 'Failed' as const),
      readyReplicaCount: fc.nat(5),
      ready: mostly(true, false),
      deletionTime: anyTime,
      deletionGracePeriodSeconds: seconds,
      terminationGracePeriodSeconds: seconds,
      containers: fc.array(anyContainer, { maxLength: 2 }),
    },
    optionally,
  )
  .map((changes) => pod(changes));

const anySignal: fc.Arbitrary<Signal> = fc
  .record(
    {
      schemaVersion: fc.constant(1),
      clusterName: fc.constant('prod'),
      namespace: fc.constant('shop'),
      podName: fc.constant('cart-7f-x'),
      podUid: fc.constant('uid-1'),
      containerName: mostly('app', 'proxy'),
      containerID: mostly('containerd://aaaa', 'containerd://bbbb'),
      reason: fc.constantFrom(...signalReasons),
      observedTime: time,
      expectedKillTime: time,
      numbers: fc.record({ failureCount: fc.nat(1_000_000_000) }, optionally),
      lastEnd: fc.record({ cause: fc.constantFrom(...endCauses), endTime: time }),
    },
    {
      requiredKeys: [
        'schemaVersion',
        'clusterName',
        'namespace',
        'podName',
        'reason',
        'observedTime',
      ],
    },
  )
  .map((signal) => signalSchema.parse(signal));

const anyPolicy: fc.Arbitrary<Policy> = fc
  .record({
    enabled: mostly(true, false),
    leftovers: mostly('collect', 'ignore'),
    triggers: fc.record({
      livenessFailureCount: fc.integer({ min: 1, max: 5 }),
      podDeletion: fc.constantFrom(...podDeletionModes),
    }),
    limits: fc.record({
      dumpsPerHourCount: fc.integer({ min: 1, max: 5 }),
      minReadyReplicaCount: fc.nat(3),
    }),
    evidence: fc.subarray([...artifacts], { minLength: 1 }),
    rungs: fc.subarray([...rungs], { minLength: 1 }),
    heapDump: fc.record({ skipMerge: fc.boolean() }),
  })
  .map((policy) => policySchema.parse(policy));

const anyInput: fc.Arbitrary<DecisionInput> = fc.record({
  signal: anySignal,
  pod: fc.option(anyPod, { nil: undefined, freq: 20 }),
  history: fc.record(
    {
      holderIdentity: fc.constant('another'),
      leaseExpireTime: anyTime,
      cooldownUntilTime: anyTime,
      acquireTimes: fc.array(anyTime, { maxLength: 6 }),
    },
    { requiredKeys: ['acquireTimes'] },
  ),
  policy: anyPolicy,
  now: fc.constant(now),
});

const settings = { numRuns: 2_000 };

describe('decide', () => {
  it('answers any valid input, the same each time, with a reason of the closed set', () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const decision = decide(input);

        expect(decide(structuredClone(input))).toEqual(decision);
        if (decision.decision === 'dump') return;
        expect(skipReasons).toContain(decision.reason);
        expect(decision.message).not.toMatch(/NaN|undefined|Invalid/);
      }),
      settings,
    );
  });

  it('dumps only the running container that the signal speaks of, of the pod it speaks of', () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const decision = decide(input);
        if (decision.decision === 'skip') return;
        const { signal, pod: facts, policy } = input;
        const chosen = facts!.containers.find(
          ({ containerName }) => containerName === decision.containerName,
        )!;

        expect(policy.enabled).toBe(true);
        expect(facts!.podUid).toBe(signal.podUid ?? facts!.podUid);
        expect(decision.captureId).toMatch(/^[a-z0-9]{16,40}$/);
        if (decision.source === 'record') {
          expect(decision.artifacts).toEqual(
            decision.artifacts.filter((artifact) => artifact === 'previousLog'),
          );
          return;
        }
        expect(chosen.running).toBe(true);
        expect(decision.containerID).toBe(chosen.containerID);
        // What an ended life left is collected from the one after it.
        if (decision.source === 'leftover') {
          expect(decision.containerID).not.toBe(signal.containerID);
          const left = new Set<string>(['heapDump', ...endArtifacts]);
          expect(decision.artifacts.filter((artifact) => !left.has(artifact))).toEqual([]);
          expect(policy.evidence).toEqual(expect.arrayContaining(decision.artifacts));
          return;
        }
        expect(decision.containerID).toBe(signal.containerID ?? chosen.containerID);
        expect(decision.artifacts).toEqual(
          jvmArtifacts.filter((artifact) => policy.evidence.includes(artifact)),
        );
        expect(decision.note ?? '').not.toMatch(/NaN|undefined/);
        expect(signalSchema.shape.expectedKillTime.safeParse(decision.deadlineTime).success).toBe(
          true,
        );
      }),
      settings,
    );
  });

  it('never turns a dump into a skip when a limit or a trigger is loosened', () => {
    const loosenings: ((input: DecisionInput) => DecisionInput)[] = [
      (input) => withPolicy(input, { enabled: true }),
      (input) =>
        withPolicy(input, {
          triggers: {
            ...input.policy.triggers,
            livenessFailureCount: Math.max(1, input.policy.triggers.livenessFailureCount - 1),
          },
        }),
      (input) =>
        withPolicy(input, {
          triggers: {
            ...input.policy.triggers,
            podDeletion: input.policy.triggers.podDeletion === 'never' ? 'unhealthy' : 'always',
          },
        }),
      (input) => withLimits(input, { cooldownSeconds: 0 }),
      (input) =>
        withLimits(input, { dumpsPerHourCount: input.policy.limits.dumpsPerHourCount + 1 }),
      (input) => withLimits(input, { nodeSlotCount: 10, clusterSlotCount: 50 }),
      (input) =>
        withLimits(input, {
          minReadyReplicaCount: Math.max(0, input.policy.limits.minReadyReplicaCount - 1),
        }),
      (input) => ({ ...input, history: { acquireTimes: input.history.acquireTimes.slice(1) } }),
    ];
    fc.assert(
      fc.property(anyInput, fc.constantFrom(...loosenings), (input, loosen) => {
        if (decide(input).decision === 'dump') {
          expect(decide(loosen(input)).decision).toBe('dump');
        }
      }),
      settings,
    );
  });

  it('is reached by its property tests: they see dumps and most of the skips', () => {
    const seen = new Set(
      fc
        .sample(anyInput, { numRuns: 5_000, seed: 2 })
        .map(decide)
        .map((decision) => (decision.decision === 'dump' ? 'dump' : decision.reason)),
    );

    expect(seen).toContain('dump');
    expect(skipReasons.filter((reason) => !seen.has(reason))).toEqual(['AlreadyCaptured']);
  });
});

function withPolicy(input: DecisionInput, changes: Partial<Policy>): DecisionInput {
  return { ...input, policy: { ...input.policy, ...changes } };
}

function withLimits(input: DecisionInput, changes: Partial<Policy['limits']>): DecisionInput {
  return withPolicy(input, { limits: { ...input.policy.limits, ...changes } });
}
