import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inside, openDirectoryInside, openRegularFile } from '../../lib/agent/container-path.ts';

let folder: string;
let root: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heapcatch-path-'));
  root = join(folder, 'root');
  for (const name of ['root/data/dumps', 'outside']) {
    mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(join(folder, name, 'where'), name);
  }
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function where(path: string): Promise<string> {
  const directory = await openDirectoryInside(root, path);
  try {
    return readFileSync(inside(directory, 'where'), 'utf8');
  } finally {
    await directory.close();
  }
}

describe('openDirectoryInside', () => {
  it.each([
    ['/data/dumps', undefined],
    ['/../../data/./dumps/', undefined],
    ['/absolute', ['absolute', '/data/dumps']],
    ['/data/nested', ['data/nested', '/data/dumps']],
    ['/relative', ['relative', 'data/dumps']],
    ['/climbing/dumps', ['climbing', '../../../../data']],
  ])('opens %s as the container sees it', async (path, link) => {
    if (link) symlinkSync(link[1]!, join(root, link[0]!));

    expect(await where(path)).toBe('root/data/dumps');
  });

  it('does not let an absolute link lead out of the container', async () => {
    symlinkSync(join(folder, 'outside'), join(root, 'link'));

    await expect(where('/link')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('does not let a climbing link lead out of the container', async () => {
    symlinkSync('../outside', join(root, 'tmp'));

    await expect(where('/tmp')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('ends at a link that leads to itself', async () => {
    symlinkSync('loop', join(root, 'loop'));

    await expect(where('/loop')).rejects.toMatchObject({ code: 'ELOOP' });
  });

  it('says that a file is no directory', async () => {
    await expect(where('/data/dumps/where')).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});

describe('openRegularFile', () => {
  it('follows no link', async () => {
    symlinkSync(join(folder, 'outside/where'), join(root, 'link'));

    await expect(openRegularFile(join(root, 'link'))).rejects.toMatchObject({ code: 'ELOOP' });
  });
});
