import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { say, setting } from './settings.ts';

const version = '0.10.0';
const installSeconds = 900;

/**
 * A second opinion on whether a dump opens: hprof-slurp, of HEAPCATCH_HPROF_SLURP or built once by cargo into the
 * user's cache. `undefined`, and a line that says so, where it cannot be built; our own HeapScan is then the only judge.
 */
export async function findHprofSlurp(): Promise<string | undefined> {
  const given = setting('HEAPCATCH_HPROF_SLURP', '');
  if (given !== '') return given;
  const root = join(
    setting('XDG_CACHE_HOME', join(homedir(), '.cache')),
    `heapcatch-bench/hprof-slurp-${version}`,
  );
  const program = join(root, 'bin/hprof-slurp');
  if (existsSync(program)) return program;
  say(`building hprof-slurp ${version} into ${root}`);
  try {
    await promisify(execFile)(
      'cargo',
      ['install', 'hprof-slurp', '--version', version, '--locked', '--root', root],
      { timeout: installSeconds * 1_000, maxBuffer: 64 << 20 },
    );
    return program;
  } catch (error) {
    const reason = error instanceof Error ? error.message.trim().split('\n').at(-1) : String(error);
    say(`hprof-slurp cannot be built (${reason}): only HeapScan judges whether a dump opens`);
    return undefined;
  }
}
