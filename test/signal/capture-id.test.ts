import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { captureIdOf } from '../../lib/signal/capture-id.ts';
import { signalReasons } from '../../lib/signal/signal.ts';

const trouble = {
  clusterName: 'prod',
  podUid: 'uid-1',
  containerName: 'app',
  containerID: 'containerd://aaaa',
  reason: 'LivenessProbeFailing',
  observedTime: '2026-03-01T12:00:00Z',
} as const;

describe('captureId', () => {
  it('is 32 of a-z and 2-7, the same for the same', () => {
    expect(captureIdOf(trouble)).toMatch(/^[a-z2-7]{32}$/);
    expect(captureIdOf({ ...trouble })).toBe(captureIdOf(trouble));
  });

  it('is one for failing probes, killing and deletion of one life within ten minutes', () => {
    const ids = [
      captureIdOf(trouble),
      captureIdOf({ ...trouble, observedTime: '2026-03-01T12:09:59.999Z' }),
      captureIdOf({ ...trouble, observedTime: '2026-03-01T13:00:10+01:00' }),
      captureIdOf({ ...trouble, reason: 'ContainerKilling' }),
      captureIdOf({ ...trouble, reason: 'PodDeleting' }),
    ];

    expect(new Set(ids).size).toBe(1);
  });

  it('is one for the end of a life, whenever it is told, and none of its troubles', () => {
    const end = { ...trouble, reason: 'ContainerTerminated' } as const;

    expect(captureIdOf({ ...end, observedTime: '2026-03-01T14:00:00Z' })).toBe(captureIdOf(end));
    expect(captureIdOf(end)).not.toBe(captureIdOf(trouble));
    expect(captureIdOf({ ...end, containerID: 'containerd://bbbb' })).not.toBe(captureIdOf(end));
  });

  it('differs on both sides of a boundary, where the cooldown takes over', () => {
    const before = captureIdOf({ ...trouble, observedTime: '2026-03-01T12:09:59Z' });
    const after = captureIdOf({ ...trouble, observedTime: '2026-03-01T12:10:00Z' });

    expect(before).not.toBe(after);
  });

  it.each([
    { clusterName: 'test' },
    { podUid: 'uid-2' },
    { containerName: 'sidecar' },
    { containerID: 'containerd://bbbb' },
    { reason: 'Manual' as const },
  ])('differs with %j', (change) => {
    expect(captureIdOf({ ...trouble, ...change })).not.toBe(captureIdOf(trouble));
  });

  it('is one for requests by hand within a minute, another in the next', () => {
    const manual = { ...trouble, reason: 'Manual' } as const;
    const at = (observedTime: string): string => captureIdOf({ ...manual, observedTime });

    expect(at('2026-03-01T12:00:59Z')).toBe(at('2026-03-01T12:00:00Z'));
    expect(at('2026-03-01T12:01:00Z')).not.toBe(at('2026-03-01T12:00:00Z'));
  });

  it('does not confuse names that run into each other', () => {
    const name = fc.string({ unit: fc.constantFrom('a', '"', ',', '\\', '/') });
    fc.assert(
      fc.property(fc.tuple(name, name), fc.tuple(name, name), (one, other) => {
        const [a, b] = [one, other].map(([clusterName, podUid]) =>
          captureIdOf({ ...trouble, clusterName, podUid }),
        );

        expect(a === b).toBe(one[0] === other[0] && one[1] === other[1]);
      }),
    );
  });

  it('has the accepted form for any reason and time', () => {
    const anyTime = fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
    fc.assert(
      fc.property(fc.constantFrom(...signalReasons), anyTime, (reason, observedTime) => {
        expect(captureIdOf({ ...trouble, reason, observedTime })).toMatch(/^[a-z0-9]{16,40}$/);
      }),
    );
  });
});
