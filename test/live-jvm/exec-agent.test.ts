import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { compositeMd5 } from '../../lib/capture/composite-md5.ts';
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { progressSchema } from '../../lib/capture/manifest.ts';
import { partBytesAt } from '../../lib/capture/part-layout.ts';
import { minPartBytes, ticketSchema, type Ticket } from '../../lib/capture/ticket.ts';
import type { Jdk } from '../../lib/local/jdks.ts';
import { captureId, ticketFor } from '../agent/tickets.ts';
import { AgentLab, dumpOf, framesOf, marker, walkStored } from './agent-lab.ts';
import { builtJar, elsewhere, ExecStore, keys, orderedEvidence } from './exec-store.ts';
import { jdksUnderTest } from './jdks.ts';

jest.setTimeout(120_000);

const jar = builtJar();
// Older ones have no unix sockets, and are refused where the image has no jcmd.
const jdks = jdksUnderTest().filter(({ major }) => major >= 16);
const oldest = jdks.at(-1)!;

let lab: AgentLab;
let bucket: ExecStore;
let agents: ChildProcess[];

beforeEach(async () => {
  lab = new AgentLab();
  bucket = await ExecStore.open();
  agents = [];
});
afterEach(async () => {
  for (const agent of agents) agent.kill('SIGKILL');
  await lab.close();
  await bucket.close();
});

/** Writes a ticket for the local object store, as the capture function does. */
async function orderTicket(change: (ticket: Ticket) => unknown = (ticket) => ticket) {
  const { objects, uploadId } = bucket;
  const base = ticketFor(elsewhere, { directories: [lab.dumps], partCount: 1 });
  const put = (key: string) => objects.presignPut(key, 300);
  const ticket = ticketSchema.parse({
    ...base,
    rung: 'exec',
    evidence: await Promise.all(
      orderedEvidence.map(async (artifact) => ({
        artifact,
        putUrl: await put(keys.evidence(artifact)),
      })),
    ),
    heapDump: {
      ...base.heapDump,
      // A wish of the policy that this agent cannot grant, and must not stumble over.
      skipMerge: true,
      partUrls: await objects.presignParts(keys.heapDump, uploadId, 100, 300),
    },
    progressUrl: await put(keys.progress),
    manifestUrl: await put(keys.manifest),
  });
  const body = Buffer.from(JSON.stringify(change(ticket)));
  await objects.putObject('tickets/1.json', body, { contentType: 'application/json' });
  return objects.presignGet('tickets/1.json', 300);
}

const limits = ['-Xms4m', '-Xmx24m', '-Xss256k', '-XX:+UseSerialGC'];

function startExecAgent(jdk: Jdk, ticketUrl: string, properties: string[] = []) {
  const own = ['-XX:-UsePerfData', `-Dheapcatch.procRoot=${lab.proc.path}`, ...properties];
  const child = spawn(join(jdk.home, 'bin/java'), [...limits, ...own, '-jar', jar], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  agents.push(child);
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stdin.end(`${JSON.stringify({ ticketUrl })}\n`);
  const ended = new Promise<{ code: number | null; stdout: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, stdout }));
  });
  return { child, ended };
}

async function storedProgress() {
  const bytes = await bucket.objects.getObject(keys.progress, { maxBytes: 10_000_000 });
  return bytes && progressSchema.parse(JSON.parse(Buffer.from(bytes).toString()));
}

describe.each(jdks.map((jdk) => [jdk.version, jdk] as const))(
  'the exec agent on a JRE of Java %s',
  (_version, jdk) => {
    it('stores evidence and the very bytes of the dump, through faults of S3, and removes its files', async () => {
      await lab.startJvm(jdk, 'RandomHeap', { args: ['12', '8', marker] });
      const about = { method: 'PUT', keyMatch: keys.heapDump };
      bucket.store.faults.next({ ...about, partNumber: 1, kind: 'slow-down', times: 2 });
      bucket.store.faults.next({ ...about, partNumber: 2, kind: 'reset' });
      bucket.store.faults.next({ ...about, partNumber: 3, kind: 'truncate-reply' });
      bucket.store.faults.next({ method: 'PUT', keyMatch: 'manifest', kind: 'status-503' });
      bucket.store.faults.next({ method: 'PUT', keyMatch: 'threads', kind: 'status-503' });

      const agent = startExecAgent(jdk, await orderTicket());
      await lab.dumpHas(1);
      lab.keepDumps();
      const { code, stdout } = await agent.ended;

      expect([code, stdout, bucket.store.faults.pendingCount]).toEqual([
        0,
        '{"outcome":"accepted"}\n',
        0,
      ]);
      expect(lab.dumpFiles()).toEqual([]);
      const manifest = await bucket.manifest();
      const dump = dumpOf(manifest);
      expect(manifest).toMatchObject({
        ...{ rung: 'exec', agentVersion: '0.1.0', faults: [] },
        jvm: { jdkVersion: jdk.version },
      });
      expect(await bucket.settle({ manifest })).toMatchObject({ state: 'whole', faults: [] });
      const stored = await bucket.dump();
      const written = readFileSync(join(lab.kept, `heapcatch-${captureId}-1.hprof`));
      expect(Buffer.concat([...framesOf(stored)]).equals(written)).toBe(true);
      expect(walkStored(stored)).toMatchObject({ ended: true, found: true });
      expect(dump).toMatchObject({
        compositeMd5: compositeMd5(dump.parts),
        ...{ rawBytes: written.length, compressedBytes: stored.length },
        ...{ endRecord: true, appendedBytes: 0, recordCount: walkStored(stored).recordCount },
      });
      const threads = await bucket.objects.getObject(keys.evidence('threads'), {
        maxBytes: 10_000_000,
      });
      expect(Buffer.from(threads!).toString()).toContain('"main"');
      const process = await bucket.objects.getObject(keys.evidence('processFacts'), {
        maxBytes: 1_000_000,
      });
      expect(Buffer.from(process!).toString()).toMatch(/## threads\ncount \d+\n[^\n]+\n\d+ S /);
      // Native memory is not tracked unless the JVM was started so.
      expect(manifest.evidence.map(({ artifact }) => artifact)).toEqual(
        orderedEvidence.filter((artifact) => artifact !== 'nativeMemory'),
      );
    });

    it('makes the dump of a JVM that was killed parseable and says so', async () => {
      const jvm = await lab.startJvm(jdk, 'HeapWitness', { args: ['2000000', marker, '0'] });

      const agent = startExecAgent(jdk, await orderTicket());
      await lab.dumpHas(1024 * 1024, jdk.major >= 22 ? '.p0' : '.hprof');
      jvm.kill('SIGKILL');
      expect((await agent.ended).code).toBe(0);

      const manifest = await bucket.manifest();
      expect(manifest.faults.map(({ code }) => code)).toEqual(['DumpFailed']);
      expect(manifest.dump).toMatchObject({ endRecord: false });
      const settled = await bucket.settle({ manifest });
      expect(settled.state).toBe('salvaged');
      expect(walkStored(await bucket.dump())).toMatchObject({ ended: true });
      expect(lab.dumpFiles().filter(({ name }) => name.endsWith('.hprof'))).toEqual([]);
    });
  },
);

describe('the exec agent', () => {
  it('announces parts that end inside of an array before they are sent', async () => {
    await lab.startJvm(oldest, 'RandomHeap', { args: ['1', '20', marker] });
    const progress = new Map<number, Awaited<ReturnType<typeof storedProgress>>>();
    const end = bucket.store.onObjectCreated(async () => {
      const now = await storedProgress();
      if (now) progress.set(progress.size, now);
    });

    expect((await startExecAgent(oldest, await orderTicket()).ended).code).toBe(0);
    await bucket.store.settled();
    end();

    const manifest = await bucket.manifest();
    const open = [...progress.values()].flatMap((one) => one?.openParts ?? []);
    expect(open.length).toBeGreaterThan(0);
    expect(open.every(({ remainingBytes }) => remainingBytes > 0)).toBe(true);
    expect(await bucket.settle({ manifest })).toMatchObject({ state: 'whole', faults: [] });
    expect(walkStored(await bucket.dump())).toMatchObject({ ended: true, found: true });
  });

  it('sends larger parts where the ticket has few URLs for what is expected', async () => {
    await lab.startJvm(oldest, 'RandomHeap', { args: ['28', '1', marker] });
    const expectedBytes = 64 * 1024 * 1024;
    const url = await orderTicket((ticket) => {
      const { partUrls } = ticket.heapDump!;
      return withDump(ticket, { expectedBytes, partUrls: partUrls.slice(0, 8) });
    });

    expect((await startExecAgent(oldest, url).ended).code).toBe(0);

    const manifest = await bucket.manifest();
    const sizes = dumpOf(manifest).parts.map(({ bytes }) => bytes);
    const layout = { partCount: 8, firstBytes: minPartBytes, expectedBytes: expectedBytes * 1.1 };
    expect(sizes.length).toBeGreaterThan(2);
    for (const [index, bytes] of sizes.slice(0, -1).entries()) {
      expect(bytes).toBeGreaterThanOrEqual(partBytesAt(index, layout));
      expect(bytes).toBeLessThan(partBytesAt(index, layout) * 1.5);
    }
    expect(await bucket.settle({ manifest })).toMatchObject({ state: 'whole', faults: [] });
  });

  it('speaks through jcmd where the JRE cannot open unix sockets', async () => {
    await lab.startJvm(oldest, 'RandomHeap', { args: ['1', '1', marker] });
    const jcmd = join(oldest.home, 'bin/jcmd');
    const properties = ['-Dheapcatch.attach=jcmd', `-Dheapcatch.jcmd=${jcmd}`];

    expect((await startExecAgent(oldest, await orderTicket(), properties).ended).code).toBe(0);

    const manifest = await bucket.manifest();
    expect(manifest).toMatchObject({ faults: [], jvm: { jdkVersion: oldest.version } });
    expect(manifest.evidence).toHaveLength(4);
    expect(await bucket.settle({ manifest })).toMatchObject({ state: 'whole' });
  });

  it('refuses where there are neither unix sockets nor a jcmd', async () => {
    const agent = startExecAgent(oldest, await orderTicket(), ['-Dheapcatch.attach=jcmd']);

    expect(JSON.parse((await agent.ended).stdout)).toMatchObject({
      ...{ outcome: 'refused', reason: 'AttachClientUnavailable' },
    });
  });

  it('stores the evidence and says why there is no dump where no directory can take it', async () => {
    await lab.startJvm(oldest, 'RandomHeap', { args: ['1', '1', marker] });
    const url = await orderTicket((ticket) => ({
      ...ticket,
      heapDump: {
        ...ticket.heapDump!,
        directories: ['/dev/shm', '/proc', '/absent', lab.dumps],
        sizeLimits: { [lab.dumps]: 1 },
      },
    }));

    expect((await startExecAgent(oldest, url).ended).code).toBe(0);

    const manifest = await bucket.manifest();
    expect(manifest.evidence).toHaveLength(4);
    expect(manifest.dump).toBeUndefined();
    expect(manifest.faults).toEqual([
      {
        code: 'DumpPlaceUnavailable',
        message: expect.stringMatching(
          /tmpfs.*\/absent: does not exist; \S+: may take 1 bytes by its limit/,
        ) as unknown,
      },
    ]);
  });
});

describe('a container that is killed with its exec agent', () => {
  it('leaves parts that sweep makes a dump of', async () => {
    await lab.startJvm(oldest, 'HeapWitness', { args: ['1000000', marker, '0'] });
    // The third part never comes through: by then two are durable, or will be before the kill.
    bucket.store.faults.next({
      method: 'PUT',
      keyMatch: keys.heapDump,
      partNumber: 3,
      kind: 'stall',
    });
    const agent = startExecAgent(oldest, await orderTicket());
    const stored = async () =>
      (await bucket.objects.listParts(keys.heapDump, bucket.uploadId)) ?? [];
    while ((await stored()).length < 3) await new Promise((next) => setImmediate(next));
    agent.child.kill('SIGKILL');
    await agent.ended;

    const progress = await storedProgress();
    const settled = await bucket.settle({ progress });

    expect(settled).toMatchObject({ state: 'salvaged', heapDump: { endFrameBytes: 18 } });
    const walked = walkStored(await bucket.dump());
    expect(walked.ended).toBe(true);
    expect(walked.bytes).toBeGreaterThan(10 * 1024 * 1024);
  });
});

describe('the exec agent and its ticket', () => {
  async function refusal(ticketUrl: string, properties: string[] = []) {
    const { stdout } = await startExecAgent(oldest, ticketUrl, properties).ended;
    expect(stdout).not.toMatch(/X-Amz-/);
    return JSON.parse(stdout) as { outcome: string; reason: string; message: string };
  }

  it.each<[string, string, (ticket: Ticket) => unknown]>([
    ['an order that it does not know', 'ticket.redaction', (t) => ({ ...t, redaction: 'all' })],
    ['another rung', 'rung', (t) => ({ ...t, rung: 'nodeAgent' })],
    ['a part size below the minimum', 'partBytes', (t) => withDump(t, { partBytes: 1 })],
    ['a path with ..', 'directories', (t) => withDump(t, { directories: ['/a/../etc'] })],
    ['a URL that is none', 'manifestUrl', (t) => ({ ...t, manifestUrl: 'file:///etc' })],
    ['no document at all', 'ticket', () => 'text'],
  ])('refuses %s, and names the field', async (_name, field, change) => {
    expect(await refusal(await orderTicket(change))).toMatchObject({
      ...{ outcome: 'refused', reason: 'InvalidTicket' },
      message: expect.stringContaining(field) as unknown,
    });
  });

  it('refuses a ticket that is cut off', async () => {
    const whole = await orderTicket();
    const ticket = await bucket.objects.getObject('tickets/1.json', { maxBytes: 1_000_000 });
    const cut = Buffer.from(ticket!).subarray(0, -100);
    await bucket.objects.putObject('tickets/1.json', cut, { contentType: 'application/json' });

    expect(await refusal(whole)).toMatchObject({ reason: 'InvalidTicket' });
  });

  it('fetches its ticket again when the answer breaks off', async () => {
    await lab.startJvm(oldest, 'RandomHeap', { args: ['1', '1', marker] });
    const url = await orderTicket();
    bucket.store.faults.next({ method: 'GET', kind: 'truncate-reply' });

    expect((await startExecAgent(oldest, url).ended).stdout).toContain('accepted');
  });

  it('refuses a ticket whose time to start is over', async () => {
    const url = await orderTicket((t) => ({ ...t, startDeadlineTime: '2020-01-01T00:00:00Z' }));

    expect(await refusal(url)).toMatchObject({ reason: 'TicketExpired' });
  });

  it('says that the container does not reach the object store', async () => {
    const url = 'http://127.0.0.1:1/tickets/1?X-Amz-Signature=secret';

    expect(await refusal(url, ['-Dheapcatch.fetchSeconds=1'])).toMatchObject({
      reason: 'StorageUnreachable',
    });
  });
});

const withDump = (ticket: Ticket, changes: object): unknown => ({
  ...ticket,
  heapDump: { ...ticket.heapDump, ...changes },
});
