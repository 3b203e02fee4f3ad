import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCrashHead } from '../../lib/jvm/crash-log.ts';
import { logNamePattern } from '../../lib/jvm/log-options.ts';
import { classesOf } from './classes.ts';
import { jdksUnderTest } from './jdks.ts';

jest.setTimeout(120_000);

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heapcatch-crash-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe.each(jdksUnderTest().map((jdk) => [jdk.version, jdk] as const))(
  'a JVM of JDK %s that crashed',
  (_version, jdk) => {
    /** Lets it run to its end in a folder of its own. */
    async function crash(options: readonly string[], signal?: NodeJS.Signals): Promise<void> {
      const classes = classesOf(jdk);
      const small = ['-Xmx16m', '-XX:-CreateCoredumpOnCrash'];
      const words = [...small, ...options, '-cp', classes, 'OutOfMemory'];
      const jvm = spawn(
        join(jdk.home, 'bin/java'),
        signal === undefined ? words : [...words, 'wait'],
        { cwd: folder, stdio: ['pipe', 'pipe', 'ignore'] },
      );
      const ended = once(jvm, 'exit');
      await once(jvm.stdout, 'data');
      jvm.stdout.resume();
      if (signal !== undefined) jvm.kill(signal);
      await ended;
    }

    /** The one file of that log's name, read as the agent does. */
    function head(name: string): ReturnType<typeof readCrashHead> {
      const pattern = logNamePattern(name);
      const files = readdirSync(folder).filter((file) => pattern.test(file));
      expect(files).toHaveLength(1);
      return readCrashHead(readFileSync(join(folder, files[0] ?? ''), 'latin1'));
    }

    it('says which signal it was, in its working directory', async () => {
      await crash([], 'SIGSEGV');

      expect(head('hs_err_pid%p.log')).toMatchObject({
        kind: 'signal',
        cause: expect.stringMatching(/^SIGSEGV \(0xb\)/),
        frame: expect.stringContaining('['),
      });
    });

    it('says that the heap was exhausted, under -XX:+CrashOnOutOfMemoryError', async () => {
      await crash(['-XX:+CrashOnOutOfMemoryError', '-XX:ErrorFile=./error-%p.txt']);

      expect(head('error-%p.txt')).toMatchObject({ kind: 'javaOutOfMemory' });
    });

    it('leaves the GC log of the life before under a name that is of the same log', async () => {
      const option = '-Xlog:gc:file=gc.log';
      await crash([option], 'SIGTERM');
      const first = readFileSync(join(folder, 'gc.log'), 'utf8');
      await crash([option], 'SIGTERM');

      const pattern = logNamePattern('gc.log');
      const kept = readdirSync(folder).filter((file) => file !== 'gc.log' && pattern.test(file));
      expect(kept.map((file) => readFileSync(join(folder, file), 'utf8'))).toEqual([first]);
    });
  },
);
