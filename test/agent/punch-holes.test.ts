import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { holesRefusal, HolePuncher } from '../../lib/agent/punch-holes.ts';
import { createLogger } from '../../lib/log.ts';

const KiB = 1024;
let folder: string;
let lines: { message: string; reason?: string }[];
let handles: FileHandle[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heapcatch-holes-'));
  [lines, handles] = [[], []];
});
afterEach(async () => {
  for (const handle of handles) await handle.close();
  rmSync(folder, { recursive: true });
});

const log = () =>
  createLogger('agent', { write: (line) => void lines.push(JSON.parse(line) as never) });

/** A file of ones, open for reading, on the disk. */
async function aDump(bytes: number): Promise<FileHandle> {
  const path = join(folder, 'dump.hprof');
  writeFileSync(path, Buffer.alloc(bytes, 1));
  const handle = await open(path, 'r');
  handles.push(handle);
  await handle.sync();
  return handle;
}

async function restingBytes(file: FileHandle): Promise<number> {
  return (await file.stat()).blocks * 512;
}

describe('HolePuncher', () => {
  it('frees what is stored, to the last whole block, and leaves the rest and the size', async () => {
    const file = await aDump(1_024 * KiB);
    const puncher = new HolePuncher({ log: log(), stepBytes: 64 * KiB });

    puncher.durable(file, 600 * KiB + 1);
    await puncher.close();

    const { size } = await file.stat();
    const bytes = Buffer.alloc(size);
    await file.read(bytes, 0, size, 0);
    expect(size).toBe(1_024 * KiB);
    expect(bytes.indexOf(1)).toBe(600 * KiB);
    expect(bytes.subarray(600 * KiB).every((byte) => byte === 1)).toBe(true);
    expect(await restingBytes(file)).toBeLessThanOrEqual(424 * KiB);
    expect(puncher.punchedBytes).toBe(600 * KiB);
  });

  it('waits for a step to be full, and then frees all of it at once', async () => {
    const file = await aDump(256 * KiB);
    const puncher = new HolePuncher({ log: log(), stepBytes: 128 * KiB });

    puncher.durable(file, 100 * KiB);
    puncher.durable(file, 200 * KiB);
    await puncher.close();

    expect(puncher.punchedBytes).toBe(200 * KiB);
  });

  it('frees nothing below a step', async () => {
    const file = await aDump(256 * KiB);
    const puncher = new HolePuncher({ log: log(), stepBytes: 128 * KiB });

    puncher.durable(file, 127 * KiB);
    await puncher.close();

    expect(puncher.punchedBytes).toBe(0);
  });

  it('leaves the head of the file, where a merged copy of it is known by its first record', async () => {
    const file = await aDump(512 * KiB);
    const puncher = new HolePuncher({ log: log(), stepBytes: 64 * KiB, headBytes: 98 * KiB });

    puncher.durable(file, 256 * KiB);
    await puncher.close();

    const bytes = Buffer.alloc(512 * KiB);
    await file.read(bytes, 0, bytes.length, 0);
    expect([bytes.indexOf(0), bytes.lastIndexOf(0)]).toEqual([100 * KiB, 256 * KiB - 1]);
    expect(puncher.punchedBytes).toBe(156 * KiB);
  });

  it('works on after the name is gone and the handle is closed', async () => {
    const file = await aDump(512 * KiB);
    const kept = await open(join(folder, 'dump.hprof'), 'r');
    handles.push(kept);
    await unlink(join(folder, 'dump.hprof'));
    const puncher = new HolePuncher({ log: log(), stepBytes: 64 * KiB });

    puncher.durable(file, 512 * KiB);
    await handles.shift()?.close();
    await puncher.close();

    expect(await restingBytes(kept)).toBe(0);
  });

  it.each([
    ['is not there', '/nowhere/fallocate', 'ENOENT'],
    ['fails', '/bin/false', 'exit code 1'],
  ])('says once that its program %s, and punches no more', async (_how, program, words) => {
    const file = await aDump(512 * KiB);
    const puncher = new HolePuncher({ log: log(), stepBytes: 4 * KiB, program });

    puncher.durable(file, 64 * KiB);
    await puncher.close();
    puncher.durable(file, 512 * KiB);

    expect(lines).toHaveLength(1);
    expect(lines[0]?.reason).toContain(words);
    expect(puncher.punchedBytes).toBe(0);
    expect(await restingBytes(file)).toBe(512 * KiB);
  });
});

describe('holesRefusal', () => {
  async function refusalIn(path: string, program?: string): Promise<string | undefined> {
    const directory = await open(path, 'r');
    handles.push(directory);
    return holesRefusal(directory, program);
  }

  it('has nothing against a disk that can, and leaves no file behind', async () => {
    expect(await refusalIn(folder)).toBeUndefined();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('tells why not where the program is missing or fails', async () => {
    expect(await refusalIn(folder, '/nowhere/fallocate')).toContain('ENOENT');
    expect(await refusalIn(folder, '/bin/false')).toContain('exit code 1');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('tells of a program that frees nothing', async () => {
    expect(await refusalIn(folder, '/bin/true')).toBe('the file system freed no block');
  });

  it('tells of a directory in which no file can be made', async () => {
    expect(await refusalIn('/proc')).toMatch(/ENOENT|EACCES|EPERM|EROFS/);
  });
});
