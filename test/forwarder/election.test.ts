import { describe, expect, it } from '@jest/globals';
import { Election, type Role, type Standing } from '../../lib/forwarder/election.ts';
import { FakeLease } from './fake-lease.ts';
import { FakeTime, recordingLog, startTime, turns } from './fakes.ts';

function aMember(lease: FakeLease, time: FakeTime, identity: string) {
  const stop = new AbortController();
  const standings: Standing[] = [];
  const { log, lines } = recordingLog();
  let sentThrough: Date | undefined;
  const election = new Election({
    lease: lease.of(identity),
    identity,
    sentThrough: () => sentThrough,
    onStanding: (standing) => standings.push(standing),
    time,
    log,
  });
  const ended = election.run(stop.signal);
  return {
    standings,
    lines,
    role: () => election.role,
    says: (through: Date) => (sentThrough = through),
    stop: async () => {
      stop.abort();
      await ended;
    },
  };
}

async function aPair() {
  const lease = new FakeLease();
  const time = new FakeTime();
  const first = aMember(lease, time, 'pod-a');
  await turns();
  const second = aMember(lease, time, 'pod-b');
  await turns();
  const roles = (): Role[] => [first.role(), second.role()];
  const end = () => {
    lease.cutOff.clear();
    return Promise.all([first.stop(), second.stop()]);
  };
  return { lease, time, first, second, roles, end };
}

describe('an election', () => {
  it('has one leader, who goes on leading', async () => {
    const { time, roles, lease, end } = await aPair();
    expect(roles()).toEqual(['leading', 'following']);

    await time.advance(600_000);

    expect(roles()).toEqual(['leading', 'following']);
    expect(lease.stored).toMatchObject({ holderIdentity: 'pod-a', leaseTransitions: 0 });
    await end();
  });

  it('gives the lead on within 4 s when the leader cannot be heard any more', async () => {
    const { time, roles, lease, end } = await aPair();
    await time.advance(10_000);

    lease.cutOff.add('pod-a');
    await time.advance(4_000);

    expect(roles()).toEqual(['unsure', 'leading']);
    expect(lease.stored).toMatchObject({ holderIdentity: 'pod-b', leaseTransitions: 1 });
    await end();
  });

  it('never has two leaders, whoever is cut off when', async () => {
    const { time, roles, lease, end } = await aPair();
    const seen = new Set<string>();
    for (let step = 0; step < 400; step += 1) {
      // Each in turn, for 1 to 8 s, with time between.
      const whose = step % 20 < 10 ? 'pod-a' : 'pod-b';
      if (step % 10 < 1 + ((step / 10) % 8)) lease.cutOff.add(whose);
      else lease.cutOff.clear();
      for (let tenth = 0; tenth < 10; tenth += 1) {
        await time.advance(100);
        seen.add(roles().join(' '));
      }
    }

    expect(seen).toContain('following leading');
    expect(seen).not.toContain('leading leading');
    await end();
  });

  it('has two leaders when writes have no condition', async () => {
    const lease = new FakeLease();
    lease.unconditional = true;
    const time = new FakeTime();

    const both = ['pod-a', 'pod-b'].map((identity) => aMember(lease, time, identity));
    await turns();

    expect(both.map((one) => one.role())).toEqual(['leading', 'leading']);
    await Promise.all(both.map((one) => one.stop()));
  });

  it('gives the lead back at its end, and the next one takes it at its next look', async () => {
    const { time, first, second, lease } = await aPair();
    await time.advance(3_000);

    await first.stop();
    expect(lease.stored?.holderIdentity).toBe('');
    await time.advance(500);

    expect(second.role()).toBe('leading');
    await second.stop();
  });

  it('ends though the lease cannot be given back', async () => {
    const { time, first, second, lease } = await aPair();
    lease.cutOff.add('pod-a');

    const ended = first.stop();
    await time.advance(2_000);
    await ended;

    await second.stop();
  });

  it('knows the lease as its own though the answer to its write was lost', async () => {
    const lease = new FakeLease();
    const time = new FakeTime();
    const record = { acquireTime: startTime.toISOString(), renewTime: startTime.toISOString() };
    const held = { holderIdentity: 'pod-a', leaseDurationSeconds: 4, leaseTransitions: 3 };
    await lease.of('pod-a').write({ ...record, ...held }, undefined);

    const again = aMember(lease, time, 'pod-a');
    await turns();

    expect(again.role()).toBe('leading');
    expect(lease.stored?.leaseTransitions).toBe(3);
    await again.stop();
  });

  it('is unsure, and tells so, where the lease cannot be used', async () => {
    const lease = new FakeLease();
    lease.cutOff.add('pod-a');
    const time = new FakeTime();
    const alone = aMember(lease, time, 'pod-a');

    await time.advance(20_000);

    expect(new Set(alone.standings.map(({ role }) => role))).toEqual(new Set(['unsure']));
    expect(alone.lines).toEqual([expect.objectContaining({ level: 'warn' })]);
    await alone.stop();
  });

  it('is unsure when what it follows has not been heard of for longer than a lease lasts', async () => {
    const { time, second, lease, end } = await aPair();
    lease.cutOff.add('pod-b');

    await time.advance(6_000);

    expect(second.role()).toBe('unsure');
    lease.cutOff.clear();
    await time.advance(2_000);
    expect(second.role()).toBe('following');
    await end();
  });

  it('tells the next one until when everything was sent', async () => {
    const { time, first, second, lease, end } = await aPair();
    const through = new Date('2026-03-01T09:59:58.000Z');
    first.says(through);
    await time.advance(2_000);
    expect(second.standings.at(-1)).toEqual({ role: 'following', sentThrough: through });

    lease.cutOff.add('pod-a');
    await time.advance(5_000);

    const led = second.standings.find(({ role }) => role === 'leading');
    expect(led).toEqual({ role: 'leading', sentThrough: through });
    expect(lease.stored?.sentThroughTime).toBe(through.toISOString());
    await end();
  });
});
