import { describe, expect, it } from '@jest/globals';
import { dumpNameOf } from '../../lib/hprof/leftover-name.ts';

describe('dumpNameOf', () => {
  it.each([
    ['java_pid1.hprof', { kind: 'dump' }],
    ['java_pid1.hprof.1', { kind: 'dump' }],
    ['by hand.hprof', { kind: 'dump' }],
    ['java_pid1.hprof.gz', { kind: 'compressed' }],
    ['heapcatch-abcdefghijklmnop-12.hprof', { kind: 'capture', captureId: 'abcdefghijklmnop' }],
    ['java_pid1.hprof.p0', undefined],
    ['java_pid1.hprof.tmp', undefined],
    ['hprof', undefined],
    ['heap.bin', undefined],
  ])('takes %s for %j', (fileName, expected) => {
    expect(dumpNameOf(fileName)).toEqual(expected);
  });
});
