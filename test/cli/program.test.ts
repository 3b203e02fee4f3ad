import { describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { delimiter, join } from 'node:path';

const program = join(import.meta.dirname, '../../bin/heapcatch.mjs');
/** Without the Node that npm puts in front: what a person's shell finds, older perhaps. */
const path = (process.env['PATH'] ?? '')
  .split(delimiter)
  .filter((folder) => !folder.includes('node_modules'))
  .join(delimiter);

describe('bin/heapcatch.mjs', () => {
  it.each([
    ['the Node of a person’s shell', 'node'],
    ['Node 24', process.execPath],
  ])('answers by exit code and on stdin and stdout, from %s', (_name, node) => {
    const run = (args: string[], input = '') =>
      spawnSync(node, [program, ...args], { env: { PATH: path }, input, timeout: 60_000 });

    const unknown = run(['nonsense']);
    const scan = run(
      ['gc-scan', '-'],
      '[0.1s][info][gc] GC(0) Pause Full (System.gc()) 9M->1M(20M) 2ms\n',
    );

    expect([unknown.status, unknown.stderr.toString()]).toEqual([
      2,
      expect.stringContaining(
        '"nonsense" is not a command; accepted are: demo, gc-scan, policy, cluster,',
      ),
    ]);
    expect(scan.stderr.toString()).toBe('');
    expect([scan.status, scan.stdout.toString()]).toEqual([
      0,
      expect.stringContaining('System.gc() 1'),
    ]);
  });
});
