import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chmodSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { diskBlockBytes, maxSignalAgeSeconds } from '../../lib/forwarder/spool.ts';
import { aSignal, FakeTime, openSpool, startTime, temporaryDirectory, valueOf } from './fakes.ts';

let directory: ReturnType<typeof temporaryDirectory>;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => {
  directory.remove();
});

const files = () => readdirSync(directory.path).filter((name) => name.endsWith('.json'));
const at = (seconds: number, podName: string) =>
  aSignal({ podName, observedTime: new Date(startTime.getTime() + seconds * 1000).toISOString() });
const namesOf = (entries: readonly { signal: { podName: string } }[]) =>
  entries.map((entry) => entry.signal.podName);

describe('Spool', () => {
  it('hands out the newest first, whatever the order in which they came', async () => {
    const { spool } = await openSpool(directory.path);
    for (const [seconds, name] of [
      [2, 'middle'],
      [3, 'new'],
      [1, 'old'],
    ] as const) {
      await spool.append(at(seconds, name));
    }

    expect(namesOf(await spool.takeNewest(2))).toEqual(['new', 'middle']);
    expect(namesOf(await spool.takeNewest(2))).toEqual(['old']);
  });

  it('survives a restart with everything that was not removed, handed-out signals included', async () => {
    const first = await openSpool(directory.path);
    for (const [seconds, name] of [
      [1, 'a'],
      [2, 'b'],
      [3, 'c'],
    ] as const) {
      await first.spool.append(at(seconds, name));
    }
    const [sent] = await first.spool.takeNewest(1);
    await first.spool.remove([sent!.name]);
    await first.spool.takeNewest(1);

    const second = await openSpool(directory.path);

    expect(second.spool.entryCount).toBe(2);
    expect(await valueOf(second.metrics.spoolEntries)).toBe(2);
    expect(namesOf(await second.spool.takeNewest(10))).toEqual(['b', 'a']);
  });

  it('hands out again what was put back', async () => {
    const { spool } = await openSpool(directory.path);
    await spool.append(at(1, 'a'));
    await spool.append(at(2, 'b'));

    const [newest] = await spool.takeNewest(1);
    spool.putBack([newest!.name]);

    expect(namesOf(await spool.takeNewest(10))).toEqual(['b', 'a']);
  });

  it('drops the oldest when it is full, counts each, and logs once a minute', async () => {
    const { spool, metrics, lines } = await openSpool(directory.path, {
      maxBytes: 3 * diskBlockBytes,
    });

    for (let second = 1; second <= 8; second += 1) await spool.append(at(second, `p${second}`));

    expect(files()).toHaveLength(3);
    expect(spool.bytes).toBe(3 * diskBlockBytes);
    expect(await valueOf(metrics.signalsFailed, { reason: 'SpoolFull' })).toBe(5);
    expect(lines.filter((line) => line.message.includes('dropped'))).toHaveLength(1);
    expect(namesOf(await spool.takeNewest(10))).toEqual(['p8', 'p7', 'p6']);
  });

  it('keeps the bound when many come at once', async () => {
    const { spool, metrics } = await openSpool(directory.path, { maxBytes: 4 * diskBlockBytes });

    await Promise.all(
      Array.from({ length: 30 }, (_, index) => spool.append(at(index, `p${String(index)}`))),
    );

    const failedCount = await valueOf(metrics.signalsFailed, { reason: 'SpoolFull' });
    expect(files()).toHaveLength(spool.entryCount);
    expect(spool.entryCount + failedCount).toBe(30);
    await spool.append(at(99, 'last'));
    expect(spool.bytes).toBeLessThanOrEqual(4 * diskBlockBytes);
  });

  it('brings a folder that is over the bound back under it when it opens', async () => {
    const first = await openSpool(directory.path);
    for (let second = 1; second <= 6; second += 1) await first.spool.append(at(second, 'p'));

    const second = await openSpool(directory.path, { maxBytes: 2 * diskBlockBytes });

    expect(files()).toHaveLength(2);
    expect(second.spool.bytes).toBe(2 * diskBlockBytes);
  });

  it('drops a signal one millisecond after 15 minutes, not before', async () => {
    const time = new FakeTime();
    const { spool, metrics } = await openSpool(directory.path, { time });
    await spool.append(at(0, 'a'));

    await time.advance(maxSignalAgeSeconds * 1000);
    const [still] = await spool.takeNewest(1);
    expect(still?.signal.podName).toBe('a');
    spool.putBack([still!.name]);
    await time.advance(1);

    expect(await spool.takeNewest(1)).toEqual([]);
    expect(files()).toEqual([]);
    expect(await valueOf(metrics.signalsFailed, { reason: 'SpoolExpired' })).toBe(1);
  });

  it.each([
    ['cut off', '{"schemaVersion":1,'],
    ['empty', ''],
    ['another schema', '{"schemaVersion":2}'],
    ['foreign bytes', '\u0000\uFFFD'],
    ['too large', ' '.repeat(300_000)],
  ])('sets a file aside that is %s, and goes on with the next', async (_what, text) => {
    const first = await openSpool(directory.path);
    await first.spool.append(at(1, 'good'));
    const name = `${String(startTime.getTime() + 5_000).padStart(15, '0')}-000000001-00000000.json`;
    writeFileSync(join(directory.path, name), text);

    const { spool, metrics } = await openSpool(directory.path);
    const taken = await spool.takeNewest(10);

    expect(namesOf(taken)).toEqual(['good']);
    expect(readdirSync(join(directory.path, 'corrupt'))).toEqual([name]);
    expect(await valueOf(metrics.spoolCorrupt)).toBe(1);
    await spool.remove(taken.map((entry) => entry.name));
    expect([spool.bytes, spool.entryCount]).toEqual([0, 0]);
  });

  it('sets foreign files aside, removes half-written ones, and leaves folders alone', async () => {
    writeFileSync(join(directory.path, 'notes.txt'), 'hello');
    writeFileSync(join(directory.path, 'x.json.tmp'), '{');
    mkdirSync(join(directory.path, 'lost+found'));

    const { spool } = await openSpool(directory.path);

    expect(spool.entryCount).toBe(0);
    expect(readdirSync(directory.path).sort()).toEqual(['corrupt', 'lost+found']);
    expect(readdirSync(join(directory.path, 'corrupt'))).toEqual(['notes.txt']);
  });

  it('keeps at most 100 files aside', async () => {
    for (let index = 0; index < 120; index += 1) {
      writeFileSync(join(directory.path, `foreign-${String(index)}`), 'x');
    }

    await openSpool(directory.path);

    expect(readdirSync(join(directory.path, 'corrupt'))).toHaveLength(100);
    expect(readdirSync(directory.path)).toEqual(['corrupt']);
  });

  it('keeps a signal in memory when the disk refuses it, and writes it at the close', async () => {
    const { spool, metrics, lines } = await openSpool(directory.path);
    rmSync(directory.path, { recursive: true });
    await spool.append(at(1, 'a'));
    expect(await valueOf(metrics.spoolWriteFaults)).toBe(1);
    expect(lines.some((line) => line.message.includes('disk refused'))).toBe(true);

    mkdirSync(directory.path);
    await spool.close();

    const again = await openSpool(directory.path);
    expect(namesOf(await again.spool.takeNewest(1))).toEqual(['a']);
  });

  it('counts what it must give up when the disk still refuses at the close', async () => {
    const { spool, metrics } = await openSpool(directory.path);
    rmSync(directory.path, { recursive: true });
    await spool.append(at(1, 'a'));
    await spool.append(at(2, 'b'));

    await spool.close();

    expect(await valueOf(metrics.signalsFailed, { reason: 'SpoolUnavailable' })).toBe(2);
  });

  it('works without a disk at all, up to 1,000 signals', async () => {
    const occupied = join(directory.path, 'file');
    writeFileSync(occupied, '');
    chmodSync(occupied, 0o600);
    const { spool, metrics } = await openSpool(occupied, { maxBytes: 64 * 1024 * 1024 });

    for (let second = 0; second < 1_002; second += 1) await spool.append(at(second, `p${second}`));

    expect(spool.entryCount).toBe(1_000);
    expect(await valueOf(metrics.signalsFailed, { reason: 'SpoolUnavailable' })).toBe(2);
    expect(namesOf(await spool.takeNewest(1))).toEqual(['p1001']);
  });
});
