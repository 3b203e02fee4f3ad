import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Jdk } from '../../lib/local/jdks.ts';

const applications = join(import.meta.dirname, 'apps');
/** Outlives the test files, and the run: what lies in it is named by what it was made of. */
export const builtFolder = join(import.meta.dirname, '../../.jest-cache');

/** Folder with the classes of all applications of test/live-jvm/apps, compiled once for each JDK and state of them. */
export function classesOf(jdk: Jdk): string {
  const sources = globSync('*.java', { cwd: applications })
    .sort()
    .map((name) => join(applications, name));
  const hash = createHash('sha256').update(`${jdk.home} ${jdk.version}`);
  for (const source of sources) hash.update(`\0${source}\0`).update(readFileSync(source));
  return builtOnce(`classes-${hash.digest('hex').slice(0, 16)}`, (folder) => {
    // It lives for a second: the fast compiler alone halves its work.
    const quick = ['-J-XX:TieredStopAtLevel=1', '-J-XX:+UseSerialGC'];
    const javac = join(jdk.home, 'bin/javac');
    execFileSync(javac, [...quick, '-d', folder, ...sources], { timeout: 60_000 });
  });
}

/**
 * A folder that `build` has filled, in this run or an earlier one: whole or not at all, though test files that want
 * it run at once.
 */
export function builtOnce(name: string, build: (folder: string) => void): string {
  const folder = join(builtFolder, name);
  if (existsSync(folder)) return folder;
  mkdirSync(builtFolder, { recursive: true });
  const unfinished = mkdtempSync(join(builtFolder, 'unfinished-'));
  try {
    build(unfinished);
    renameSync(unfinished, folder);
  } catch (error) {
    // Another one was first.
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
  }
  return folder;
}
