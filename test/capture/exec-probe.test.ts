import { describe, expect, it } from '@jest/globals';
import {
  agentMemoryBytes,
  chooseExecStart,
  jcmdMemoryBytes,
  parseProbe,
  type ExecProbe,
} from '../../lib/capture/exec-probe.ts';

const whole = [
  'java=/opt/java/bin/java',
  'javaVersion="17.0.15"',
  'jcmd=/opt/java/bin/jcmd',
  'uid=1000',
  'limitBytes=1073741824',
  'usedBytes=500000000',
  'fileBytes=100000000',
  'fileBytes=50000000',
  'writable=/dumps',
  'writable=/tmp',
  'end=1',
].join('\n');

const probe = (changes: Partial<ExecProbe> = {}): ExecProbe => ({
  ...parseProbe(whole)!,
  ...changes,
});

describe('parseProbe', () => {
  it('reads what the container has, without the page cache in what it uses', () => {
    expect(parseProbe(whole)).toEqual({
      missingTools: [],
      java: '/opt/java/bin/java',
      javaMajor: 17,
      jcmd: '/opt/java/bin/jcmd',
      uid: 1000,
      writableDirectories: ['/dumps', '/tmp'],
      memoryLimitBytes: 1_073_741_824,
      memoryUsedBytes: 350_000_000,
    });
  });

  it('takes an output without its last line for none, since exec can lose the tail', () => {
    expect(parseProbe(whole.replace('end=1', ''))).toBeUndefined();
    expect(parseProbe('')).toBeUndefined();
  });

  it.each(['9223372036854771712', 'max', '-1', ''])('knows no limit in %j', (limit) => {
    expect(parseProbe(`limitBytes=${limit}\nend=1`)).not.toHaveProperty('memoryLimitBytes');
  });

  it.each([
    ['"1.8.0_412"', 8],
    ['25', 25],
    ['"21.0.1+12"', 21],
  ])('reads the major version of %s', (version, major) => {
    expect(parseProbe(`javaVersion=${version}\nend=1`)?.javaMajor).toBe(major);
  });

  it('passes over lines that are not its own', () => {
    expect(parseProbe('motd: welcome\njava=relative\n=\nend=1')).toEqual({
      missingTools: [],
      writableDirectories: [],
    });
  });
});

describe('chooseExecStart', () => {
  it('takes the first directory that may be written to', () => {
    expect(chooseExecStart(probe())).toEqual({
      outcome: 'chosen',
      java: '/opt/java/bin/java',
      jcmd: '/opt/java/bin/jcmd',
      directory: '/dumps',
    });
  });

  const without = (key: string): ExecProbe =>
    parseProbe(whole.replace(new RegExp(`^${key}=.*$`, 'm'), ''))!;

  it.each<[string, ExecProbe]>([
    ['JavaMissing', without('java')],
    ['ShellToolsMissing', probe({ missingTools: ['sha256sum'] })],
    ['AttachClientUnavailable', { ...without('jcmd'), javaMajor: 11 }],
    ['NoWritableDirectory', probe({ writableDirectories: [] })],
    ['MemoryHeadroomTooSmall', probe({ memoryLimitBytes: 350_000_000 + agentMemoryBytes - 1 })],
    [
      'MemoryHeadroomTooSmall',
      probe({
        ...{ javaMajor: 8 },
        memoryLimitBytes: 350_000_000 + agentMemoryBytes + jcmdMemoryBytes - 1,
      }),
    ],
  ])('refuses with %s', (code, found) => {
    expect(chooseExecStart(found)).toMatchObject({ outcome: 'refused', code, retryable: false });
  });

  it.each<[string, ExecProbe]>([
    ['an old Java that has a jcmd', probe({ javaMajor: 8 })],
    ['a Java 16 without jcmd', { ...without('jcmd'), javaMajor: 16 }],
    ['a Java whose version is not known', without('javaVersion')],
    ['just enough memory', probe({ memoryLimitBytes: 350_000_000 + agentMemoryBytes })],
    ['memory without a limit', without('limitBytes')],
  ])('accepts %s', (_name, found) => {
    expect(chooseExecStart(found).outcome).toBe('chosen');
  });
});
