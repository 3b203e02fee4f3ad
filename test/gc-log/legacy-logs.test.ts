import { describe, expect, it } from '@jest/globals';
import { countsOf, mebi, onlyEvent, readLog } from './read-log.ts';

// The formats of JDK 6 to 8, with numbers of our own: fixtures/README.md says why.
const times = '[Times: user=0.06 sys=0.00, real=0.06 secs] ';
const kibi = 1024;

describe('records of JDK 8 and before', () => {
  it.each([
    ['[GC 2048K->1024K(4096K), 0.0100000 secs]', 'young', undefined],
    [
      '1.500: [GC (Allocation Failure)  2048K->1024K(4096K), 0.0100000 secs]',
      'young',
      'Allocation Failure',
    ],
    ['1.500: [Full GC (System.gc())  2048K->1024K(4096K), 0.0100000 secs]', 'full', 'System.gc()'],
    [
      '1.500: [Full GC (System) 1.500: [Tenured: 900K->800K(2048K), 0.01 secs] 2048K->1024K(4096K), [Perm : 1K->1K(2K)], 0.0100000 secs] ' +
        times,
      'full',
      'System',
    ],
    [
      '2026-05-26T14:45:37.987-0200: 1.500: [GC (Allocation Failure) 2026-05-26T14:45:37.987-0200: 1.500: [DefNew: 1024K->64K(1024K), 0.0090000 secs] 2048K->1024K(4096K), 0.0100000 secs] ' +
        times,
      'young',
      'Allocation Failure',
    ],
    [
      '1.500: [GC (Allocation Failure) 1.500: [DefNew: 1024K->1024K(1024K), 0.0000200 secs]1.501: [Tenured: 900K->800K(2048K), 0.01 secs] 2048K->1024K(4096K), [Metaspace: 1K->1K(2K)], 0.0100000 secs] ' +
        times,
      'full',
      'Allocation Failure',
    ],
    [
      '1.500: [GC (Allocation Failure) [PSYoungGen: 1024K->64K(1024K)] 2048K->1024K(4096K), 0.0100000 secs] ' +
        times,
      'young',
      'Allocation Failure',
    ],
    [
      '1.500: [Full GC (Ergonomics) [PSYoungGen: 64K->0K(1024K)] [ParOldGen: 900K->800K(2048K)] 2048K->1024K(4096K), [Metaspace: 1K->1K(2K)], 0.0100000 secs] ' +
        times,
      'full',
      'Ergonomics',
    ],
    [
      '1.500: #3: [GC (GCLocker Initiated GC) 1.500: #3: [ParNew: 1024K->64K(1024K), 0.0090000 secs] 2048K->1024K(4096K), 0.0100000 secs] ' +
        times,
      'young',
      'GCLocker Initiated GC',
    ],
    [
      '1.500: [GC pause (G1 Evacuation Pause) (young) 2048K->1024K(4096K), 0.0100000 secs]',
      'young',
      'G1 Evacuation Pause',
    ],
    [
      '1.500: [GC pause (G1 Evacuation Pause) (mixed) 2048K->1024K(4096K), 0.0100000 secs]',
      'mixed',
      'G1 Evacuation Pause',
    ],
    [
      '1,500: [GC pause (young) (initial-mark) 2048K->1024K(4096K), 0,0100000 secs]',
      'young',
      undefined,
    ],
  ])('%s', (line, kind, cause) => {
    expect(onlyEvent(`${line}\n`)).toMatchObject({
      kind,
      cause,
      pauseSeconds: 0.01,
      heapBeforeBytes: 2 * mebi,
      heapAfterBytes: mebi,
      heapCapacityBytes: 4 * mebi,
    });
  });

  it('stamps a record at its start', () => {
    const event = onlyEvent(
      '2026-05-26T14:45:37.987-0200: 151.126: [GC 2048K->1024K(4096K), 2.5000000 secs]\n',
    );

    expect(event.startEpochMilliseconds).toBe(Date.UTC(2026, 4, 26, 16, 45, 37, 987));
    expect(event.startSeconds).toBe(Date.UTC(2026, 4, 26, 16, 45, 37, 987) / 1000);
  });

  it.each([
    '1.500: [GC (CMS Initial Mark) [1 CMS-initial-mark: 900K(2048K)] 1000K(4096K), 0.0100000 secs] ' +
      times,
    '1.500: [GC (CMS Final Remark) [YG occupancy: 387 K (613 K)]1.5: [Rescan (parallel) , 0.0085125 secs]1.509: [weak refs processing, 0.0000243 secs] [1 CMS-remark: 900K(2048K)] 1000K(4096K), 0.0100000 secs] ' +
      times,
    '1.500: [GC 1000K(4096K), 0.0100000 secs]',
    '1.500: [GC remark 1.5: [Finalize Marking, 0.0001 secs] 1.5: [GC ref-proc, 0.0001 secs], 0.0100000 secs]',
    '1.500: [GC cleanup 2048K->1024K(4096K), 0.0100000 secs]',
  ])('a short pause of a concurrent collection: %s', (line) => {
    expect(onlyEvent(`${line}\n`)).toMatchObject({ kind: 'phase', pauseSeconds: 0.01 });
  });

  it('puts a record together that other lines interrupt', () => {
    const log = [
      '{Heap before GC invocations=5 (full 1):',
      ' par new generation   total 1024K, used 1024K [0x00000000c0000000, 0x00000000c0100000, 0x00000000c0100000)',
      '1.500: [GC (Allocation Failure) 1.500: [ParNew',
      'Desired survivor size 65536 bytes, new threshold 1 (max 6)',
      '- age   1:      65536 bytes,      65536 total',
      ': 1024K->64K(1024K), 0.0090000 secs] 2048K->1024K(4096K), 0.0100000 secs] ' + times,
      'Total time for which application threads were stopped: 0.0101000 seconds',
      '}',
      '',
    ].join('\n');
    const { events, parser } = readLog(log);

    expect(parser.unparsedLines).toEqual([]);
    expect(events).toMatchObject([{ kind: 'young', heapAfterBytes: mebi, pauseSeconds: 0.01 }]);
    expect(parser.counts).toMatchObject({ eventLineCount: 2, detailLineCount: 6 });
  });

  it('takes a failed concurrent collection of CMS for a full one, over its lines', () => {
    const log = [
      '1.500: [GC (Allocation Failure) 1.500: [ParNew (promotion failed): 1024K->1024K(1024K), 0.1 secs]1.6: [CMS1.700: [CMS-concurrent-mark: 0.1/0.2 secs] ' +
        times,
      ' (concurrent mode failure): 900K->800K(2048K), 0.5 secs] 2048K->1024K(4096K), [Metaspace: 1K->1K(2K)], 0.7000000 secs] ' +
        times,
      '',
    ].join('\n');

    expect(onlyEvent(log)).toMatchObject({
      kind: 'full',
      pauseSeconds: 0.7,
      evacuationFailed: true,
    });
  });

  it('finds the heap of a pause of G1 some lines behind it', () => {
    const log = [
      '1.500: [GC pause (G1 Evacuation Pause) (young) (to-space exhausted), 0.0100000 secs]',
      '   [Parallel Time: 9.0 ms, GC Workers: 2]',
      '      [GC Worker Start (ms): Min: 1500.0, Avg: 1500.0, Max: 1500.0, Diff: 0.0]',
      '   [Eden: 24.0M(24.0M)->0.0B(13.0M) Survivors: 0.0B->3072.0K Heap: 24.5M(256.0M)->12.0M(256.0M)]',
      ' ' + times,
      '',
    ].join('\n');

    expect(onlyEvent(log)).toMatchObject({
      kind: 'young',
      heapBeforeBytes: 24.5 * mebi,
      heapAfterBytes: 12 * mebi,
      heapCapacityBytes: 256 * mebi,
      evacuationFailed: true,
    });
  });

  it('finds the young collection that begins within a remark, and the remark', () => {
    const log = [
      '1.500: [GC (CMS Final Remark) [YG occupancy: 387 K (613 K)]{Heap before GC invocations=4 (full 1):',
      '1.500: [GC (CMS Final Remark) 1.500: [ParNew: 1024K->64K(1024K), 0.0090000 secs] 2048K->1024K(4096K), 0.0100000 secs] ' +
        times,
      '1.510: [Rescan (parallel) , 0.0085125 secs] [1 CMS-remark: 900K(2048K)] 1000K(4096K), 0.0300000 secs] ' +
        times,
      '',
    ].join('\n');
    const { events, parser } = readLog(log);

    expect(parser.unparsedLines).toEqual([]);
    expect(events).toMatchObject([
      { kind: 'young', pauseSeconds: 0.01 },
      { kind: 'phase', pauseSeconds: 0.03 },
    ]);
  });

  it('reads the head of a file, and the limit of the heap in it', () => {
    const { events, parser } = readLog(
      [
        'Java HotSpot(TM) 64-Bit Server VM (25.66-b17) for linux-amd64 JRE (1.8.0_66-b17), built on Oct  6 2015',
        'Memory: 4k page, physical 16331044k(12340k free), swap 0k(0k free)',
        'CommandLine flags: -XX:InitialHeapSize=33554432 -XX:MaxHeapSize=67108864 -XX:+PrintGC -XX:+UseParallelGC ',
        '1.500: [GC (Allocation Failure)  2048K->1024K(4096K), 0.0100000 secs]',
        '2016-04-14 22:37:22 GC log file has reached the maximum size. Saved as gc.log.0',
        '',
      ].join('\n'),
    );

    expect(parser.unparsedLines).toEqual([]);
    expect(parser.maxHeapBytes).toBe(64 * mebi);
    expect(countsOf(events)).toEqual({ young: 1 });
  });

  it('reads the pauses of Shenandoah', () => {
    const { events, parser } = readLog(
      [
        '1.500: [Concurrent marking, 0.537 ms]',
        '1.501: [Pause Final Mark (process weakrefs), 0.250 ms]',
        '1.502: [Concurrent cleanup 50M->40M(96M), 0.100 ms]',
        '1.600: [Pause Full (Allocation Failure) 90M->40M(96M), 100.000 ms]',
        '',
      ].join('\n'),
    );

    expect(parser.collector).toBe('Shenandoah');
    expect(events).toMatchObject([
      { kind: 'phase', pauseSeconds: 0.00025 },
      { kind: 'heapSample', heapAfterBytes: 40 * mebi },
      { kind: 'full', cause: 'Allocation Failure', heapAfterBytes: 40 * mebi },
    ]);
  });

  it('sees a restart by the uptime that begins anew', () => {
    const record = (uptime: string): string => `${uptime}: [GC 2048K->1024K(4096K), 0.01 secs]\n`;
    const { events, parser } = readLog(['5.000', '90.000', '4.000'].map(record).join(''));

    expect(parser.restartCount).toBe(1);
    expect(events.map(({ startSeconds }) => startSeconds)).toEqual([5, 90, 94]);
  });

  it('gives up a record that never ends, and shows it', () => {
    const { events, parser } = readLog(
      [
        '1.500: [GC (Allocation Failure) 1.500: [ParNew: 1024K->64K',
        '2.500: [GC (Allocation Failure)  2048K->1024K(4096K), 0.0100000 secs]',
        '3.500: [GC (Allocation Failure) 1.500: [ParNew: 1024K->64K',
      ].join('\n'),
    );

    expect(events).toMatchObject([{ startSeconds: 2.5, heapAfterBytes: 1024 * kibi }]);
    expect(parser.counts).toEqual({
      lineCount: 3,
      eventLineCount: 1,
      detailLineCount: 0,
      unparsedLineCount: 2,
    });
    expect(parser.unparsedLines).toHaveLength(2);
  });
});
