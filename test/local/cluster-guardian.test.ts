import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { startTestCluster } from './cluster-harness.ts';

const module = path.resolve(import.meta.dirname, '../../lib/local/cluster/guardian.ts');
/** Leaves two sleepers behind that hold the fourth pipe, one of which the guardian was told to forget. */
const program = `
import { spawn } from 'node:child_process';
import { Guardian } from ${JSON.stringify(module)};
const guardian = new Guardian(process.argv[1]);
const sleeper = () => spawn('sh', ['-c', 'sleep 1000; true'], { detached: true, stdio: ['ignore', 'ignore', 'ignore', 3] });
const [first, second, gone] = [sleeper(), sleeper(), sleeper()];
for (const child of [first, gone, second]) guardian.watch(child.pid);
guardian.forget(gone.pid);
gone.kill('SIGKILL');
process.kill(-gone.pid, 'SIGKILL');
process.stdout.write([first, second].map(({ pid }) => pid).join(' '));
setInterval(() => undefined, 1000);
`;

describe('the guardian', () => {
  it('kills what is left and removes the folder when its process is killed without warning', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-guardian-'));
    const parent = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program, folder],
      { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] },
    );
    const [pids] = (await once(parent.stdout!, 'data')) as [Buffer];
    const held = parent.stdio[3] as Readable;
    held.resume();
    try {
      // The pipe ends when the last process that holds it has ended.
      const allGone = once(held, 'end', { signal: AbortSignal.timeout(20_000) });

      parent.kill('SIGKILL');

      await allGone;
      await removed(folder);
    } finally {
      held.destroy();
      for (const pid of pids.toString().split(' ')) killGroup(Number(pid));
    }
  });

  it('leaves nothing to do after a cluster that was closed', async () => {
    const test = await startTestCluster();
    test.createPod('last');
    const { stateFolder } = test.cluster;

    await test.cluster.close();

    expect(existsSync(stateFolder)).toBe(false);
  });
});

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // As it should be: there is none.
  }
}

/** The folder goes right after the processes. */
async function removed(folder: string): Promise<void> {
  const deadline = AbortSignal.timeout(20_000);
  while (existsSync(folder)) {
    deadline.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
  }
}
