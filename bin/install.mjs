// Runs before the npm scripts that a fresh clone starts with: installs the locked dependencies once.
// Plain JavaScript without imports of ours: it must run on whatever Node the machine has.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';

const lock = new URL('../package-lock.json', import.meta.url);
const installed = new URL('../node_modules/.package-lock.json', import.meta.url);
const fresh = existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs;
if (!fresh) {
  process.stderr.write('heapcatch: installing the locked dependencies (npm ci), once\n');
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: new URL('..', import.meta.url),
    stdio: ['ignore', 2, 2],
  });
  if (npm.status !== 0) {
    process.stderr.write('heapcatch: npm ci failed; see its message above\n');
    process.exit(1);
  }
}
