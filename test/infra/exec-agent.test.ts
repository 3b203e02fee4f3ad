import { afterAll, describe, expect, it, jest } from '@jest/globals';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readExecAgentJar } from '../../functions/exec-agent-jar.ts';
import { buildExecAgent, buildForPackage, findBuildJdk } from '../../infra/exec-agent/build.ts';

jest.setTimeout(120_000);

const folder = mkdtempSync(path.join(tmpdir(), 'heapcatch-exec-build-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the exec agent, as it is packaged', () => {
  it('is built to the same bytes again, small enough for one frame of an exec', () => {
    const [one, other] = [path.join(folder, 'one.jar'), path.join(folder, 'deep/other.jar')];

    buildExecAgent(findBuildJdk()!, one);
    buildExecAgent(findBuildJdk()!, other);

    expect(readFileSync(one).equals(readFileSync(other))).toBe(true);
    expect(readExecAgentJar(one)!.byteLength).toBeLessThan(96 * 1024);
  });

  it('is left out without a JDK, an older one too, and one line says what is missing', () => {
    const jarPath = path.join(folder, 'old.jar');
    writeFileSync(jarPath, 'of other sources');
    const lines: string[] = [];

    buildForPackage((line) => lines.push(line), null, jarPath);

    expect(lines).toEqual([expect.stringMatching(/no JDK 17.*ExecAgentNotPackaged/)]);
    expect(existsSync(jarPath)).toBe(false);
    expect(readExecAgentJar(jarPath)).toBeUndefined();
  });

  it('is built by no JDK that cannot', () => {
    const old = { home: '/opt/jdk-11', major: 11, version: '11.0.20' };
    const able = { home: '/opt/jdk-21', major: 21, version: '21.0.1' };

    expect(findBuildJdk([old])).toBeNull();
    expect(findBuildJdk([able, old])).toBe(able);
  });

  it('is not read where it is larger than an exec may carry', () => {
    const jarPath = path.join(folder, 'large.jar');
    writeFileSync(jarPath, Buffer.alloc(256 * 1024 + 1));

    expect(readExecAgentJar(jarPath)).toBeUndefined();
  });
});
