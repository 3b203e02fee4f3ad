import { beforeEach, describe, expect, it } from '@jest/globals';
import { list } from '../../lib/cli/list/command.ts';
import { show } from '../../lib/cli/show/command.ts';
import type { IndexEntry } from '../../lib/dump-index/index-entry.ts';
import { indexKey } from '../../lib/dump-index/object-keys.ts';
import { MemoryObjectStore } from '../capture/memory-object-store.ts';
import { captureId, FakeIo, storeCapture } from './capture-fixture.ts';

const hostile = '\u001b]0;owned\u0007\r\n\u009b2J\u202e\u2028\u007f';
const obeyed = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e\u2028]/;

describe('captures on the command line', () => {
  let objects: MemoryObjectStore;
  let io: FakeIo;

  beforeEach(() => {
    objects = new MemoryObjectStore();
    io = new FakeIo(objects);
  });

  /** One capture a minute, the newest first in the list. */
  const store = async (
    count: number,
    change?: (entry: IndexEntry, index: number) => IndexEntry,
  ) => {
    for (let index = 0; index < count; index += 1) {
      await storeCapture(objects, {
        raw: Buffer.from('none'),
        acquireTime: new Date(Date.parse('2026-03-01T12:00:00Z') + index * 60_000).toISOString(),
        captureId: `capture${String(index)
          .padStart(4, 'x')
          .replaceAll(/\d/g, (digit) => 'abcdefghij'[Number(digit)]!)}aaaaaaaa`,
        ...(change && { change: (entry) => change(entry, index) }),
      });
    }
  };
  const names = () =>
    io.out
      .split('\n')
      .slice(1, -1)
      .map((line) => line.split(' ')[0]);

  it('lists the newest first, with what a person looks for', async () => {
    await store(3);

    expect([await list([], io), io.errors]).toEqual([0, '']);

    expect(names()).toEqual(['capturexxxcaaaaaaaa', 'capturexxxbaaaaaaaa', 'capturexxxaaaaaaaaa']);
    expect(io.out).toMatch(
      /2026-03-01T12:02:00Z {2}prod {5}shop {7}Deployment\/cart {2}complete {2}LivenessProbeFailing {2}4 B, /,
    );
  });

  it('filters by who and when, and reads no entry outside of the time', async () => {
    await store(40, (entry, index) => ({
      ...entry,
      where: { ...entry.where, namespace: index % 2 === 0 ? 'shop' : 'bank' },
    }));
    let readCount = 0;
    const { getObject } = objects;
    objects.getObject = (key, bounds) => {
      readCount += 1;
      return getObject(key, bounds);
    };

    await list(['-n', 'bank', '--until', '2026-03-01T12:09:00Z', '--since', '55m'], io);

    expect(names()).toEqual(['capturexxxjaaaaaaaa', 'capturexxxhaaaaaaaa', 'capturexxxfaaaaaaaa']);
    expect(readCount).toBe(5);
  });

  it.each([
    [['--workload', 'cart'], 2],
    [['--workload', 'Deployment/cart'], 2],
    [['--workload', 'StatefulSet/cart'], 0],
    [['--pod', 'cart-7f-x'], 2],
    [['--cluster', 'other'], 0],
    [['--state', 'complete'], 1],
  ])('%j', async (words, count) => {
    await store(2, (entry, index) => ({ ...entry, state: index === 0 ? 'failed' : 'complete' }));

    await list([...words, '--json'], io);

    const { captures } = JSON.parse(io.out) as { captures: unknown[] };
    expect(captures).toHaveLength(count);
  });

  it('goes on behind a list, page by page, without one twice or lost', async () => {
    await store(5);
    const seen: string[] = [];
    let after: string[] = [];
    for (;;) {
      io = new FakeIo(objects);
      await list(['--limit', '2', '--json', ...after], io);
      const page = JSON.parse(io.out) as { captures: { entry: IndexEntry }[]; next?: string };
      seen.push(...page.captures.map(({ entry }) => entry.captureId));
      if (page.next === undefined) break;
      after = ['--after', page.next];
    }

    expect(seen).toEqual([...seen].sort().reverse());
    expect(new Set(seen).size).toBe(5);
  });

  it('shows an entry that cannot be read in its place', async () => {
    await store(1);
    const key = indexKey({ acquireTime: '2026-03-02T00:00:00Z', captureId });
    await objects.putObject(key, Buffer.from('{"schemaVersion":9}'), { contentType: '' });

    await list([], io);

    expect(io.out).toContain('unreadable');
    expect(io.out).toContain('this version reads schemaVersion 1');
    expect(names()).toHaveLength(2);
  });

  it('lets nothing of an index entry near the terminal that it would obey', async () => {
    const change = (entry: IndexEntry): IndexEntry => ({
      ...entry,
      reason: hostile,
      where: {
        ...entry.where,
        ...{ podName: hostile, nodeName: hostile, namespace: hostile, clusterName: hostile },
        workload: { kind: hostile, name: hostile },
      },
      how: { ...entry.how, refusedRungs: { [hostile]: hostile } },
      faults: [{ code: hostile, message: hostile }],
    });
    const { key, entry } = await storeCapture(objects, { change });
    const other = indexKey({ acquireTime: '2026-03-02T00:00:00Z', captureId: 'z'.repeat(20) });
    await objects.putObject(other, Buffer.from(`{"schemaVersion":${JSON.stringify(hostile)}}`), {
      contentType: '',
    });

    await list([], io);
    await list(['--json'], io);
    await show([key], io);
    await show([other], io);
    await show([hostile], io);

    expect(io.out + io.errors).not.toMatch(obeyed);
    expect(io.out).toContain('·]0;owned');
    io = new FakeIo(objects);
    await show([key, '--json'], io);
    expect(io.out).not.toMatch(obeyed);
    expect(JSON.parse(io.out)).toEqual(entry);
  });

  it('shows one capture by a few characters of its id, and says which there are', async () => {
    await store(2);

    expect(await show(['capturexxxb'], io)).toBe(0);
    expect(io.out).toMatch(/^capture +capturexxxbaaaaaaaa\nstate +complete\n/);
    expect(io.out).toContain('s3://dumps/index/');
    expect(await show(['capture'], io)).toBe(2);
    expect(io.errors).toContain(
      'several captures begin with capture: capturexxxbaaaaaaaa, capturexxxaaaaaaaaa',
    );
  });

  it.each([
    [['--since', 'yesterday'], '--since is "yesterday", accepted is a time ago such as 2h'],
    [
      ['--limit', '0', '--state', 'lost'],
      '--limit is "0", accepted is a whole number from 1 to 1000',
    ],
    [['cart'], 'accepted are options only'],
  ])('says what it does not understand: %j', async (words, answer) => {
    expect(await list(words, io)).toBe(2);
    expect(io.errors).toContain(answer);
  });
});
