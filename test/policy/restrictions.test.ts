import { describe, expect, it } from '@jest/globals';
import { artifacts, type Policy } from '../../lib/policy/policy.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import { withPodRestrictions } from '../../lib/policy/restrictions.ts';

function restricted(policy: Partial<Policy>, name: string, asked: string | undefined): Policy {
  const annotations = asked === undefined ? {} : { [`heapcatch.dev/${name}`]: asked };
  return withPodRestrictions({ ...defaultPolicy, ...policy }, annotations);
}

const allButDump = artifacts.filter((artifact) => artifact !== 'heapDump');

describe('withPodRestrictions', () => {
  it.each([
    ['none', undefined, 'none'],
    ['none', 'primitiveArrays', 'primitiveArrays'],
    ['none', ' allPrimitives ', 'allPrimitives'],
    ['primitiveArrays', undefined, 'primitiveArrays'],
    ['primitiveArrays', 'none', 'primitiveArrays'],
    ['primitiveArrays', 'allPrimitives', 'allPrimitives'],
    ['allPrimitives', 'primitiveArrays', 'allPrimitives'],
    ['none', 'primitivArrays', 'allPrimitives'],
    ['none', '', 'allPrimitives'],
  ] as const)('redacts with %s in a policy and %j on the pod: %s', (redact, asked, wanted) => {
    expect(restricted({ redact }, 'redact', asked)).toEqual({ ...defaultPolicy, redact: wanted });
  });

  it.each([
    [100, undefined, 100],
    [100, '50', 50],
    [50, '100', 50],
    [0, '100', 0],
    [100, 'much', 0],
  ])('of a relay of %i MiB in a policy and %j on the pod allows %i', (allowed, asked, wanted) => {
    const heapDump = { ...defaultPolicy.heapDump, relayMaxMebibytes: allowed };

    const { heapDump: result } = restricted({ heapDump }, 'relay-max-mebibytes', asked);

    expect(result).toEqual({ skipMerge: false, relayMaxMebibytes: wanted });
  });

  it.each([
    [artifacts, undefined, artifacts],
    [artifacts, 'threads,heapInfo', ['heapInfo', 'threads']],
    [['threads', 'heapDump'], 'heapInfo,threads', ['threads']],
    [['heapDump'], 'threads', ['threads']],
    [artifacts, 'threads, heapdump', ['threads']],
    [artifacts, 'no dumps!', allButDump],
  ] as const)('collects of %j with %j on the pod: %j', (evidence, asked, wanted) => {
    expect(restricted({ evidence: [...evidence] }, 'evidence', asked).evidence).toEqual(wanted);
  });

  it.each([
    [['exec'], undefined, ['exec']],
    [['nodeAgent', 'ephemeralContainer'], 'nodeAgent', ['nodeAgent']],
    [['nodeAgent', 'exec'], 'all', ['nodeAgent']],
    [['nodeAgent'], 'exec', ['exec']],
  ] as const)('uses of the rungs %j with %j on the pod: %j', (rungs, asked, wanted) => {
    expect(restricted({ rungs: [...rungs] }, 'rungs', asked).rungs).toEqual(wanted);
  });

  it.each([
    ['true', true],
    ['false', false],
    ['no', false],
  ])('lets "enabled: %s" on the pod say %s', (asked, enabled) => {
    expect(restricted({}, 'enabled', asked).enabled).toBe(enabled);
  });

  it.each([
    [false, undefined, false],
    [false, 'true', true],
    [true, 'false', true],
    [false, 'ture', true],
    [false, '', true],
  ])('encrypts with %s in a policy and %j on the pod: %s', (encrypt, asked, wanted) => {
    expect(restricted({ encrypt }, 'encrypt', asked).encrypt).toBe(wanted);
  });

  it.each([
    ['collect', 'collect'],
    ['ignore', 'ignore'],
    ['leave', 'ignore'],
  ])('lets "leftovers: %s" on the pod say %s', (asked, leftovers) => {
    expect(restricted({}, 'leftovers', asked).leftovers).toBe(leftovers);
  });

  it.each([
    [undefined, undefined, undefined],
    [undefined, '7d', 7],
    [30, undefined, 30],
    [30, '7d', 7],
    [7, '30d', 7],
    [7, 'a week', 7],
  ] as const)('keeps with %s days in a policy and %j on the pod: %s', (days, asked, wanted) => {
    const policy = days === undefined ? {} : { retentionDays: days };
    expect(restricted(policy, 'retention', asked).retentionDays).toBe(wanted);
  });

  it('lifts nothing that the policy forbids', () => {
    const forbidding = { enabled: false, leftovers: 'ignore' } as const;

    const policy = withPodRestrictions({ ...defaultPolicy, ...forbidding }, {});

    expect(policy).toEqual({ ...defaultPolicy, ...forbidding });
  });
});
