import { describe, expect, it } from '@jest/globals';
import { createForwarderMetrics } from '../../lib/forwarder/metrics.ts';
import {
  listDeadlineSeconds,
  watchForever,
  watchIdleTimeoutSeconds,
} from '../../lib/forwarder/watcher.ts';
import { FakeResource, FakeTime, recordingLog, turns, valueOf } from './fakes.ts';

function aWatcher(options: { onChange?: (object: string) => void } = {}) {
  const resource = new FakeResource<string>();
  const time = new FakeTime();
  const stop = new AbortController();
  const metrics = createForwarderMetrics();
  const { log, lines } = recordingLog();
  const lists: (readonly string[])[] = [];
  const changes: string[] = [];
  let contactCount = 0;
  const run = () =>
    watchForever<string>({
      resource: 'events',
      namespace: 'shop',
      list: () => resource.answerList(),
      watch: (resourceVersion, onChange, signal) =>
        resource.watch(resourceVersion, onChange, signal),
      onList: (items) => lists.push(items),
      onChange: (change) => {
        options.onChange?.(change.object);
        changes.push(`${change.type} ${change.object}`);
      },
      onContact: () => (contactCount += 1),
      time,
      random: () => 0.999_999,
      metrics,
      log,
      signal: stop.signal,
    });
  const contacts = () => contactCount;
  return { resource, time, stop, metrics, lines, lists, changes, run, contacts };
}

describe('watchForever', () => {
  it('lists, then watches from the version of the list', async () => {
    const watcher = aWatcher();
    watcher.resource.items = ['a'];
    watcher.resource.resourceVersion = '41';

    void watcher.run();
    await turns();
    watcher.resource.open.change({ type: 'ADDED', object: 'b', resourceVersion: '42' });

    expect(watcher.lists).toEqual([['a']]);
    expect(watcher.resource.open.resourceVersion).toBe('41');
    expect(watcher.changes).toEqual(['ADDED b']);
    watcher.stop.abort();
  });

  it('resumes a closed watch from the last version seen, bookmarks included', async () => {
    const watcher = aWatcher();
    void watcher.run();
    await turns();

    watcher.resource.open.change({ type: 'MODIFIED', object: 'a', resourceVersion: '50' });
    watcher.resource.open.change({ type: 'BOOKMARK', resourceVersion: '77' });
    watcher.resource.open.end('closed');
    await turns();

    expect(watcher.resource.open.resourceVersion).toBe('77');
    expect(watcher.resource.listCount).toBe(1);
    expect(watcher.changes).toEqual(['MODIFIED a']);
    expect(await valueOf(watcher.metrics.watchRestarts, { resource: 'events' })).toBe(1);
    watcher.stop.abort();
  });

  it('resumes a broken watch from the last version seen', async () => {
    const watcher = aWatcher();
    void watcher.run();
    await turns();

    watcher.resource.open.change({ type: 'ADDED', object: 'a', resourceVersion: '50' });
    watcher.resource.open.fail(new Error('connection reset'));
    await watcher.time.advance(1_000);

    expect(watcher.resource.open.resourceVersion).toBe('50');
    expect(watcher.resource.listCount).toBe(1);
    watcher.stop.abort();
  });

  it('lists again without a wait when the version has expired', async () => {
    const watcher = aWatcher();
    void watcher.run();
    await turns();
    watcher.resource.open.change({ type: 'ADDED', object: 'a', resourceVersion: '50' });
    watcher.resource.items = ['b'];
    watcher.resource.resourceVersion = '900';

    watcher.resource.open.end('expired');
    await turns();

    expect(watcher.lists).toEqual([[], ['b']]);
    expect(watcher.resource.open.resourceVersion).toBe('900');
    expect(await valueOf(watcher.metrics.watchExpired)).toBe(1);
    watcher.stop.abort();
  });

  it('waits longer with each failure, at most 30 s, and never gives up', async () => {
    const watcher = aWatcher();
    watcher.resource.list = () => Promise.reject(new Error('forbidden'));
    void watcher.run();

    await watcher.time.advance(3_600_000);

    const waits = watcher.lines.map((line) => Number(line['waitMilliseconds']));
    expect(waits.slice(0, 9)).toEqual([250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
    expect(Math.max(...waits)).toBeLessThanOrEqual(30_000);
    expect(watcher.resource.listCount).toBeGreaterThan(100);
    watcher.stop.abort();
  });

  it('does not spin when each watch closes, or expires, at once', async () => {
    const watcher = aWatcher();
    const ends = ['closed', 'expired'] as const;
    let endCount = 0;
    watcher.resource.watch = () => Promise.resolve(ends[endCount++ % 2] ?? 'closed');
    void watcher.run();

    await watcher.time.advance(60_000);

    expect(endCount).toBeGreaterThan(5);
    expect(endCount).toBeLessThan(20);
    watcher.stop.abort();
  });

  it('lists again when one version makes the watch close three times', async () => {
    const watcher = aWatcher();
    watcher.resource.watch = () => Promise.resolve('closed');
    void watcher.run();

    await watcher.time.advance(2_000);

    expect(watcher.resource.listCount).toBe(2);
    watcher.stop.abort();
  });

  it('lists again when a watch is silent for longer than bookmarks are apart', async () => {
    const watcher = aWatcher();
    void watcher.run();
    await turns();

    await watcher.time.advance((watchIdleTimeoutSeconds - 1) * 1000);
    watcher.resource.open.change({ type: 'BOOKMARK', resourceVersion: '60' });
    await watcher.time.advance((watchIdleTimeoutSeconds - 1) * 1000);
    expect(watcher.resource.listCount).toBe(1);
    await watcher.time.advance(1_000);

    expect(watcher.resource.listCount).toBe(2);
    expect(watcher.resource.watches[0]?.aborted()).toBe(true);
    watcher.stop.abort();
  });

  it('tries a list again that never answers', async () => {
    const watcher = aWatcher();
    watcher.resource.list = () => new Promise(() => undefined);
    void watcher.run();

    await watcher.time.advance(listDeadlineSeconds * 1000 + 1_000);

    expect(watcher.resource.listCount).toBe(2);
    watcher.stop.abort();
  });

  it('survives an object that its handler cannot stand, and goes on behind it', async () => {
    const watcher = aWatcher({
      onChange: (object) => {
        if (object === 'poison') throw new Error('cannot');
      },
    });
    void watcher.run();
    await turns();

    watcher.resource.open.change({ type: 'ADDED', object: 'poison', resourceVersion: '50' });
    watcher.resource.open.change({ type: 'ADDED', object: 'b', resourceVersion: '51' });
    watcher.resource.open.end('closed');
    await turns();

    expect(watcher.changes).toEqual(['ADDED b']);
    expect(watcher.resource.open.resourceVersion).toBe('51');
    expect(await valueOf(watcher.metrics.watchFaults)).toBe(1);
    watcher.stop.abort();
  });

  it('takes no word from a watch that it has left', async () => {
    const watcher = aWatcher();
    void watcher.run();
    await turns();
    const left = watcher.resource.open;
    left.change({ type: 'BOOKMARK', resourceVersion: '60' });
    left.end('closed');
    await turns();

    left.change({ type: 'ADDED', object: 'late', resourceVersion: '55' });
    watcher.resource.open.end('closed');
    await watcher.time.advance(1_000);

    expect(watcher.changes).toEqual([]);
    expect(watcher.resource.open.resourceVersion).toBe('60');
    watcher.stop.abort();
  });

  it('ends on the abort, whatever it waits for, and leaves no timer behind', async () => {
    const listing = aWatcher();
    listing.resource.list = () => new Promise(() => undefined);
    const watching = aWatcher();
    const waiting = aWatcher();
    waiting.resource.list = () => Promise.reject(new Error('down'));
    const ends = [listing, watching, waiting].map((watcher) => watcher.run());
    await turns();

    for (const watcher of [listing, watching, waiting]) watcher.stop.abort();
    await Promise.all(ends);

    expect([listing, watching, waiting].map((watcher) => watcher.time.sleeperCount)).toEqual([
      0, 0, 0,
    ]);
  });
});
