import { describe, expect, it } from '@jest/globals';
import type { CgroupFacts, Limit } from '../../lib/agent/cgroup-limits.ts';
import { growthBytes, planWork, sizesOf } from '../../lib/agent/work-plan.ts';

const MiB = 1024 * 1024;
const order = {
  ...{ blockBytes: 2 * MiB, partBytes: 8 * MiB },
  ...{ partCount: 100, expectedBytes: 300 * MiB, segmented: false },
};

/** A container as it sees itself, of so many CPUs and so much memory. */
function container(cpuLimit: Limit, limitBytes: Limit = 'none', usedBytes = 0): CgroupFacts {
  return {
    ...{ version: 1, cpuCount: 2, complete: false },
    cpu: [{ path: '/', cpuLimit }],
    memory: [{ path: '/', limitBytes, usedBytes }],
  };
}
const free = container('none');

describe('the pace', () => {
  it.each([
    ['nodeAgent', container(1), 'overlap', 'own pod'],
    ['ephemeralContainer', free, 'overlap', 'a pod without CPU quota'],
    ['ephemeralContainer', container(1), 'heldBack', 'quota of 1 CPUs'],
    ['ephemeralContainer', container(undefined), 'niced', 'no CPU quota is known'],
    ['ephemeralContainer', undefined, 'niced', 'no CPU quota is known'],
    ['exec', free, 'niced', 'without CPU quota'],
    ['exec', container(0.5), 'heldBack', 'quota of 0.5 CPUs'],
  ] as const)('beside a JVM, on rung %s with %p, is %s: %s', (rung, jvm, pace, reason) => {
    expect(planWork({ rung, order, own: free, ...(jvm && { jvm }) })).toMatchObject({
      pace,
      paceReason: expect.stringContaining(reason),
    });
  });

  it('goes by the tightest quota above the JVM', () => {
    const jvm = { ...free, cpu: [...free.cpu, { path: '/pod', cpuLimit: 0.25 }] };

    expect(planWork({ rung: 'ephemeralContainer', order, own: free, jvm })).toMatchObject({
      paceReason: expect.stringContaining('0.25 CPUs'),
    });
  });

  it('is held back wherever no kill is expected', () => {
    const segmented = { ...order, segmented: true };

    expect(
      planWork({ rung: 'nodeAgent', order: segmented, own: free, mayWait: true }),
    ).toMatchObject({ pace: 'heldBack', paceReason: expect.stringContaining('no kill') });
  });

  it('is never held back from segments, which are gone with their merge', () => {
    const segmented = { ...order, segmented: true };
    const jvm = container(1);

    expect(
      planWork({ rung: 'ephemeralContainer', order: segmented, own: free, jvm }),
    ).toMatchObject({ pace: 'niced', paceReason: expect.stringContaining('segments cannot wait') });
  });
});

describe('the shape', () => {
  const small = sizesOf('small', order);
  const leastBytes = growthBytes(small, order) + 8 * MiB;

  function plan(headroomBytes: number, ownUsedBytes = 0) {
    return planWork({
      ...{ rung: 'ephemeralContainer', order },
      own: container('none', 'none', ownUsedBytes),
      jvm: container('none', 500 * MiB, 500 * MiB - headroomBytes - ownUsedBytes),
    });
  }

  it('is as ordered where there is room, or no limit', () => {
    expect(plan(100 * MiB)).toMatchObject({ shape: 'ordered', headroomBytes: 100 * MiB });
    expect(planWork({ rung: 'nodeAgent', order, own: free })).toMatchObject({ shape: 'ordered' });
  });

  it('is small where the ordered one would not fit, and says the numbers', () => {
    const ordered = growthBytes(sizesOf('ordered', order), order) + 8 * MiB;

    expect(plan(ordered)).toMatchObject({ shape: 'ordered' });
    expect(plan(ordered - 1)).toMatchObject({
      shape: 'small',
      shapeReason: `${ordered - 1} bytes of headroom for ${leastBytes}; the ticket's sizes do not fit`,
    });
    expect(plan(leastBytes, 30 * MiB)).toMatchObject({ shape: 'small' });
    expect(leastBytes).toBeLessThanOrEqual(32 * MiB);
  });

  it('is none where not even the small one fits: the agent must not be why the pod is OOM-killed', () => {
    const refusal = { neededBytes: leastBytes, headroomBytes: leastBytes - 1 };

    expect(plan(leastBytes - 1)).toEqual(refusal);
    expect(plan(leastBytes - 1, 30 * MiB)).toEqual(refusal);
  });

  it('goes by its own limit as a node agent, whatever the JVM has left', () => {
    const full = container('none', 500 * MiB, 500 * MiB);

    expect(planWork({ rung: 'nodeAgent', order, own: free, jvm: full })).toMatchObject({
      shape: 'ordered',
    });
    expect(planWork({ rung: 'nodeAgent', order, own: full, jvm: free })).toEqual({
      ...{ neededBytes: leastBytes, headroomBytes: 0 },
    });
  });

  it('keeps the parts as ordered where smaller ones could not hold the dump', () => {
    expect(small).toEqual({ blockBytes: 256 * 1024, partBytes: 5 * MiB, concurrentPuts: 1 });
    expect(sizesOf('small', { ...order, partCount: 60 }).partBytes).toBe(8 * MiB);
  });
});
