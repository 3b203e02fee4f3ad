import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { findDumpPlace } from '../../lib/agent/dump-place.ts';
import { spaceNeeds } from '../../lib/agent/heap-dump.ts';
import type { ProcessFacts } from '../../lib/agent/process-facts.ts';
import { ProcFolder } from './proc-folder.ts';

const MiB = 1024 * 1024;
const fileName = 'heapcatch-abc-1.hprof';
let proc: ProcFolder;
let root: string;
let jvm: ProcessFacts;

beforeEach(() => {
  proc = new ProcFolder();
  root = join(proc.add({ pid: 10 }), 'root');
  const uid = process.getuid!();
  const gid = process.getgid!();
  jvm = {
    ...{ pid: 10, namespacePid: 1, parentPid: 0, uid, gid },
    ...{ groups: [], catchesQuit: true },
  };
});
afterEach(() => proc.remove());

function find(directories: string[], bytes = MiB, process = jvm) {
  return findDumpPlace({
    rootPath: root,
    jvm: process,
    directories,
    fileName,
    neededBytes: bytes,
  });
}

describe('findDumpPlace', () => {
  it('takes the first directory that fits, and removes the dump and its segments through it', async () => {
    mkdirSync(join(root, 'data'));

    const place = await find(['/missing', '/data', '/tmp']);
    for (const name of [fileName, `${fileName}.p0`, `${fileName}.p7`, 'of-somebody-else']) {
      writeFileSync(join(root, 'data', name), '');
    }

    expect(place.jvmPath).toBe(`/data/${fileName}`);
    expect(await place.remove()).toBe(3);
    await place.close();
    expect(existsSync(join(root, 'data', fileName))).toBe(false);
    expect(existsSync(join(root, 'data/of-somebody-else'))).toBe(true);
  });

  it('refuses a directory in memory, which would count to the limit of the container', async () => {
    symlinkSync('/dev/shm', join(proc.path, 'memory'));
    const memory = join(proc.path, 'memory-root');
    symlinkSync('/dev', memory);
    rmSync(root, { recursive: true });
    symlinkSync(memory, root);

    await expect(find(['/shm'])).rejects.toMatchObject({
      code: 'DumpPlaceUnavailable',
      message: expect.stringContaining('/shm: is on tmpfs'),
    });
  });

  it('refuses a disk that is too full, with the numbers', async () => {
    await expect(find(['/tmp'], 2 ** 52)).rejects.toMatchObject({
      code: 'DumpPlaceUnavailable',
      message: expect.stringMatching(
        /dump of 4503599627370496 bytes: \/tmp: has [1-9]\d+ bytes free/,
      ),
    });
  });

  it('takes a disk that is too full for all of it where holes can be punched', async () => {
    const request = {
      ...{ rootPath: root, jvm, directories: ['/tmp'], fileName },
      neededBytes: 2 ** 52,
    };

    const place = await findDumpPlace({ ...request, neededWithHolesBytes: MiB });
    const roomy = await findDumpPlace({ ...request, neededBytes: MiB });
    for (const one of [place, roomy]) await one.close();

    expect([place.windowed, roomy.windowed]).toEqual([true, false]);
    expect(readdirSync(join(root, 'tmp'))).toEqual([]);
    await expect(
      findDumpPlace({ ...request, neededWithHolesBytes: 2 ** 51 }),
    ).rejects.toMatchObject({
      message: expect.stringContaining(`with holes punched ${2 ** 51} are needed`),
    });
  });

  it('takes a limit of the directory for its space, and holes where these do for it', async () => {
    const request = {
      ...{ rootPath: root, jvm, directories: ['/tmp'], fileName },
      ...{ neededBytes: MiB, sizeLimits: { '/tmp': MiB - 1 } },
    };

    await expect(findDumpPlace(request)).rejects.toMatchObject({
      code: 'DumpPlaceUnavailable',
      message: expect.stringContaining(`/tmp: may take ${MiB - 1} bytes by its limit`),
    });
    const place = await findDumpPlace({ ...request, neededWithHolesBytes: MiB - 1 });
    const roomy = await findDumpPlace({ ...request, sizeLimits: { '/tmp': MiB } });
    for (const one of [place, roomy]) await one.close();
    expect([place.windowed, roomy.windowed]).toEqual([true, false]);
  });

  it('refuses a directory that holds the file already: the JVM overwrites none', async () => {
    writeFileSync(join(root, 'tmp', fileName), '');

    await expect(find(['/tmp'])).rejects.toMatchObject({
      message: expect.stringContaining(`holds ${fileName} already`),
    });
  });

  it.each([
    ['the owner', 0o500, {}, true],
    ['the group', 0o550, { uid: 4_001 }, true],
    ['a supplementary group', 0o550, { uid: 4_001, gid: 4_002, groups: [0] }, true],
    ['others', 0o777, { uid: 4_001, gid: 4_002 }, false],
    ['others without the right', 0o775, { uid: 4_001, gid: 4_002 }, true],
  ])('judges the mode bits for %s', async (_who, mode, ids, refused) => {
    const path = join(root, 'data');
    mkdirSync(path);
    const owned = process.getuid!() === 0 ? { uid: 4_000, gid: 0 } : jvm;
    if (process.getuid!() === 0) chownSync(path, owned.uid, owned.gid);
    chmodSync(path, mode);

    const finding = find(['/data'], MiB, { ...jvm, ...owned, ...ids });

    if (refused) {
      await expect(finding).rejects.toMatchObject({
        message: expect.stringContaining('may not write to it'),
      });
    } else {
      await (await finding).close();
    }
    chmodSync(path, 0o700);
  });

  it('names every directory and what speaks against it', async () => {
    writeFileSync(join(root, 'file'), '');

    await expect(find(['/missing', '/file'])).rejects.toMatchObject({
      message: expect.stringContaining('/missing: does not exist; /file: is not a directory'),
    });
  });
});

describe('spaceNeeds', () => {
  const jvm = { heapUsedBytes: 100 * MiB, jdkMajor: 17, holes: false };

  it('is the estimate, or what the used heap asks for where that is less', () => {
    const unknown = { heapUsedBytes: undefined, jdkMajor: undefined, holes: false };
    expect(spaceNeeds(500 * MiB, unknown)).toEqual({ neededBytes: 500 * MiB });
    expect(spaceNeeds(500 * MiB, jvm)).toEqual({ neededBytes: 204 * MiB });
    expect(spaceNeeds(150 * MiB, jvm)).toEqual({ neededBytes: 150 * MiB });
  });

  it('is twice that from JDK 22 on, and safe beyond 2^31', () => {
    expect(spaceNeeds(150 * MiB, { ...jvm, jdkMajor: 25 })).toEqual({ neededBytes: 300 * MiB });
    expect(spaceNeeds(150 * MiB, { ...jvm, jdkMajor: 25, skipMerge: true })).toEqual({
      neededBytes: 150 * MiB,
    });
    expect(spaceNeeds(2 ** 40, { heapUsedBytes: 2 ** 36, jdkMajor: 22, holes: false })).toEqual({
      neededBytes: 2 * (Math.ceil(2 ** 36 * 1.4) + 64 * MiB),
    });
  });

  it('is a window where holes are punched, and with JDK 22 the copy that has none beside it', () => {
    const large = { heapUsedBytes: undefined, holes: true };

    expect(spaceNeeds(8_192 * MiB, { ...large, jdkMajor: 17 })).toEqual({
      neededBytes: 8_192 * MiB,
      neededWithHolesBytes: 4_096 * MiB,
    });
    expect(spaceNeeds(8_192 * MiB, { ...large, jdkMajor: 25 })).toEqual({
      neededBytes: 16_384 * MiB,
      neededWithHolesBytes: 12_288 * MiB,
    });
    expect(spaceNeeds(100 * MiB, { ...large, jdkMajor: 17 })).toEqual({
      neededBytes: 100 * MiB,
      neededWithHolesBytes: 100 * MiB,
    });
  });
});
