import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readdirSync, rmSync } from 'node:fs';
import fc from 'fast-check';
import { CaptureError } from '../../lib/errors.ts';
import { maxBatchCount, putDeadlineSeconds, SignalSender } from '../../lib/forwarder/sender.ts';
import {
  aSignal,
  FakeBus,
  FakeTime,
  openSpool,
  temporaryDirectory,
  turns,
  until,
  valueOf,
} from './fakes.ts';

let directory: ReturnType<typeof temporaryDirectory>;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => {
  directory.remove();
});

const out = () =>
  Promise.reject(new CaptureError('SignalBusUnavailable', 'no route', { retryable: true }));
const failure = (index: number, errorCode: string) => ({ index, errorCode, errorMessage: 'm' });
const files = () => readdirSync(directory.path).filter((name) => name.endsWith('.json'));
const named = (podName: string) => aSignal({ podName });

async function aSender(path = directory.path) {
  const time = new FakeTime();
  const opened = await openSpool(path, { time });
  const bus = new FakeBus();
  const sender = new SignalSender({ ...opened, bus, random: () => 0.5 });
  return { ...opened, bus, sender };
}

/** Closes a sender whose bus hangs: only the deadline ends that. */
async function closeAtDeadline(sender: SignalSender, time: FakeTime): Promise<void> {
  const closing = sender.close(5);
  await time.advance(5_000);
  await closing;
}

describe('SignalSender', () => {
  it('puts a signal on the bus within the turn in which it came', async () => {
    const { sender, bus } = await aSender();

    sender.send(named('a'));
    await Promise.resolve();

    expect(bus.calls).toEqual([[named('a')]]);
    await sender.close(5);
  });

  it('sends a burst in calls of at most ten and touches no disk', async () => {
    const { sender, bus, metrics } = await aSender();

    for (let index = 0; index < 25; index += 1) sender.send(named(`p${String(index)}`));
    await turns();

    expect(bus.calls.map((call) => call.length)).toEqual([maxBatchCount, maxBatchCount, 5]);
    expect(await valueOf(metrics.signalsSent)).toBe(25);
    expect(files()).toEqual([]);
    await sender.close(5);
  });

  it('says when it is idle and when it has room, and tells whoever waits for it', async () => {
    const { sender, bus, time } = await aSender();
    expect([sender.idle, sender.hasRoom]).toEqual([true, true]);
    const answers: (() => void)[] = [];
    bus.answer = () => new Promise((resolve) => answers.push(() => resolve([])));

    for (let index = 0; index < 600; index += 1) sender.send(named(`p${String(index)}`));
    await turns();
    expect([sender.idle, sender.hasRoom]).toEqual([false, false]);
    const room = sender.room();
    bus.answer = () => [];
    for (const answer of answers) answer();
    await room;
    await turns();

    expect([sender.idle, sender.hasRoom]).toEqual([true, true]);
    expect(bus.received).toHaveLength(600);
    bus.answer = out;
    sender.send(named('spooled'));
    await until('it is on disk', () => files().length === 1);
    expect(sender.idle).toBe(false);
    await closeAtDeadline(sender, time);
  });

  it('ignores a word-for-word repeat, but not a higher count', async () => {
    const { sender, bus, metrics } = await aSender();

    sender.send(aSignal({ numbers: { failureCount: 1 } }));
    sender.send(aSignal({ numbers: { failureCount: 1 } }));
    sender.send(aSignal({ numbers: { failureCount: 2 } }));
    await turns();

    expect(bus.received.map((signal) => signal.numbers.failureCount)).toEqual([1, 2]);
    expect(await valueOf(metrics.signalsIgnored, { reason: 'Repeat' })).toBe(1);
    await sender.close(5);
  });

  it('tries exactly the entries again that the bus did not take', async () => {
    const { sender, bus, metrics } = await aSender();
    bus.answer = () => (bus.calls.length === 1 ? [failure(1, 'ThrottlingException')] : []);

    for (const name of ['a', 'b', 'c']) sender.send(named(name));
    await until('the throttled signal is sent', () => bus.received.length === 3);

    expect(bus.calls[1]?.map((signal) => signal.podName)).toEqual(['b']);
    expect(await valueOf(metrics.signalsSent)).toBe(3);
    await until('the spool is empty', () => files().length === 0);
    await sender.close(5);
  });

  it.each(['MalformedDetail', 'InvalidArgument'])(
    'drops an entry that the bus refuses for good (%s), with a count and a log line',
    async (errorCode) => {
      const { sender, bus, metrics, lines } = await aSender();
      bus.answer = () => [failure(0, errorCode)];

      sender.send(named('a'));
      sender.send(named('b'));
      await turns();

      expect(bus.received.map((signal) => signal.podName)).toEqual(['b']);
      expect(await valueOf(metrics.signalsFailed, { reason: 'BusRefused' })).toBe(1);
      expect(lines).toContainEqual(expect.objectContaining({ errorCode, podName: 'a' }));
      expect(files()).toEqual([]);
      await sender.close(5);
    },
  );

  it('spools while the bus is out and replays when it is back, the newest first', async () => {
    const { sender, bus, time, metrics } = await aSender();
    bus.answer = out;
    sender.send(aSignal({ podName: 'old' }));
    await until('the first is spooled and tried again', () => bus.calls.length === 2);
    await turns();
    sender.send(aSignal({ podName: 'new', observedTime: '2026-03-01T10:00:01.000Z' }));
    await until('the second is spooled', () => files().length === 2);

    bus.answer = () => [];
    await time.advance(30_000);
    await until('the spool is empty', () => files().length === 0);

    await sender.close(5);
    expect(bus.received.map((signal) => signal.podName)).toEqual(['new', 'old']);
    expect(await valueOf(metrics.signalsSent)).toBe(2);
    expect(await valueOf(metrics.spoolEntries)).toBe(0);
  });

  it('replays what an earlier process left', async () => {
    const before = await aSender();
    before.bus.answer = out;
    before.sender.send(named('a'));
    await before.sender.close(5);
    expect(files()).toHaveLength(1);

    const after = await aSender();
    await until('it is replayed', () => after.bus.received.length === 1);

    expect(after.bus.received).toEqual([named('a')]);
    await after.sender.close(5);
  });

  it('asks a bus that is out less and less often, at least every 30 s', async () => {
    const { sender, bus, time } = await aSender();
    bus.answer = out;
    sender.send(named('a'));
    await until('it is spooled', () => files().length === 1);

    const counts: number[] = [];
    for (let minute = 0; minute < 4; minute += 1) {
      const before = bus.calls.length;
      for (let second = 0; second < 60; second += 1) {
        // Reading the spool is real I/O: time must not run on while the sender is at it.
        await until('the sender rests', () => time.sleeperCount > 0);
        await time.advance(1_000);
      }
      counts.push(bus.calls.length - before);
    }

    expect(counts[0]).toBeLessThan(15);
    expect(counts[3]).toBeGreaterThanOrEqual(2);
    expect(counts[3]).toBeLessThanOrEqual(4);
    await sender.close(5);
  });

  it('asks again soon for a fresh signal, however long the bus was out', async () => {
    const { sender, bus, time } = await aSender();
    bus.answer = out;
    sender.send(named('a'));
    for (let second = 0; second < 240; second += 1) await time.advance(1_000);
    bus.answer = () => [];

    sender.send(named('b'));
    await until('it is spooled', () => files().length >= 1);
    await time.advance(600);

    await until('both are sent', () => bus.received.length === 2);
    await sender.close(5);
  });

  it('does not let entries that the bus never takes stand before the others', async () => {
    const { sender, bus, time, spool } = await aSender();
    bus.answer = out;
    for (let index = 0; index < 25; index += 1) {
      const second = String(index).padStart(2, '0');
      const stuck = index >= 10;
      sender.send(
        aSignal({
          podName: stuck ? 'stuck' : `good-${second}`,
          observedTime: `2026-03-01T10:00:${second}Z`,
        }),
      );
    }
    await until('all are spooled', () => spool.entryCount === 25);

    bus.answer = (signals) =>
      signals.flatMap((signal, index) =>
        signal.podName === 'stuck' ? [failure(index, 'ThrottlingException')] : [],
      );
    await time.advance(31_000);

    await until('the good ones are sent', () => bus.received.length === 10);
    await sender.close(5);
  });

  it('takes a bus that never answers for one that is out', async () => {
    const { sender, bus, time } = await aSender();
    bus.answer = () => new Promise(() => undefined);
    sender.send(named('a'));

    await time.advance(putDeadlineSeconds * 1000);

    await until('it is spooled', () => files().length === 1);
    await closeAtDeadline(sender, time);
  });

  it('hands what is under way to the spool when the close finds the bus hanging', async () => {
    const { sender, bus, time } = await aSender();
    bus.answer = () => new Promise(() => undefined);
    for (let index = 0; index < 60; index += 1) sender.send(named(`p${String(index)}`));
    await turns();

    await closeAtDeadline(sender, time);

    expect(files()).toHaveLength(60);
  });

  it('waits at the close for what the bus is just taking', async () => {
    const { sender, bus } = await aSender();
    let take: () => void = () => undefined;
    bus.answer = () => new Promise((resolve) => (take = () => resolve([])));
    sender.send(named('a'));
    await turns();

    const closing = sender.close(5);
    await turns();
    take();
    await closing;

    expect(bus.received).toHaveLength(1);
    expect(files()).toEqual([]);
  });

  it('spools a signal that comes after the close', async () => {
    const { sender } = await aSender();
    await sender.close(5);

    sender.send(named('late'));

    await until('it is spooled', () => files().length === 1);
  });

  it('loses no signal: each is on the bus, in the spool, or counted as failed', async () => {
    const answers = ['taken', 'out', 'throttled', 'refused', 'mixed'] as const;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...answers), { minLength: 1, maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        async (script, bursts, withoutDisk) => {
          const own = temporaryDirectory();
          const { sender, bus, time, metrics } = await aSender(own.path);
          if (withoutDisk) rmSync(own.path, { recursive: true });
          bus.answer = (signals) => {
            const kind = script[bus.calls.length % script.length] ?? 'taken';
            if (kind === 'out') return out();
            return signals.flatMap((_signal, index) => {
              if (kind === 'throttled') return [failure(index, 'ThrottlingException')];
              if (kind === 'refused' && index % 3 === 0) return [failure(index, 'MalformedDetail')];
              if (kind === 'mixed' && index % 2 === 0) return [failure(index, 'InternalFailure')];
              return [];
            });
          };

          let count = 0;
          for (const burst of bursts) {
            for (let index = 0; index < burst; index += 1)
              sender.send(named(`p${String(count++)}`));
            await time.advance(700);
          }
          await sender.close(5);

          const kept = new Set(bus.received.map((signal) => signal.podName));
          expect(await valueOf(metrics.signalsSent)).toBe(kept.size);
          if (!withoutDisk) {
            const { spool } = await openSpool(own.path);
            for (const entry of await spool.takeNewest(1_000)) kept.add(entry.signal.podName);
          }
          own.remove();
          expect(kept.size + (await valueOf(metrics.signalsFailed))).toBe(count);
        },
      ),
      { numRuns: 40 },
    );
  });
});
