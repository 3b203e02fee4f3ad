import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { CaptureError } from '../errors.ts';

/**
 * The Python of a venv of our own under the user's cache folder, with what `requirements` pins, installed on first use from
 * PyPI with its hashes checked. Other requirements are another venv. Two installers at once: the first rename wins.
 * @param options what is named in the message to a person, such as "the local AWS".
 * @throws CaptureError NotSupported when there is no usable Python; InvalidConfiguration when it cannot be installed.
 */
export function installedPython(options: {
  name: string;
  what: string;
  /** File that pins every package by version and hash. */
  requirements: string;
  report?: (line: string) => void;
}): string {
  const { name, what, requirements, report } = options;
  const hash = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 12);
  const cache = process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache');
  const venv = path.join(cache, 'heapcatch', `${name}-${hash}`);
  const python = path.join(venv, 'bin', 'python');
  if (existsSync(python)) return python;
  const probe = spawnSync('python3', [
    '-c',
    'import sys, venv, ensurepip; sys.exit(0 if sys.version_info >= (3, 10) else 9)',
  ]);
  if (probe.status !== 0) {
    throw new CaptureError(
      'NotSupported',
      `no usable Python: ${what} needs python3 3.10 or newer with venv (Debian: python3-venv)`,
    );
  }
  report?.(`installing ${what} (once, from PyPI, hashes checked)`);
  const draft = `${venv}-${process.pid}`;
  mkdirSync(path.dirname(venv), { recursive: true });
  rmSync(draft, { recursive: true, force: true });
  run('python3', ['-m', 'venv', draft]);
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
  run(path.join(draft, 'bin', 'python'), [...pip, '--require-hashes', '-r', requirements]);
  try {
    renameSync(draft, venv);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(python)) throw error;
  }
  return python;
}

function run(command: string, args: readonly string[]): void {
  const result = spawnSync(command, args, { encoding: 'utf8', timeout: 300_000 });
  if (result.status === 0) return;
  const said = result.stderr.trim().split('\n').slice(-3).join(' ').slice(0, 400);
  throw new CaptureError('InvalidConfiguration', `${command} ${args[1] ?? ''} failed: ${said}`);
}
