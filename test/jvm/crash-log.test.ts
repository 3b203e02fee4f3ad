import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { readCrashHead } from '../../lib/jvm/crash-log.ts';
import { anyText } from '../any-text.ts';

const fatal = '#\n# A fatal error has been detected by the Java Runtime Environment:\n#\n';

/** Heads as JDK 17 and 25 write them; test/live-jvm/crash.test.ts has real ones. */
describe('readCrashHead', () => {
  it.each([
    [
      `${fatal}#  SIGSEGV (0xb) at pc=0x00007f, pid=1, tid=7\n#\n# Problematic frame:\n# C  [libc.so.6+0x8]\n#\n`,
      {
        kind: 'signal',
        cause: 'SIGSEGV (0xb) at pc=0x00007f, pid=1, tid=7',
        frame: 'C  [libc.so.6+0x8]',
      },
    ],
    [
      `${fatal}#  Internal Error (debug.cpp:362), pid=1, tid=30\n#  fatal error: OutOfMemory encountered: Java heap space\n#\n`,
      { kind: 'javaOutOfMemory', cause: 'fatal error: OutOfMemory encountered: Java heap space' },
    ],
    [
      '#\n# There is insufficient memory for the Java Runtime Environment to continue.\n# Native memory allocation (mmap) failed to map 65536 bytes.\n',
      {
        kind: 'nativeOutOfMemory',
        cause: 'Native memory allocation (mmap) failed to map 65536 bytes.',
      },
    ],
    [
      `${fatal}#  Internal Error (g1.cpp:1), pid=1, tid=2\n#  guarantee(x) failed: y\n`,
      { kind: 'internalError', cause: 'Internal Error (g1.cpp:1), pid=1, tid=2' },
    ],
    [fatal, { kind: 'unknown' }],
  ])('reads %j', (text, facts) => {
    expect(readCrashHead(text)).toEqual(facts);
  });

  it('takes other text for no crash log, and never throws', () => {
    expect(readCrashHead('SIGSEGV (0xb) at pc=0\n')).toBeUndefined();
    fc.assert(
      fc.property(anyText(), (text) => {
        const facts = readCrashHead(`${fatal}#  Internal Error ${text}`);
        expect(facts?.cause ?? '').toMatch(/^[\u0020-\u007e]{0,200}$/);
      }),
    );
  });
});
