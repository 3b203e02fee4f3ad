import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Jdk } from '../../lib/local/jdks.ts';

const compiled = new Map<string, string>();
process.once('exit', () => {
  for (const folder of compiled.values()) rmSync(folder, { recursive: true, force: true });
});

/** Folder with the classes of an application of test/live-jvm/apps, compiled once in a test file for each JDK. */
export function classesOf(jdk: Jdk, application: string): string {
  const key = `${jdk.home} ${application}`;
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const folder = mkdtempSync(join(tmpdir(), 'heapcatch-classes-'));
  compiled.set(key, folder);
  const source = join(import.meta.dirname, `apps/${application}.java`);
  execFileSync(join(jdk.home, 'bin/javac'), ['-d', folder, source], { timeout: 60_000 });
  return folder;
}
