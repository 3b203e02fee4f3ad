import { describe, expect, it } from '@jest/globals';
import { countsOf, fixture, mebi, onlyEvent, readLog } from './read-log.ts';

describe('unified logs of real JVMs', () => {
  it.each([
    ['jdk11-cms.log', 'CMS', { young: 6, phase: 3, full: 2 }],
    ['jdk17-serial.log', 'Serial', { young: 14, full: 2 }],
    ['jdk17-parallel.log', 'Parallel', { young: 10, full: 2 }],
    ['jdk17-g1-details.log', 'G1', { young: 8, full: 2 }],
    ['jdk17-zgc.log', 'ZGC', { majorCycle: 3 }],
    ['jdk17-shenandoah.log', 'Shenandoah', { majorCycle: 11, phase: 32, heapSample: 21 }],
    ['jdk21-zgc-generational.log', 'ZGC', { majorCycle: 5, minorCycle: 3 }],
    ['jdk25-serial.log', 'Serial', { young: 14, full: 2 }],
    ['jdk25-parallel.log', 'Parallel', { young: 11, full: 2 }],
    ['jdk25-g1-all-decorators.log', 'G1', { young: 7, full: 2 }],
    ['jdk25-zgc.log', 'ZGC', { majorCycle: 5, minorCycle: 6 }],
    [
      'jdk25-shenandoah-generational.log',
      'Shenandoah',
      { minorCycle: 6, majorCycle: 2, phase: 22, heapSample: 15 },
    ],
  ])('%s: every line is understood', (name, collector, counts) => {
    const { events, parser } = readLog(fixture(name));

    expect(parser.unparsedLines).toEqual([]);
    expect(parser.collector).toBe(collector);
    expect(countsOf(events)).toEqual(counts);
  });

  it('counts each line once', () => {
    const { parser } = readLog(fixture('jdk17-g1-details.log'));
    const { lineCount, eventLineCount, detailLineCount, unparsedLineCount } = parser.counts;

    expect({ lineCount, eventLineCount }).toEqual({ lineCount: 180, eventLineCount: 10 });
    expect(eventLineCount + detailLineCount + unparsedLineCount).toBe(lineCount);
  });

  it('knows the limit of the heap from the details', () => {
    expect(readLog(fixture('jdk17-g1-details.log')).parser.maxHeapBytes).toBe(64 * mebi);
  });
});

describe('unified lines', () => {
  it('reads cause, pause, heap and both times of a pause, which is stamped at its end', () => {
    const line =
      '[2026-11-25T18:10:03.500+0100][12.500s][info][gc          ] GC(7) Pause Young (Mixed) (G1 Evacuation Pause) (Evacuation Failure: Allocation) 24M->5M(256M) 500.000ms\n';

    expect(onlyEvent(line)).toEqual({
      kind: 'mixed',
      cause: 'G1 Evacuation Pause',
      pauseSeconds: 0.5,
      heapBeforeBytes: 24 * mebi,
      heapAfterBytes: 5 * mebi,
      heapCapacityBytes: 256 * mebi,
      evacuationFailed: true,
      startSeconds: Date.UTC(2026, 10, 25, 17, 10, 3) / 1000,
      startEpochMilliseconds: Date.UTC(2026, 10, 25, 17, 10, 3),
    });
  });

  it.each([
    ['', undefined, undefined],
    ['[0.250s]', 0.05, undefined],
    ['[250ms]', 0.05, undefined],
    ['[250000000ns]', 0.05, undefined],
    ['[1795632362862ms]', 1_795_632_362.662, 1_795_632_362_662],
    ['[2026-11-25T18:10:03.200Z]', 1_795_630_203, 1_795_630_203_000],
    ['[0.250s][host-1.example][info][gc,start   ]', 0.05, undefined],
  ])('takes the time of the decorators %s', (decorators, startSeconds, epoch) => {
    const blank = decorators === '' ? '' : ' ';
    const event = onlyEvent(
      `${decorators}${blank}GC(1) Pause Full (System.gc()) 9M->1M(10M) 200.000ms\n`,
    );

    expect(event.kind).toBe('full');
    expect(event.startEpochMilliseconds).toBe(epoch);
    if (startSeconds === undefined) expect(event.startSeconds).toBeUndefined();
    else expect(event.startSeconds).toBeCloseTo(startSeconds, 6);
  });

  it.each([
    ['GC(3) Pause Young (Allocation Failure) 24M->5M(256M) 1.000ms', 'young', 'Allocation Failure'],
    [
      'GC(3) Pause Initial Mark (G1 Humongous Allocation) 24M->5M(256M) 1.000ms',
      'young',
      'G1 Humongous Allocation',
    ],
    ['GC(3) Pause Initial Mark 24M->24M(256M) 1.000ms', 'phase', undefined],
    ['GC(3) Pause Remark 24M->24M(256M) 1.000ms', 'phase', undefined],
    ['GC(3) y: Pause Mark Start 0.010ms', 'phase', undefined],
    ['GC(3) Pause Full (G1 Compaction Pause) 24M->5M(256M) 1.000ms', 'full', 'G1 Compaction Pause'],
    [
      'GC(3) Pause Degenerated GC (Outside of Cycle) 24M->5M(256M) 1.000ms',
      'degenerated',
      'Outside of Cycle',
    ],
    ['GC(3) Pause Init Mark (unload classes) 0.100ms', 'majorCycle', undefined],
    ['GC(3) Pause Init Mark (Young) 0.100ms', 'minorCycle', undefined],
    [
      'GC(3) Garbage Collection (Allocation Stall) 96M(100%)->48M(50%)',
      'majorCycle',
      'Allocation Stall',
    ],
    [
      'GC(3) Minor Collection (Allocation Rate) 96M(100%)->48M(50%) 0.100s',
      'minorCycle',
      'Allocation Rate',
    ],
    ['GC(3) Major Collection (Proactive) 96M(100%)->48M(50%) 0.100s', 'majorCycle', 'Proactive'],
    ['Allocation Stall (worker (1)) 11.000ms', 'allocationStall', undefined],
    ['GC(3) Concurrent cleanup 50M->40M(96M) 0.100ms', 'heapSample', undefined],
  ])('%s', (message, kind, cause) => {
    expect(onlyEvent(`[1.000s][info][gc] ${message}\n`)).toMatchObject({ kind, cause });
  });

  it('takes the capacity of ZGC from the larger share', () => {
    const event = onlyEvent('[1s][gc] GC(0) Garbage Collection (Warmup) 50M(50%)->3M(3%)\n');

    expect(event.heapCapacityBytes).toBe(100 * mebi);
  });

  it('shows a pause that does not go on as one, and lines of others, as unparsed', () => {
    const { events, parser } = readLog(
      [
        '[1.000s][info][gc] Using G1',
        '[1.000s][info][gc] GC(0) Pause Young (Normal) (G1 Evacuation Pause) 24M->5M(256M) x12ms',
        '[main] INFO com.example.App started',
        'java.lang.OutOfMemoryError: Java heap space',
        '\tat com.example.App.main(App.java:3)',
        '[1.200s][info][gc,start] GC(1) Pause Young (Normal) (G1 Evacuation Pause)',
        '',
      ].join('\n'),
    );

    expect(events).toEqual([]);
    expect(parser.unparsedLines.map(({ lineNumber }) => lineNumber)).toEqual([2, 3, 4, 5]);
    expect(parser.unparsedLines[2]?.text).toBe('java.lang.OutOfMemoryError: Java heap space');
    expect(parser.counts).toMatchObject({ unparsedLineCount: 4, detailLineCount: 2 });
  });

  it('puts the lives of an appended log one behind the other', () => {
    const life = [
      '[0.004s][info][gc] Using G1',
      '[1.000s][info][gc] GC(0) Pause Young (Normal) (G1 Evacuation Pause) 24M->5M(256M) 0.000ms',
      '[9.000s][info][gc] GC(1) Pause Young (Normal) (G1 Evacuation Pause) 24M->5M(256M) 0.000ms',
      '',
    ].join('\n');
    const { events, parser } = readLog(life + life);

    expect(events.map(({ startSeconds }) => startSeconds)).toEqual([1, 9, 10, 18]);
    expect(parser.restartCount).toBe(1);
  });

  it('takes brackets with words in them for no decorators', () => {
    const event = '[1.000s] GC(0) Pause Remark 24M->24M(256M) 1.000ms\n';
    const { parser } = readLog(`${event}[1.100s] a detail\n[pool worker] of the application\n`);

    expect(parser.unparsedLines.map(({ lineNumber }) => lineNumber)).toEqual([3]);
  });

  it('sees a restart where lines carry only a date', () => {
    const life = [
      '[2026-11-25T18:10:03.500+0000][gc] Using Serial',
      '[2026-11-25T18:10:04.500+0000][gc] GC(0) Pause Young (Allocation Failure) 24M->5M(256M) 1.000ms',
      '',
    ].join('\n');

    expect(readLog(life).parser.restartCount).toBe(0);
    expect(readLog(life + life).parser.restartCount).toBe(1);
  });
});
