import { describe, expect, it } from '@jest/globals';
import { releaseDeadClaim } from '../../lib/capture/release-claim.ts';
import { acquire, startAt } from '../claim/claim-requests.ts';
import { World } from './world.ts';

describe('releaseDeadClaim', () => {
  it('leaves the claim of a run that was only paused, and starts its agent at this very moment', async () => {
    const world = new World();
    const { captureId, fencingToken, lockKey } = await acquire(world.claims, {
      now: new Date(world.nowMillis),
    });
    world.advance(120);
    const deps = world.finishDeps();
    const { claims } = world;
    const start = startAt(new Date(world.nowMillis));
    const readCapture = async (id: string) => {
      const read = await claims.readCapture(id);
      expect(await claims.markStarted(captureId, fencingToken, start)).toBe(true);
      return read;
    };

    const released = await releaseDeadClaim(
      { ...deps, claims: { ...claims, readCapture } },
      captureId,
    );

    expect(released).toBe(false);
    expect(await claims.readCapture(captureId)).toMatchObject({ state: 'started' });
    expect((await claims.readHistory(lockKey)).holderIdentity).toBe(captureId);
  });
});
