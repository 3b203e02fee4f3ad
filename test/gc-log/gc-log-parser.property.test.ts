import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { GcEvent } from '../../lib/gc-log/gc-event.ts';
import { GcLogParser, maxUnparsedSampleCount } from '../../lib/gc-log/gc-log-parser.ts';
import { GcLogScan } from '../../lib/gc-log/gc-log-scan.ts';
import { maxLineBytes } from '../../lib/gc-log/line-splitter.ts';
import { fixture, readLog } from './read-log.ts';

const logs = [
  'jdk11-cms.log',
  'jdk17-g1-details.log',
  'jdk17-shenandoah.log',
  'jdk25-g1-all-decorators.log',
  'jdk25-zgc.log',
].map(fixture);
const legacy = Buffer.from(
  [
    '2026-05-26T14:45:37.987-0200: 1.500: [GC (Allocation Failure) 1.5: [ParNew',
    '- age   1:      65536 bytes,      65536 total',
    ': 1024K->64K(1024K), 0.0090000 secs] 2048K->1024K(4096K), 0.0100000 secs] [Times: user=0.06 sys=0.00, real=0.06 secs] ',
    '2.500: [GC pause (G1 Evacuation Pause) (young), 0.0100000 secs]',
    '   [Eden: 24.0M(24.0M)->0.0B(13.0M) Survivors: 0.0B->3072.0K Heap: 24.5M(256.0M)->12.0M(256.0M)]',
    '3.500: [Full GC (Ergonomics) [PSYoungGen: 64K->0K(1024K)] [ParOldGen: 900K->800K(2048K)] 2048K->1024K(4096K), 0.01 secs] ',
    '',
  ].join('\n'),
);

/** What every input must leave: each line counted once, numbers that are numbers, a bounded sample. */
function checkSane(events: readonly GcEvent[], parser: GcLogParser): void {
  const { lineCount, eventLineCount, detailLineCount, unparsedLineCount } = parser.counts;
  expect(eventLineCount + detailLineCount + unparsedLineCount).toBe(lineCount);
  expect(Math.min(eventLineCount, detailLineCount, unparsedLineCount)).toBeGreaterThanOrEqual(0);
  expect(parser.unparsedLines.length).toBeLessThanOrEqual(maxUnparsedSampleCount);
  for (const { text } of parser.unparsedLines) expect(text.length).toBeLessThanOrEqual(200);
  let last = -Infinity;
  for (const event of events) {
    for (const value of [event.pauseSeconds, event.heapAfterBytes, event.startSeconds]) {
      expect(value === undefined || Number.isFinite(value)).toBe(true);
    }
    const end = (event.startSeconds ?? last) + (event.pauseSeconds ?? 0);
    last = Math.max(last, end);
  }
}

/** A last line that is empty is none. */
function endsBare(log: readonly string[]): number {
  return (log.at(-1) ?? '') === '' ? 1 : 0;
}

/** A log with bytes overwritten, cut out, or doubled. */
const damaged = fc
  .tuple(
    fc.constantFrom(...logs, legacy),
    fc.array(fc.tuple(fc.nat(20_000), fc.uint8Array({ maxLength: 40 })), { maxLength: 20 }),
    fc.nat(20_000),
  )
  .map(([log, edits, cut]) => {
    const bytes = Buffer.from(log);
    for (const [at, edit] of edits) Buffer.from(edit).copy(bytes, at % bytes.length);
    return bytes.subarray(0, 1 + (cut % bytes.length));
  });

describe('GcLogParser, given anything', () => {
  it('takes random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => {
        const { events, parser } = readLog(Buffer.from(bytes));
        checkSane(events, parser);
      }),
    );
  });

  it('takes lines of the words of GC logs in any order', () => {
    const words = [
      '[',
      ']',
      '(',
      ')',
      ' ',
      '\n',
      ':',
      '->',
      'K',
      'M',
      'ms',
      ' secs',
      '1',
      '2.5',
      '99999999999',
      '[GC',
      '[Full GC',
      '[1.5s]',
      '[gc]',
      'GC(1) ',
      'Pause Young ',
      'Pause Full ',
      'Garbage Collection (',
      '10M->5M(20M)',
      ', 0.01 secs]',
      '[ParNew',
      '[CMS',
      '[Tenured',
      '[Eden: ',
      'Heap: ',
      '[YG occupancy',
      '(concurrent mode failure)',
      '2026-11-25T18:10:03.123+0000',
      '[Pause ',
      'CommandLine flags: ',
      '-XX:MaxHeapSize=1',
      'Using G1',
      'Allocation Stall (',
      '- age',
      '[0x',
    ];

    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words), { maxLength: 60 }), (parts) => {
        const { events, parser } = readLog(parts.join(''));
        checkSane(events, parser);
      }),
      { numRuns: 500 },
    );
  });

  it('takes damaged logs', () => {
    fc.assert(
      fc.property(damaged, (bytes) => {
        const { events, parser } = readLog(bytes);
        checkSane(events, parser);
      }),
    );
  });

  it('takes logs with lines of others spliced into them', () => {
    const lines = [...logs, legacy].flatMap((log) => log.toString('latin1').split('\n'));
    const spliced = fc
      .tuple(fc.constantFrom(...lines), fc.constantFrom(...lines), fc.nat(200), fc.nat(200))
      .map(([one, other, end, start]) => one.slice(0, end) + other.slice(start));

    fc.assert(
      fc.property(fc.array(spliced, { maxLength: 60 }), (log) => {
        const { events, parser } = readLog(log.join('\n'));
        checkSane(events, parser);
        expect(parser.counts.lineCount).toBe(log.join('\n').split('\n').length - endsBare(log));
      }),
    );
  });

  it('takes numbers of any size, and reports none that is not one', () => {
    const absurd = [
      '0',
      '-1',
      '9'.repeat(30),
      '9'.repeat(400),
      '1e999',
      '18446744073709551616',
      '',
    ];
    const changed = fc
      .tuple(
        fc.constantFrom(...logs, legacy),
        fc.infiniteStream(fc.tuple(fc.nat(9), fc.constantFrom(...absurd))),
      )
      .map(([log, changes]) =>
        log
          .subarray(0, 20_000)
          .toString('latin1')
          .replace(/\d+/g, (number) => {
            const [rarely, text] = changes.next().value as [number, string];
            return rarely === 0 ? text : number;
          }),
      );

    fc.assert(
      fc.property(changed, fc.boolean(), (log, isRecent) => {
        const { events, parser } = readLog(log);
        checkSane(events, parser);
        const scan = new GcLogScan({
          limits: {},
          ...(isRecent ? { withinSeconds: 300 } : {}),
        });
        scan.push(Buffer.from(log));
        scan.end();
        const numbers: number[] = [];
        JSON.stringify(scan.report({ epochMilliseconds: 1e12 }), (_key, value: unknown) => {
          if (typeof value === 'number') numbers.push(value);
          return value;
        });
        expect(numbers.filter((number) => !Number.isFinite(number))).toEqual([]);
      }),
    );
  });

  it('says the same wherever the stream is cut', () => {
    const log = Buffer.concat([...logs.slice(3), legacy]);
    const whole = readLog(log);

    fc.assert(
      fc.property(fc.array(fc.nat(log.length), { maxLength: 30 }), (cuts) => {
        const events: GcEvent[] = [];
        const parser = new GcLogParser((event) => events.push(event));
        const places = [0, ...cuts.sort((one, other) => one - other), log.length];
        for (const [index, place] of places.entries()) {
          // A buffer that is used again, as files are read.
          const chunk = Buffer.from(log.subarray(places[index - 1] ?? 0, place));
          parser.push(chunk);
          chunk.fill(0);
        }
        parser.end();
        expect(events).toEqual(whole.events);
        expect(parser.counts).toEqual(whole.parser.counts);
      }),
      { numRuns: 30 },
    );
  });

  it('does not keep a line without an end, and goes on behind it', () => {
    const events: GcEvent[] = [];
    const parser = new GcLogParser((event) => events.push(event));
    for (let count = 0; count < 64; count += 1) parser.push(Buffer.alloc(64 * 1024, '('));
    parser.push(
      Buffer.from('\n[1.0s][gc] GC(0) Pause Young (Allocation Failure) 2M->1M(4M) 1.000ms\n'),
    );
    parser.end();

    expect(events).toHaveLength(1);
    expect(parser.cutLineCount).toBe(1);
    expect(parser.counts).toMatchObject({ lineCount: 2, unparsedLineCount: 1 });
  });

  // Each of these is quadratic or worse in a reader that tries again from every place; 8 MiB would then take hours.
  it.each([
    ['open parentheses', '(', '[1.0s][gc] GC(0) Pause Young '],
    ['open brackets', '[', '1.5: [GC '],
    ['decorators', '[a]', ''],
    ['digits', '9', '1.5: [GC '],
    ['arrows', '1K->', '1.5: [GC '],
    ['blanks', ' ', '[1.0s][gc] GC(0) Pause Young '],
    ['heaps', 'Heap: 1.0M(', '1.5: [GC pause (young), 0.01 secs]\n   [Eden: '],
    ['colons', ':', '2026-05-26T14:45:37.987-0200'],
  ])('reads lines of %s in one pass', (_, part, head) => {
    const line = Buffer.from(
      head + part.repeat(Math.floor((maxLineBytes - head.length) / part.length)) + '\n',
    );
    const log = Buffer.concat(Array.from({ length: 128 }, () => line));
    const { events, parser } = readLog(log);

    checkSane(events, parser);
    expect(parser.counts.lineCount).toBeGreaterThanOrEqual(128);
  });
});
