import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chmodSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { attach, type AttachedJvm } from '../../lib/agent/attach.ts';
import { attachIsDisabled } from '../../lib/agent/jvm-facts.ts';
import { collectEvidence } from '../../lib/agent/evidence.ts';
import { readProcess, type ProcessFacts } from '../../lib/agent/process-facts.ts';
import { ProcFolder, type FakeProcess } from './proc-folder.ts';

const uid = process.getuid!();
let proc: ProcFolder;
let folder: string;
let server: Server | undefined;
const never = new AbortController().signal;
const plain = (_artifact: string, chunks: readonly Uint8Array[]) => chunks;

beforeEach(() => {
  proc = new ProcFolder();
});
afterEach(async () => {
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  server = undefined;
  proc.remove();
});

async function jvm(fake: Partial<FakeProcess> = {}): Promise<ProcessFacts> {
  folder = proc.add({ pid: 10, nspid: 7, uid, ...fake });
  return (await readProcess(proc.path, 10))!;
}

/** A JVM's socket that answers with whatever the request makes of it. */
async function listen(answer: (request: string, socket: Socket) => void): Promise<void> {
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (data) => answer(data.toString(), socket));
  });
  await new Promise<void>((resolve) => {
    server!.listen({ path: join(folder, 'root/tmp/.java_pid7') }, resolve);
  });
}

function attachTo(process: ProcessFacts, sendQuit: (pid: number) => void = () => undefined) {
  return attach({
    ...{ procRoot: proc.path, jvm: process, timeoutSeconds: 1 },
    ...{ signal: never, sendQuit },
  });
}

async function run(attached: AttachedJvm, command: string, timeoutSeconds = 5): Promise<string> {
  const options = { timeoutSeconds, signal: never, maxBytes: 1_000 };
  return Buffer.from((await attached.run(command, options)).output).toString();
}

describe('attach', () => {
  it('speaks to a JVM that listens already, without a signal', async () => {
    const target = await jvm();
    const requests: string[] = [];
    await listen((request, socket) => {
      requests.push(request);
      socket.end('0\nhello\n');
    });

    const attached = await attachTo(target, () => {
      throw new Error('no signal is needed');
    });

    expect(await run(attached, 'VM.version')).toBe('hello\n');
    expect(requests).toEqual(['1\0jcmd\0VM.version\0\0\0']);
    await attached.close();
  });

  it('does not wait for a JVM whose user may not write its /tmp, and sends no signal', async () => {
    const target = await jvm({ uid: 4_242, gid: 4_242 });
    chmodSync(join(folder, 'root/tmp'), 0o755);
    const signalled: number[] = [];

    const attaching = attachTo(target, (pid) => signalled.push(pid));

    await expect(attaching).rejects.toMatchObject({
      code: 'AttachFailed',
      message: expect.stringContaining('give the container an emptyDir on /tmp'),
    });
    expect(signalled).toEqual([]);
  });

  it('wakes the listener by file and SIGQUIT, and removes the file', async () => {
    const target = await jvm();
    const trigger = join(folder, 'cwd/.attach_pid7');
    const signalled: [number, boolean][] = [];

    const attached = await attachTo(target, (pid) => {
      signalled.push([pid, existsSync(trigger)]);
      void listen((_request, socket) => socket.end('0\n'));
    });

    expect(signalled).toEqual([[10, true]]);
    expect(existsSync(trigger)).toBe(false);
    await attached.close();
  });

  it('puts the file into /tmp where the working directory takes none', async () => {
    const target = await jvm();
    rmSync(join(folder, 'cwd'), { recursive: true });
    const seen: boolean[] = [];

    const attached = await attachTo(target, () => {
      seen.push(existsSync(join(folder, 'root/tmp/.attach_pid7')));
      void listen((_request, socket) => socket.end('0\n'));
    });

    expect(seen).toEqual([true]);
    await attached.close();
  });

  it('replaces the stale socket of an earlier process', async () => {
    const target = await jvm();
    const path = join(folder, 'root/tmp/.java_pid7');
    await listen((_request, socket) => socket.end('0\n'));
    // A link keeps the name when the listener closes and removes its own.
    const stale = join(folder, 'root/tmp/stale');
    const { linkSync, renameSync } = await import('node:fs');
    linkSync(path, stale);
    await new Promise((resolve) => server!.close(resolve));
    renameSync(stale, path);
    let quitCount = 0;

    const attached = await attachTo(target, () => {
      quitCount += 1;
      rmSync(path);
      void listen((_request, socket) => socket.end('0\nfresh'));
    });

    expect([quitCount, await run(attached, 'VM.version')]).toEqual([1, 'fresh']);
    await attached.close();
  });

  it('never signals a process that does not handle SIGQUIT: it would end it', async () => {
    const target = await jvm({ sigCgt: '0000000101005cc9' });

    const attaching = attachTo(target, () => {
      throw new Error('signalled');
    });

    await expect(attaching).rejects.toMatchObject({ code: 'AttachDisabled' });
    expect(existsSync(join(folder, 'cwd/.attach_pid7'))).toBe(false);
  });

  it('signals twice at most, then says that no socket came', async () => {
    const target = await jvm();
    let quitCount = 0;

    await expect(attachTo(target, () => (quitCount += 1))).rejects.toMatchObject({
      code: 'AttachFailed',
      message: expect.stringContaining('within 1 s'),
    });
    expect(quitCount).toBe(2);
    expect(existsSync(join(folder, 'cwd/.attach_pid7'))).toBe(false);
  });

  it('names both users when it may not send the signal', async () => {
    const target = await jvm();

    const attaching = attachTo(target, () => {
      throw Object.assign(new Error('kill EPERM'), { code: 'EPERM' });
    });

    await expect(attaching).rejects.toMatchObject({
      code: 'AttachFailed',
      message: `attach to JVM 10 (uid ${uid}) by uid ${uid} failed: SIGQUIT: EPERM`,
    });
  });

  it('does not signal a later process that took over the pid', async () => {
    const target = await jvm();
    proc.add({ pid: 10, nspid: 7, uid, startTicks: '9999' });

    const attaching = attachTo(target, () => {
      throw new Error('signalled');
    });

    await expect(attaching).rejects.toMatchObject({
      message: expect.stringContaining('it has ended'),
    });
  });

  it.each<[string, (path: string) => void]>([
    ['a file', (path) => writeFileSync(path, '')],
    ['a directory', (path) => mkdirSync(path)],
    ['a link', (path) => symlinkSync('/run/other.sock', path)],
  ])('refuses %s in the place of the socket', async (_what, make) => {
    const target = await jvm();
    make(join(folder, 'root/tmp/.java_pid7'));

    await expect(attachTo(target)).rejects.toMatchObject({
      code: 'AttachFailed',
      message: expect.stringContaining('is not a socket'),
    });
  });

  it('refuses the socket of another user', async () => {
    const target = await jvm({ uid: 4_242 });
    if (uid === 0) {
      const { chownSync } = await import('node:fs');
      await listen(() => undefined);
      chownSync(join(folder, 'root/tmp/.java_pid7'), 4_243, 0);
    } else {
      await listen(() => undefined);
    }

    await expect(attachTo(target)).rejects.toMatchObject({
      message: expect.stringMatching(/attach socket belongs to uid \d+/),
    });
  });
});

describe('a command', () => {
  it('ends in time when the JVM does not answer', async () => {
    const target = await jvm();
    await listen(() => undefined);
    const attached = await attachTo(target);

    await expect(run(attached, 'Thread.print -l', 0.05)).rejects.toMatchObject({
      code: 'AttachFailed',
      message: expect.stringContaining('no whole answer to Thread.print within 0.05 s'),
    });
    await attached.close();
  });

  it('fails when the JVM closes without a word, as it does to a foreign user', async () => {
    const target = await jvm();
    await listen((_request, socket) => socket.destroy());
    const attached = await attachTo(target);

    await expect(run(attached, 'VM.version')).rejects.toMatchObject({ code: 'AttachFailed' });
    await attached.close();
  });
});

describe('collectEvidence', () => {
  it('cuts an answer that is too long, and says so in its last line', async () => {
    const target = await jvm();
    await listen((_request, socket) => socket.end(`0\n${'x'.repeat(5_000)}`));
    const attached = await attachTo(target);
    let stored = '';

    const evidence = await collectEvidence(
      attached,
      { artifact: 'threads', putUrl: 'http://bucket/threads' },
      {
        signal: never,
        maxBytes: 1_000,
        put: (_url, body) => Promise.resolve((stored = Buffer.concat(body.chunks).toString())),
        seal: plain,
      },
    );

    expect(stored).toBe(`${'x'.repeat(1_000)}\n[cut: only the first 1000 bytes]\n`);
    expect(evidence.stored?.bytes).toBe(stored.length);
    await attached.close();
  });

  it('fails with the words of a JVM that refuses', async () => {
    const target = await jvm();
    await listen((_request, socket) => socket.end('1\nUnknown diagnostic command\n'));
    const attached = await attachTo(target);
    const order = { artifact: 'heapInfo', putUrl: 'http://bucket/heapInfo' } as const;

    await expect(
      collectEvidence(attached, order, {
        signal: never,
        put: () => Promise.resolve(),
        seal: plain,
      }),
    ).rejects.toMatchObject({
      code: 'AttachFailed',
      message: 'heapInfo: the JVM answered 1, "Unknown diagnostic command\\n"',
    });
    await attached.close();
  });
});

describe('attachIsDisabled', () => {
  it.each<[string, Partial<FakeProcess>, boolean]>([
    ['by nothing', {}, false],
    ['on the command line', { cmdline: ['java', '-XX:+DisableAttachMechanism', 'Main'] }, true],
    [
      'until a later option',
      { cmdline: ['java', '-XX:+DisableAttachMechanism', '-XX:-DisableAttachMechanism', 'Main'] },
      false,
    ],
    ['in the environment', { environ: ['JAVA_TOOL_OPTIONS=-XX:+DisableAttachMechanism'] }, true],
    ['in a foreign variable', { environ: ['X=-XX:+DisableAttachMechanism'] }, false],
  ])('is told %s', async (_where, fake, expected) => {
    expect(await attachIsDisabled(proc.path, await jvm(fake))).toBe(expected);
  });
});
