import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { CaptureError } from '../../errors.ts';
import { findJdks, type Jdk } from '../jdks.ts';

/** Single-file sources by javac, the attach protocol and jdk.httpserver are all there from here on. */
const oldestMajor = 11;

/**
 * What the demo needs of this machine: Linux and a JDK (Python is looked for where it is used).
 * @throws CaptureError NotSupported, one clear line.
 */
export function requireMachine(platform: NodeJS.Platform = process.platform): Jdk {
  if (platform !== 'linux') {
    throw new CaptureError(
      'NotSupported',
      `the demo needs Linux (it follows real JVM processes through /proc), this is ${platform}`,
    );
  }
  const jdk = findJdks().find((candidate) => candidate.major >= oldestMajor);
  if (jdk === undefined) {
    throw new CaptureError(
      'NotSupported',
      `no JDK of ${oldestMajor} or newer was found in JAVA_HOME, on PATH or in /usr/lib/jvm (Debian: openjdk-17-jdk-headless)`,
    );
  }
  return jdk;
}

/** Compiles the leaking application. @returns the folder of its classes. */
export function compileApplication(jdk: Jdk, folder: string): string {
  const classes = path.join(folder, 'classes');
  mkdirSync(classes);
  const source = path.join(import.meta.dirname, '../application/LeakingApplication.java');
  execFileSync(path.join(jdk.home, 'bin/javac'), ['-d', classes, source], { timeout: 60_000 });
  return classes;
}
