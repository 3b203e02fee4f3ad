import { readFileSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** A JDK with java, javac and jcmd, told by its `release` file. */
export interface Jdk {
  readonly home: string;
  readonly major: number;
  /** As its `release` file has it: `17.0.15`. */
  readonly version: string;
}

/**
 * The JDKs of this machine, each once, newest first: JAVA_HOME, those on PATH, and /usr/lib/jvm/*.
 * Empty when there is none; a JRE without javac does not count.
 */
export function findJdks(env: NodeJS.ProcessEnv = process.env): readonly Jdk[] {
  const fromPath = (env['PATH'] ?? '')
    .split(delimiter)
    .filter((directory) => directory !== '')
    .map((directory) => realPath(join(directory, 'javac')))
    .filter((javac) => javac !== undefined)
    .map((javac) => dirname(dirname(javac)));
  const javaHome = env['JAVA_HOME'];
  const candidates = [
    ...(javaHome === undefined || javaHome === '' ? [] : [javaHome]),
    ...fromPath,
    ...namesIn('/usr/lib/jvm').map((name) => join('/usr/lib/jvm', name)),
  ];
  const homes = new Set(candidates.map(realPath).filter((home) => home !== undefined));
  return [...homes]
    .map(jdkAt)
    .filter((jdk) => jdk !== undefined)
    .sort((one, other) => other.major - one.major || one.home.localeCompare(other.home));
}

function jdkAt(home: string): Jdk | undefined {
  try {
    for (const program of ['java', 'javac', 'jcmd']) statSync(join(home, 'bin', program));
    const release = readFileSync(join(home, 'release'), 'utf8');
    const version = /^JAVA_VERSION="([^"]{1,100})"/m.exec(release)?.[1];
    const major = /^(?:1\.)?(\d+)/.exec(version ?? '')?.[1];
    return version === undefined || major === undefined
      ? undefined
      : { home, major: Number(major), version };
  } catch {
    return undefined;
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
