import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chooseLayout } from '../../lib/agent/agent-layout.ts';
import { runAttacher, type AttacherEnd } from '../../lib/agent/attacher.ts';
import { attacherSettingsOf } from '../../lib/agent/attacher-environment.ts';
import { newChallenge, proofOf, socketNameOf } from '../../lib/agent/attacher-handshake.ts';
import { attacherReach, noReach } from '../../lib/agent/attacher-reach.ts';
import type { CgroupFacts } from '../../lib/agent/cgroup-limits.ts';
import type { JvmReach } from '../../lib/agent/jvm-reach.ts';
import { isUnanswered } from '../../lib/agent/attach.ts';
import { pidsInSight } from '../../lib/agent/find-jvm.ts';
import { LineChannel } from '../../lib/agent/line-channel.ts';
import { meetAttacher } from '../../lib/agent/meet-attacher.ts';
import type { ProcessFacts } from '../../lib/agent/process-facts.ts';
import { CaptureError } from '../../lib/errors.ts';
import { createLogger } from '../../lib/log.ts';

const key = 'c0ffee00'.repeat(8);
const target = { rung: 'ephemeralContainer', podUid: 'uid-1', containerID: 'containerd://c1' };
const jvmFacts: ProcessFacts = {
  ...{ pid: 7, namespacePid: 7, parentPid: 1, uid: 1000, gid: 1000 },
  ...{ groups: [1000, 2000], catchesQuit: true, startTicks: '4711' },
};
const never = new AbortController().signal;
const log = createLogger('test', { write: () => undefined });

/** The JVM behind the attacher, as a test wants it. */
class FakeJvm implements JvmReach {
  running = true;
  closedCount = 0;
  findFault: CaptureError | undefined;
  readonly commands: string[] = [];
  answer: (command: string, signal: AbortSignal) => Promise<Uint8Array> = () =>
    Promise.resolve(Buffer.from('an answer\n'));

  find: JvmReach['find'] = () =>
    this.findFault === undefined
      ? Promise.resolve({ ...jvmFacts, cgroup: 'more is known of it' })
      : Promise.reject(this.findFault);
  runs = () => Promise.resolve(this.running);
  rootPath = () => '/';
  describe = (pids: readonly number[]) => Promise.resolve(`# process ${pids.join(', ')}\n`);
  factsByCounters = () => Promise.resolve({ pid: jvmFacts.pid, vmName: 'by counters' });
  memoryFacts: JvmReach['memoryFacts'] = (_jvm, known) => {
    this.known = known;
    return Promise.resolve({ pressure: 'heap', explanation: 'full', heapUsedBytes: 2 ** 40 });
  };
  askForThreadsInLog = () => Promise.resolve('SIGQUIT was sent');
  cgroupFacts: JvmReach['cgroupFacts'] = () => Promise.resolve(this.cgroup);
  cgroup: CgroupFacts | undefined = cgroupOf('none');
  known: unknown;
  close = () => undefined;
  attach: JvmReach['attach'] = () =>
    Promise.resolve({
      run: async (command, { signal }) => {
        this.commands.push(command);
        return { status: 0, output: await this.answer(command, signal), truncated: false };
      },
      close: () => Promise.resolve(void (this.closedCount += 1)),
    });
}

function cgroupOf(limitBytes: number | 'none'): CgroupFacts {
  return {
    version: 2,
    cpu: [{ path: '/', cpuLimit: 'none' }],
    memory: [{ path: '/', limitBytes, usedBytes: 2 ** 33 }],
    cpuCount: undefined,
    complete: false,
  };
}

let volume: string;
let jvm: FakeJvm;
let stranger: Server | undefined;
/** Closed in the end, also by a test that fails before it does so itself. */
const channels: LineChannel[] = [];

beforeEach(() => {
  volume = mkdtempSync(join(tmpdir(), 'heapcatch-volume-'));
  jvm = new FakeJvm();
});
afterEach(() => {
  for (const channel of channels.splice(0)) channel.close();
  stranger?.close();
  stranger = undefined;
  rmSync(volume, { recursive: true, force: true });
});

const { containerID } = target;

function startAttacher(options: { uploaderTimeoutSeconds?: number } = {}): Promise<AttacherEnd> {
  const deadline = Date.now() + 20_000;
  const given = { key, directories: [volume], containerID, reach: jvm, deadline, log };
  return runAttacher({ ...given, ...options });
}

async function meet(options: { timeoutSeconds?: number; directories?: string[] } = {}) {
  const met = await meetAttacher({ key, directories: [volume], timeoutSeconds: 10, ...options });
  channels.push(met.channel);
  return met;
}

const uploader = async (options: { directories?: string[] } = {}) =>
  attacherReach((await meet(options)).channel);

const findWith = (reach: JvmReach) => reach.find({ ...target, rung: 'ephemeralContainer' });

async function attachedBy(reach: JvmReach) {
  const found = await findWith(reach);
  return reach.attach(found, { timeoutSeconds: 5, signal: never });
}

async function expectPending(promise: Promise<unknown>): Promise<void> {
  // As many turns as what was written needs to be read, and more.
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  expect(await Promise.race([promise, Promise.resolve('pending')])).toBe('pending');
}

const options = { timeoutSeconds: 5, signal: never, maxBytes: 1_000_000 };

/** A connection to the attacher's socket, as soon as that is there. */
async function intruder(): Promise<Socket> {
  const path = join(volume, socketNameOf(key));
  for (;;) {
    const socket = connect(path);
    const connected = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.on('error', () => undefined);
    if (connected) return socket;
  }
}

/** Somebody else who offers a socket under the attacher's name. */
async function pretend(answer: (channel: LineChannel) => void): Promise<void> {
  stranger = createServer((socket) => answer(new LineChannel(socket)));
  await new Promise<void>((resolve) => {
    stranger!.listen(join(volume, socketNameOf(key)), resolve);
  });
}

describe('attacher and uploader', () => {
  it('carry a question to the JVM and its answer back, whoever of them comes first', async () => {
    const meeting = uploader();
    const served = startAttacher();

    const reach = await meeting;
    const found = await findWith(reach);
    const attached = await reach.attach(found, { timeoutSeconds: 5, signal: never });
    const reply = await attached.run('VM.version', options);

    expect(found).toEqual(jvmFacts);
    expect(reply).toEqual({ status: 0, output: Buffer.from('an answer\n'), truncated: false });
    expect(jvm.commands).toEqual(['VM.version']);
    reach.close();
    expect(await served).toEqual({ end: 'served' });
    expect(jvm.closedCount).toBe(1);
  });

  it('carry an answer of many megabytes', async () => {
    const served = startAttacher();
    const large = Buffer.alloc(9 * 1024 * 1024, 'thread ');
    jvm.answer = () => Promise.resolve(large);
    const reach = await uploader();
    const attached = await attachedBy(reach);

    const first = await attached.run('Thread.print', options);
    const second = await attached.run('Thread.print', options);

    expect(large.equals(first.output) && large.equals(second.output)).toBe(true);
    reach.close();
    await served;
  });

  it('leave no name in the volume once they have met', async () => {
    const served = startAttacher();
    const reach = await uploader();

    expect(readdirSync(volume)).toEqual([]);
    reach.close();
    await served;
  });

  it('ask the JVM one thing at a time, also when one was given up', async () => {
    const served = startAttacher();
    const slowAsked = Promise.withResolvers<undefined>();
    const slowAnswer = Promise.withResolvers<Uint8Array>();
    jvm.answer = (command) => {
      if (command !== 'slow') return Promise.resolve(Buffer.from('quick'));
      slowAsked.resolve(undefined);
      return slowAnswer.promise;
    };
    const reach = await uploader();
    const attached = await attachedBy(reach);
    const given = new AbortController();

    const slow = attached.run('slow', { ...options, signal: given.signal });
    const quick = attached.run('quick', options);
    await slowAsked.promise;
    given.abort(new CaptureError('DeadlineExceeded', 'given up'));
    await expect(slow).rejects.toMatchObject({ code: 'DeadlineExceeded' });
    expect(jvm.commands).toEqual(['slow']);
    slowAnswer.resolve(Buffer.from('late'));

    expect(Buffer.from((await quick).output).toString()).toBe('quick');
    reach.close();
    await served;
  });

  it.each(['JvmNotFound', 'JvmAmbiguous', 'NotSupported'] as const)(
    'hand on %s as the fault that it is',
    async (code) => {
      const served = startAttacher();
      const reach = await uploader();
      jvm.findFault = new CaptureError(code, 'why');

      await expect(findWith(reach)).rejects.toMatchObject({ code, message: 'why' });

      reach.close();
      await served;
    },
  );

  it('carry what is to be seen of the process, as it is', async () => {
    const served = startAttacher();
    const reach = await uploader();
    const found = await findWith(reach);
    const facts = { pid: 7, heapUsedBytes: 5 };
    jvm.cgroup = cgroupOf(2 ** 34);

    expect(await reach.describe([7, 8])).toBe('# process 7, 8\n');
    expect(await reach.factsByCounters(found)).toEqual({ pid: 7, vmName: 'by counters' });
    expect(await reach.memoryFacts(found, { facts, nativeMemory: 'Total:' })).toEqual({
      pressure: 'heap',
      explanation: 'full',
      heapUsedBytes: 2 ** 40,
    });
    expect(jvm.known).toEqual({ facts, nativeMemory: 'Total:' });
    expect(await reach.askForThreadsInLog(found)).toBe('SIGQUIT was sent');
    // The attacher's own memory is no room for the uploader.
    const cgroup = await reach.cgroupFacts(found, 'ephemeralContainer');
    expect(cgroup).toMatchObject({ ...jvm.cgroup, memory: [{ limitBytes: 2 ** 34 }] });
    expect(cgroup!.memory[0]!.usedBytes).toBeGreaterThan(2 ** 33);
    jvm.cgroup = undefined;
    expect(await reach.cgroupFacts(found, 'ephemeralContainer')).toBeUndefined();
    reach.close();
    await served;
  });

  it('tell which processes a refusal is about, and that a JVM did not answer', async () => {
    const served = startAttacher();
    const reach = await uploader();
    jvm.findFault = new CaptureError('JvmAmbiguous', 'two', { details: { pids: [3, 4] } });
    const refusal = await findWith(reach).catch((error: unknown) => error);
    expect(pidsInSight(refusal)).toEqual([3, 4]);
    reach.close();
    await served;

    jvm.findFault = undefined;
    jvm.answer = () =>
      Promise.reject(new CaptureError('AttachFailed', 'late', { details: { unanswered: true } }));
    const again = startAttacher();
    const other = await uploader();
    const attached = await attachedBy(other);
    const late = await attached.run('Thread.print', options).catch((error: unknown) => error);
    expect(isUnanswered(late)).toBe(true);
    other.close();
    await again;
  });

  it('end together with the JVM: the uploader’s question fails and the JVM no longer runs', async () => {
    const served = startAttacher();
    jvm.answer = (_command, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    const reach = await uploader();
    const attached = await attachedBy(reach);
    expect(await reach.runs(jvmFacts)).toBe(true);

    const dump = attached.run('GC.heap_dump /x', options);
    jvm.running = false;

    await expect(dump).rejects.toMatchObject({ code: 'AttachFailed' });
    expect(await reach.runs(jvmFacts)).toBe(false);
    expect(await served).toEqual({ end: 'served' });
  });
});

describe('attacher and uploader in a pod', () => {
  /** What is left below the JVM's limit; the memory of this process counts as that of both. */
  const limitWithRoom = (bytes: number) => 2 ** 33 + bytes;

  it.each([
    ['no memory limit', 'none' as const],
    ['a limit that is far away', limitWithRoom(2 ** 40)],
  ])('stay two where the JVM has %s', async (_case, limitBytes) => {
    jvm.cgroup = cgroupOf(limitBytes);
    const served = startAttacher();

    const { channel, layout } = await meet();

    expect(layout.layout).toBe('split');
    channel.close();
    expect(await served).toEqual({ end: 'served' });
  });

  it.each([
    ['has a limit that is near', () => (jvm.cgroup = cgroupOf(limitWithRoom(1024)))],
    ['shows no limit', () => (jvm.cgroup = undefined)],
    ['is not found', () => (jvm.findFault = new CaptureError('JvmNotFound', 'none'))],
  ])('become one, the attacher with the ticket, where the JVM %s', async (_case, prepare) => {
    prepare();
    const ended = startAttacher();

    const { channel, layout } = await meet();
    await channel.writeAndFlush({ ticketUrl: 'https://bucket/ticket?secret' });

    expect(layout).toEqual({ layout: 'single', reason: expect.any(String) as unknown });
    // It waits until the uploader is gone, whose memory it needs.
    await expectPending(ended);
    channel.close();
    const ticketUrl = 'https://bucket/ticket?secret';
    expect(await ended).toEqual({ end: 'alone', ticketUrl, layout });
  });

  it.each([
    ['says nothing', () => undefined],
    ['hands over something else', (channel: LineChannel) => channel.writeAndFlush({ ticket: 1 })],
  ])('end when the uploader is to hand over and %s', async (_case, act) => {
    jvm.cgroup = undefined;
    const ended = startAttacher();

    const { channel } = await meet();
    await act(channel);
    channel.close();

    expect(await ended).toEqual({ end: 'unused' });
  });
});

describe('chooseLayout', () => {
  const MiB = 1024 * 1024;
  const used = { attacherUsedBytes: 13 * MiB, uploaderUsedBytes: 12 * MiB };
  const jvmWith = (roomBytes: number) => cgroupOf(2 ** 33 + roomBytes);
  const neededBytes = 25 * MiB + 24 * MiB + 38 * MiB;

  it('needs room for what both will load and the least that a dump takes, to the byte', () => {
    const [enough, short] = [0, 1].map((less) =>
      chooseLayout({ jvm: jvmWith(neededBytes - less), ...used }),
    );

    expect([enough!.layout, short!.layout]).toEqual(['split', 'single']);
    expect(short!.reason).toMatch(/^\d+ bytes of headroom for \d+$/);
  });

  it.each(['attacherUsedBytes', 'uploaderUsedBytes'] as const)(
    'is single where %s is not known',
    (unknown) => {
      const choice = chooseLayout({ jvm: jvmWith(2 ** 40), ...used, [unknown]: undefined });

      expect(choice.layout).toBe('single');
    },
  );
});

describe('an attacher', () => {
  it('ends unused when no uploader comes, and takes its socket along', async () => {
    expect(await startAttacher({ uploaderTimeoutSeconds: 0.05 })).toEqual({ end: 'unused' });
    expect(readdirSync(volume)).toEqual([]);
  });

  it('offers its socket to its own uid alone', async () => {
    const served = startAttacher();
    (await intruder()).destroy();

    const { mode } = lstatSync(join(volume, socketNameOf(key)));

    expect(mode & 0o777).toBe(0o600);
    const reach = await uploader();
    await findWith(reach);
    reach.close();
    await served;
  });

  it.each([
    ['a wrong proof', `${JSON.stringify({ proof: 'a'.repeat(64), challenge: 'b'.repeat(64) })}\n`],
    ['a question without a proof', '{"ask":"attach","timeoutSeconds":5}\n'],
    ['what is not JSON', 'GET / HTTP/1.1\n'],
    ['a flood', 'x'.repeat(300_000)],
  ])('cuts off who comes with %s, and serves the uploader', async (_case, words) => {
    const served = startAttacher();
    const socket = await intruder();
    const cut = new Promise((resolve) => socket.once('close', resolve));

    socket.write(words);
    socket.resume();
    await cut;

    const reach = await uploader();
    expect(await findWith(reach)).toEqual(jvmFacts);
    reach.close();
    expect(await served).toEqual({ end: 'served' });
  });

  it('serves the uploader while others hold connections open and say nothing', async () => {
    const served = startAttacher();
    const silent = [await intruder(), await intruder(), await intruder()];

    const reach = await uploader();

    expect(await findWith(reach)).toEqual(jvmFacts);
    for (const socket of silent) socket.destroy();
    reach.close();
    await served;
  });

  it('takes the next directory when one cannot hold its socket, and names them all when none can', async () => {
    writeFileSync(join(volume, 'file'), '');
    const good = join(volume, 'good');
    mkdirSync(good);
    const bad = [join(volume, 'missing'), join(volume, 'file')];
    const given = { key, containerID, reach: jvm, deadline: Date.now() + 5_000, log };

    const none = runAttacher({ ...given, directories: bad });
    await expect(none).rejects.toMatchObject({
      code: 'AttachFailed',
      message: expect.stringMatching(/missing: ENOENT; .*file: ENOTDIR/),
    });
    const served = runAttacher({ ...given, directories: [...bad, good] });
    const reach = await uploader({ directories: [...bad, good] });

    expect(await findWith(reach)).toEqual(jvmFacts);
    reach.close();
    await served;
  });
});

describe('an uploader', () => {
  it('has the reason in place of a JVM where no attacher came', async () => {
    const reach = noReach(new CaptureError('AttachFailed', 'no attacher'));

    await expect(findWith(reach)).rejects.toMatchObject({ message: 'no attacher' });
    expect(await reach.runs(jvmFacts)).toBe(false);
  });

  it('says that no attacher came, and removes what lies under its name', async () => {
    const stale = join(volume, socketNameOf(key));
    writeFileSync(stale, '');

    await expect(meet({ timeoutSeconds: 0.2 })).rejects.toMatchObject({
      code: 'AttachFailed',
      message: expect.stringContaining('no attacher within 0.2 s'),
    });
    expect(readdirSync(volume)).toEqual([]);
  });

  it('tells nothing to a socket whose owner does not hold the key', async () => {
    const heard: unknown[] = [];
    await pretend((channel) => {
      channel.write({ challenge: newChallenge() });
      void channel.readLine(1_000).then((claim) => {
        heard.push(claim);
        channel.write({ proof: proofOf('another key', 'attacher', newChallenge()) });
        void channel.readLine(1_000).then(
          (more) => heard.push(more),
          () => undefined,
        );
      });
    });

    await expect(meet({ timeoutSeconds: 0.2 })).rejects.toMatchObject({
      message: expect.stringContaining('does not hold the key'),
    });
    expect(JSON.stringify(heard)).not.toContain(key);
    expect(JSON.stringify(heard)).not.toContain('"ask"');
  });

  it('takes a socket whose other end never speaks for none', async () => {
    await pretend((channel) => channel.close());

    await expect(meet({ timeoutSeconds: 0.2 })).rejects.toMatchObject({
      code: 'AttachFailed',
    });
  });
});

describe('attacherSettingsOf', () => {
  it('never shows the key in its errors', () => {
    const settings = (): unknown =>
      attacherSettingsOf({ HEAPCATCH_ATTACHER_KEY: key, HEAPCATCH_DEADLINE_TIME: 'soon' });

    expect(settings).toThrow(/HEAPCATCH_ATTACHER_DIRECTORIES.*HEAPCATCH_DEADLINE_TIME/);
    expect(settings).not.toThrow(new RegExp(key));
    expect(() => attacherSettingsOf({ HEAPCATCH_ATTACHER_KEY: 'secret' })).toThrow(
      /6 characters; accepted are 64 hexadecimal digits/,
    );
  });

  it('reads directories one a line, and is nothing without a key', () => {
    const deadlineTime = '2026-01-01T00:00:00Z';
    const directories = ['/a b', '/c:d'];
    const env = {
      HEAPCATCH_ATTACHER_KEY: key,
      HEAPCATCH_ATTACHER_DIRECTORIES: directories.join('\n'),
      HEAPCATCH_CONTAINER_ID: containerID,
      HEAPCATCH_DEADLINE_TIME: deadlineTime,
    };

    expect(attacherSettingsOf(env)).toEqual({ key, directories, deadlineTime, containerID });
    expect(attacherSettingsOf({})).toBeUndefined();
  });
});
