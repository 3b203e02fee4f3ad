#!/usr/bin/env node
// The command line, from whatever Node the machine has: it installs what it needs once, and runs on the Node that
// comes with that, which takes TypeScript as it is. Plain JavaScript, and nothing of ours but the installation.
import './install.mjs';
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const [major] = process.versions.node.split('.').map(Number);
if (major >= 24) await import('../lib/cli/main.ts');
else runOnOwnNode();

function runOnOwnNode() {
  const fileOf = (path) => fileURLToPath(new URL(path, import.meta.url));
  const args = [fileOf('../lib/cli/main.ts'), ...process.argv.slice(2)];
  const child = spawn(fileOf('../node_modules/node/bin/node'), args, { stdio: 'inherit' });
  // Who ends this process means that one. A key reaches both.
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  process.on('SIGINT', () => undefined);
  child.once('error', (error) => {
    process.stderr.write(`heapcatch: ${error.message}\n`);
    process.exit(1);
  });
  child.once('exit', (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}
