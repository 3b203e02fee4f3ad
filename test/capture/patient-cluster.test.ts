import { describe, expect, it } from '@jest/globals';
import { patientCluster } from '../../lib/capture/patient-cluster.ts';
import { CaptureError } from '../../lib/errors.ts';
import { createLogger } from '../../lib/log.ts';
import { FakeCluster } from './fake-cluster.ts';

const down = new CaptureError('ClusterUnavailable', 'Cannot get pods: connect ECONNREFUSED.', {
  retryable: true,
});

/** A cluster that fails as often as there are faults; time passes in pauses, and 5 s with each fault. */
function reading(remaining: number, ...faults: readonly Error[]) {
  const pauses: number[] = [];
  let remainingMillis = remaining;
  let asked = 0;
  const cluster = patientCluster(
    Object.assign(new FakeCluster(), {
      readPod: () => {
        const fault = faults[asked++];
        if (fault === undefined) return Promise.resolve(undefined);
        remainingMillis -= 5_000;
        return Promise.reject(fault);
      },
    }),
    {
      remainingMillis: () => remainingMillis,
      logger: createLogger('test', { write: () => undefined }),
      pause: (millis) => {
        pauses.push(millis);
        remainingMillis -= millis;
        return Promise.resolve();
      },
    },
  );
  return { read: () => cluster.readPod('shop', 'cart-1'), pauses, asked: () => asked };
}

describe('a cluster whose API is away for a while', () => {
  it('is asked again until it answers', async () => {
    const { read, pauses } = reading(60_000, down, down, down);

    expect(await read()).toBeUndefined();
    expect(pauses).toEqual([500, 1_000, 2_000]);
  });

  it('is given up while a start still has its time, with the reason', async () => {
    const { read, pauses, asked } = reading(60_000, ...Array<Error>(20).fill(down));

    await expect(read()).rejects.toMatchObject({
      ...{ code: 'ClusterUnavailable', retryable: true },
      message: 'Cannot get pods: connect ECONNREFUSED. Tried 5 times within 33 s.',
    });
    expect(pauses).toEqual([500, 1_000, 2_000, 4_000]);
    expect(asked()).toBe(5);
  });

  it.each([
    ['there is no time for it', 31_000, down],
    ['it refuses', 60_000, new CaptureError('ClusterForbidden', 'no')],
    ['the fault stays', 60_000, new CaptureError('ClusterUnavailable', 'no')],
  ])('is not asked again when %s', async (_case, remaining, fault) => {
    const { read, asked } = reading(remaining, fault, fault);

    await expect(read()).rejects.toBe(fault);
    expect(asked()).toBe(1);
  });
});
