import { describe, expect, it } from '@jest/globals';
import { leaseSeconds, leaseTimes } from '../../lib/claim/lease.ts';
import { policyWith, start } from './claim-requests.ts';

describe('a lease', () => {
  const policy = policyWith({ captureDeadlineSeconds: 1_200 });

  it('outlives the agent by the time to seal and the difference of clocks', () => {
    expect(leaseSeconds(policy)).toBe(1_200 + 300 + 60);
  });

  it('gives the three times of a claim from one clock', () => {
    expect(leaseTimes(policy, start)).toEqual({
      acquireTime: '2040-01-01T00:00:00.000Z',
      captureDeadlineTime: '2040-01-01T00:20:00.000Z',
      leaseExpireTime: '2040-01-01T00:26:00.000Z',
    });
  });
});
