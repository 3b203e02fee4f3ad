import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CaptureError } from '../../lib/errors.ts';
import { encodeAttachRequest } from '../../lib/jvm/attach-protocol.ts';
import { heapDumpCommand, quotedPath } from '../../lib/jvm/diagnostic-commands.ts';
import { anyText } from '../any-text.ts';
import { errorOf } from '../hprof/chunks.ts';

describe('heapDumpCommand', () => {
  it('dumps all objects, neither overwriting nor compressing', () => {
    expect(heapDumpCommand('/tmp/d.hprof', { jdkMajor: 17 })).toBe(
      "GC.heap_dump -all '/tmp/d.hprof'",
    );
  });

  it.each([
    [21, "GC.heap_dump -all '/d'"],
    [22, "GC.heap_dump -all -parallel=2 '/d'"],
  ])('asks JDK %i for threads only if it knows the option', (jdkMajor, command) => {
    expect(heapDumpCommand('/d', { jdkMajor, parallelCount: 2 })).toBe(command);
  });

  it.each([0, 65, 1.5])('refuses %d threads', (parallelCount) => {
    const error = errorOf(() => heapDumpCommand('/d', { jdkMajor: 25, parallelCount }));

    expect(error).toMatchObject({ code: 'DumpFailed' });
  });
});

describe('quotedPath', () => {
  it.each([
    ['/tmp/a b=c,d;e.hprof', "'/tmp/a b=c,d;e.hprof'"],
    ['/tmp/über', "'/tmp/über'"],
    ["/tmp/it's", `"/tmp/it's"`],
    ['/tmp/"quoted"', `'/tmp/"quoted"'`],
  ])('quotes %s', (path, quoted) => {
    expect(quotedPath(path)).toBe(quoted);
  });

  it.each([
    'relative',
    '',
    '/tmp/both\'"',
    '/tmp/back\\slash',
    '/tmp/%p',
    '/tmp/line\nVM.uptime',
    '/tmp/nul\0',
    `/${'x'.repeat(900)}`,
    `/${'ü'.repeat(450)}`,
  ])('refuses %j', (path) => {
    const error = errorOf(() => quotedPath(path));

    expect(error.code).toBe('DumpPlaceUnavailable');
    expect(error.message).toMatch(/accepted are absolute paths/);
  });

  it('refuses or gives one argument that fits into a request', () => {
    fc.assert(
      fc.property(anyText({ maxLength: 1_200 }), (name) => {
        try {
          const command = heapDumpCommand(`/${name}`, { jdkMajor: 25, parallelCount: 64 });
          const quote = command.at(-1) ?? '';
          expect(command.split(quote)).toHaveLength(3);
          encodeAttachRequest('jcmd', [command]);
        } catch (error) {
          expect(error).toBeInstanceOf(CaptureError);
          expect(error).toMatchObject({ code: 'DumpPlaceUnavailable' });
        }
      }),
    );
  });
});
