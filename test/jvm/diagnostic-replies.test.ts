import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  jdkMajorOf,
  parseClassHistogram,
  parseHeapDumpReply,
  parseThreadSummary,
  parseVmVersion,
} from '../../lib/jvm/diagnostic-replies.ts';
import { parseHeapInfo } from '../../lib/jvm/heap-info.ts';
import { fixture, fixtureNames } from './fixtures.ts';

const named = (part: string) => (name: string) => name.includes(part);

describe('parseVmVersion', () => {
  it('reads the versions', () => {
    expect(parseVmVersion(fixture('jdk17-version.txt'))).toEqual({
      vmName: 'OpenJDK 64-Bit Server VM',
      vmVersion: '17.0.15+6-Debian-1deb12u1',
      jdkVersion: '17.0.15',
      jdkMajor: 17,
    });
    expect(parseVmVersion(fixture('jdk25-version.txt'))).toEqual({
      vmName: 'OpenJDK 64-Bit Server VM',
      vmVersion: '25.0.3+9-LTS',
      jdkVersion: '25.0.3',
      jdkMajor: 25,
    });
  });

  it('has no answer for any other', () => {
    const answered = fixtureNames.filter((name) => parseVmVersion(fixture(name)) !== undefined);

    expect(answered).toEqual(fixtureNames.filter(named('version')));
  });

  it.each([
    ['17', 17],
    ['21.0.2', 21],
    ['1.8.0_412', 8],
    ['8.0_412', 8],
    ['25-ea', 25],
    ['unknown', undefined],
    ['99999', undefined],
  ])('reads the major version of %s as %s', (version, jdkMajor) => {
    expect(jdkMajorOf(version)).toEqual(jdkMajor === undefined ? {} : { jdkMajor });
  });
});

describe('parseClassHistogram', () => {
  it.each([17, 25])('reads the rows of JDK %i', (jdk) => {
    const text = fixture(`jdk${jdk}-histogram.txt`);

    const { rows, total } = parseClassHistogram(text, 1_000);

    const witness = rows.find(({ className }) => className === 'HeapWitness$Marker');
    expect(witness).toEqual({
      rank: witness?.rank,
      instances: 5_000,
      bytes: 120_000,
      className: 'HeapWitness$Marker',
    });
    expect(rows.find(({ className }) => className === '[B')?.module).toMatch(/^java\.base@/);
    expect(rows.map(({ rank }) => rank)).toEqual(rows.map((_, index) => index + 1));
    expect(rows.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(total?.bytes);
    expect(rows.reduce((sum, { instances }) => sum + instances, 0)).toBe(total?.instances);
  });

  it('stops at the limit', () => {
    const { rows, total } = parseClassHistogram(fixture('jdk17-histogram.txt'), 3);

    expect(rows).toHaveLength(3);
    expect(total?.instances).toBeGreaterThan(5_000);
  });

  it('has no total when the answer was cut, and drops a row that was cut', () => {
    const text = fixture('jdk17-histogram.txt');
    const whole = parseClassHistogram(text, 1_000).rows;
    const cut = text.indexOf('\n', 5_000);

    expect(parseClassHistogram(text.slice(0, cut + 30), 1_000).total).toBeUndefined();
    expect(whole).toEqual(
      expect.arrayContaining([...parseClassHistogram(text.slice(0, cut), 1_000).rows]),
    );
  });

  it('finds no rows in any other answer', () => {
    const answered = fixtureNames.filter(
      (name) => parseClassHistogram(fixture(name), 10).rows.length > 0,
    );

    expect(answered).toEqual(fixtureNames.filter(named('histogram')));
  });
});

describe('parseThreadSummary', () => {
  it('counts threads by state and finds the deadlock', () => {
    expect(parseThreadSummary(fixture('jdk17-threads.txt'))).toEqual({
      threadCount: 14,
      byState: {
        NEW: 0,
        RUNNABLE: 10,
        BLOCKED: 2,
        WAITING: 1,
        TIMED_WAITING: 1,
        TERMINATED: 0,
      },
      deadlockCount: 1,
    });
    expect(parseThreadSummary(fixture('jdk25-threads.txt'))).toMatchObject({
      byState: { BLOCKED: 2 },
      deadlockCount: 1,
    });
  });

  it('counts nothing in any other answer', () => {
    const answered = fixtureNames.filter((name) => parseThreadSummary(fixture(name)).threadCount);

    expect(answered).toEqual(fixtureNames.filter(named('threads')));
  });
});

describe('parseHeapDumpReply', () => {
  it.each([17, 25])('reads what JDK %i says of its dump', (jdk) => {
    expect(parseHeapDumpReply(fixture(`jdk${jdk}-dump-created.txt`))).toMatchObject({
      said: 'created',
    });
    expect(parseHeapDumpReply(fixture(`jdk${jdk}-dump-refused.txt`))).toMatchObject({
      said: 'failed',
      words: expect.stringMatching(/File exists$/) as unknown,
    });
    expect(parseHeapDumpReply(fixture(`jdk${jdk}-dump-nowhere.txt`))).toEqual({
      said: 'failed',
      words: 'Unable to create /nowhere/d.hprof: No such file or directory',
    });
  });

  it('keeps the words of an answer it does not know, bounded', () => {
    expect(parseHeapDumpReply('x'.repeat(1_000))).toEqual({
      said: 'unknown',
      words: 'x'.repeat(300),
    });
  });
});

it('answers any text without a throw, in time that grows with its length', () => {
  const pieces = fc.constantFrom(
    ' ',
    '1',
    ':',
    '\n',
    'Total ',
    '"',
    'used 1K',
    '[0x1, 0x2)',
    'JDK 17',
    ' version ',
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(pieces, { maxLength: 200 }).map((list) => list.join('')),
  );
  fc.assert(
    fc.property(text, (input) => {
      parseVmVersion(input);
      parseHeapInfo(input);
      parseClassHistogram(input, 10);
      parseThreadSummary(input);
      parseHeapDumpReply(input);
    }),
    { numRuns: 1_000 },
  );
  for (const filler of [' ', '1', '\n', ' 1: 1 1 ']) {
    const long = filler.repeat(1_000_000);
    expect(parseVmVersion(long)).toBeUndefined();
    expect(parseHeapInfo(long)).toBeUndefined();
    expect(parseThreadSummary(long).threadCount).toBe(0);
    expect(parseClassHistogram(long, 10).rows).toEqual([]);
  }
});
