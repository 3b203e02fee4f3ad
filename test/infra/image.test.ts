import { describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildImageFolder } from '../../infra/images/build.ts';

describe('the image', () => {
  it('holds programs that name the Node beside them and load in it', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-image-'));
    try {
      // Which Node is copied is not this test's business; an empty file is copied faster.
      const nodeFile = path.join(folder, 'stand-in');
      writeFileSync(nodeFile, '');
      const root = path.join(folder, 'root');
      await buildImageFolder(root, nodeFile);
      for (const program of ['agent', 'forwarder', 'gc-scan']) {
        const file = path.join(root, 'heapcatch', program);
        expect(readFileSync(file, 'utf8').split('\n')[0]).toBe('#!/heapcatch/node');
        // Smaller than a bundle with zod's locales in it, of which the agent would compile every line.
        if (program === 'agent') expect(statSync(file).size).toBeLessThan(300_000);
        expect(() => execFileSync(process.execPath, ['--check', file])).not.toThrow();
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 60_000);
});
