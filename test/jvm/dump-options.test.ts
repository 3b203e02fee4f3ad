import { describe, expect, it } from '@jest/globals';
import { parseDumpOptions } from '../../lib/jvm/dump-options.ts';

describe('parseDumpOptions', () => {
  it.each([
    [[], undefined, { onOutOfMemoryError: false }],
    [['-Xmx1g', '-XX:+HeapDumpOnOutOfMemoryError', 'Main'], '', { onOutOfMemoryError: true }],
    [
      ['-XX:+HeapDumpOnOutOfMemoryError', '-XX:-HeapDumpOnOutOfMemoryError'],
      undefined,
      { onOutOfMemoryError: false },
    ],
    [['-XX:HeapDumpPath='], undefined, { onOutOfMemoryError: false }],
    [
      ['-XX:HeapDumpPath=/a', '-XX:HeapDumpPath=/b'],
      '-XX:HeapDumpPath=/c',
      { onOutOfMemoryError: false, heapDumpPath: '/b' },
    ],
    [
      [],
      '-Dx="a b" -XX:+HeapDumpOnOutOfMemoryError  -XX:HeapDumpPath="/my dumps/x.hprof" \'-Dy=z\'',
      { onOutOfMemoryError: true, heapDumpPath: '/my dumps/x.hprof' },
    ],
    [[], '-XX:HeapDumpPath="/open', { onOutOfMemoryError: false, heapDumpPath: '/open' }],
  ])('reads %j and JAVA_TOOL_OPTIONS=%s', (commandLine, toolOptions, expected) => {
    expect(parseDumpOptions(commandLine, toolOptions)).toEqual(expected);
  });
});
