import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CaptureError } from '../../lib/errors.ts';
import { policySchema } from '../../lib/policy/policy.ts';
import { defaultPolicy, readPolicy, resolvePolicy } from '../../lib/policy/resolve.ts';

const ours = (settings: Record<string, string>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(settings).map(([key, value]) => [`heapcatch.dev/${key}`, value]),
  );

describe('resolvePolicy', () => {
  it('is the default without annotations of ours', () => {
    expect(resolvePolicy({})).toEqual(defaultPolicy);
    expect(resolvePolicy({ 'prometheus.io/scrape': 'nonsense', heapcatch: 'x' })).toEqual(
      defaultPolicy,
    );
  });

  it('takes every setting', () => {
    const annotations = ours({
      enabled: 'false',
      'on-delete': 'always',
      watch: '0',
      leftovers: 'ignore',
      'liveness-failures': '3',
      'heap-near-limit': '80',
      'gc-storm': '40',
      'cgroup-near-limit': 'off',
      cooldown: '10m',
      'dumps-per-hour': '60',
      'node-slots': '2',
      'cluster-slots': '50',
      'min-ready': '0',
      'capture-deadline': '90s',
      evidence: 'threads, heapDump',
      rungs: 'exec',
      redact: 'allPrimitives',
      encrypt: 'true',
      'skip-merge': 'true',
      'relay-max-mebibytes': '512',
      retention: '30d',
    });

    expect(resolvePolicy(annotations)).toEqual({
      enabled: false,
      triggers: {
        livenessFailureCount: 3,
        podDeletion: 'always',
        heapNearLimit: [{ metric: 'heapAfterGcPercent', above: 80, forSeconds: 10 }],
        gcStorm: [{ metric: 'gcTimePercent', above: 40, forSeconds: 5, windowSeconds: 20 }],
        cgroupNearLimit: [],
        watchSeconds: 0,
      },
      leftovers: 'ignore',
      limits: {
        cooldownSeconds: 600,
        dumpsPerHourCount: 60,
        nodeSlotCount: 2,
        clusterSlotCount: 50,
        minReadyReplicaCount: 0,
        captureDeadlineSeconds: 90,
      },
      evidence: ['threads', 'heapDump'],
      rungs: ['exec'],
      redact: 'allPrimitives',
      encrypt: true,
      retentionDays: 30,
      heapDump: { skipMerge: true, relayMaxMebibytes: 512 },
    });
  });

  it.each([
    ['0', 0],
    ['90', 90],
    ['90s', 90],
    ['10m', 600],
    ['24h', 86_400],
    [' 1h ', 3_600],
  ])('reads a duration of %j as %i s', (cooldown, seconds) => {
    expect(resolvePolicy(ours({ cooldown })).limits.cooldownSeconds).toBe(seconds);
  });

  it.each([
    ['enabled', 'yes'],
    ['enabled', ''],
    ['on-delete', 'sometimes'],
    ['leftovers', 'keep'],
    ['liveness-failures', '0'],
    ['liveness-failures', '101'],
    ['liveness-failures', '2.5'],
    ['liveness-failures', '1e1'],
    ['heap-near-limit', '0'],
    ['gc-storm', '101'],
    ['cgroup-near-limit', 'never'],
    ['cooldown', '-1'],
    ['cooldown', '25h'],
    ['cooldown', '10 m'],
    ['cooldown', '10d'],
    ['cooldown', 'Infinity'],
    ['dumps-per-hour', '61'],
    ['node-slots', '11'],
    ['cluster-slots', '51'],
    ['min-ready', '1001'],
    ['capture-deadline', '9'],
    ['capture-deadline', '61m'],
    ['evidence', ''],
    ['evidence', 'threads,threads'],
    ['evidence', 'coreDump'],
    ['rungs', 'nodeAgent,'],
    ['rungs', 'kubectl'],
    ['redact', 'strings'],
    ['redact', ''],
    ['encrypt', 'yes'],
    ['skip-merge', 'yes'],
    ['retention', '30'],
    ['retention', '8d'],
    ['cooldown', '9'.repeat(10_000_000)],
  ])('names the annotation %s, its value and what is accepted', (name, value) => {
    let message = '';
    try {
      resolvePolicy(ours({ [name]: value }));
    } catch (error) {
      expect(error).toMatchObject({ code: 'InvalidPolicy', retryable: false });
      message = error instanceof CaptureError ? error.message : '';
    }

    expect(message).toContain(
      `heapcatch.dev/${name} is ${JSON.stringify(value.slice(0, 100)).slice(0, -1)}`,
    );
    expect(message).toContain('accepted is');
    expect(message.length).toBeLessThan(1_000);
  });

  it('says each range as the schema has it', () => {
    for (const name of ['liveness-failures', 'cooldown', 'dumps-per-hour', 'capture-deadline']) {
      const said = /accepted is \D*(\d+) to (\d+)/.exec(messageOf({ [name]: 'x' }))!;
      const [low, high] = [Number(said[1]), Number(said[2])];

      for (const value of [low, high]) resolvePolicy(ours({ [name]: String(value) }));
      for (const value of [low - 1, high + 1]) {
        expect(() => resolvePolicy(ours({ [name]: String(value) }))).toThrow(CaptureError);
      }
    }
  });

  it('takes an unknown annotation of ours for a typo', () => {
    expect(messageOf({ 'cool-down': '10m' })).toMatch(
      /"heapcatch.dev\/cool-down" is not known, accepted are .*cooldown/,
    );
    expect(messageOf({ constructor: 'x' })).toContain('is not known');
  });

  it('gathers all faults, and shows at most twenty', () => {
    const message = messageOf({ enabled: 'x', cooldown: 'y', rungs: 'z', colour: 'red' });

    for (const name of ['enabled', 'cooldown', 'rungs', 'colour']) expect(message).toContain(name);
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`x${index}`, '']));
    expect(messageOf(many)).toMatch(/; and 480 more$/);
  });

  it('gives a valid policy or InvalidPolicy for any annotations', () => {
    const key = fc.oneof(
      fc.string().map((name) => `heapcatch.dev/${name}`),
      fc
        .constantFrom('enabled', 'cooldown', 'evidence', 'rungs', '__proto__')
        .map((name) => `heapcatch.dev/${name}`),
      fc.string(),
    );
    const value = fc.oneof(fc.string(), fc.constantFrom('true', '10m', 'threads', 'exec', '7'));
    fc.assert(
      fc.property(fc.dictionary(key, value), (annotations) => {
        const { policy: lenient } = readPolicy(annotations);
        expect(policySchema.parse(lenient)).toEqual(lenient);
        try {
          const policy = resolvePolicy(annotations);
          expect(policySchema.parse(policy)).toEqual(policy);
        } catch (error) {
          expect(error).toHaveProperty('code', 'InvalidPolicy');
        }
      }),
    );
  });
});

describe('readPolicy', () => {
  it('keeps each valid setting beside faulty ones, and tells of those', () => {
    const { policy, faults } = readPolicy(
      ours({ cooldwon: '1h', cooldown: '20m', evidence: 'threads', 'dumps-per-hour': 'many' }),
    );

    expect(policy.limits).toEqual({ ...defaultPolicy.limits, cooldownSeconds: 1_200 });
    expect(policy.evidence).toEqual(['threads']);
    expect(faults).toHaveLength(2);
  });
});

function messageOf(settings: Record<string, string>): string {
  try {
    resolvePolicy(ours(settings));
  } catch (error) {
    if (error instanceof CaptureError) return error.message;
  }
  throw new Error('expected InvalidPolicy');
}
