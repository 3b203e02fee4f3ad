import { describe, expect, it, jest } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createS3ObjectStore } from '../../lib/aws/s3-object-store.ts';
import { manifestSchema, type Manifest, type Progress } from '../../lib/capture/manifest.ts';
import { minPartBytes } from '../../lib/capture/ticket.ts';
import { startLocalObjectStore } from '../../lib/local/object-store/object-store.ts';
import { type FakeBucket, s3Error } from '../agent/fake-bucket.ts';
import { captureId, ticketFor } from '../agent/tickets.ts';
import {
  type AgentLab,
  dumpOf,
  framesOf,
  marker,
  walkStored,
  withoutSeekTable,
} from './agent-lab.ts';
import { jdksUnderTest } from './jdks.ts';
import { freshLabs, orderAt } from './lab-of-each-test.ts';
import { nextLook } from './next-look.ts';

jest.setTimeout(120_000);

let lab: AgentLab;
let bucket: FakeBucket;

freshLabs((fresh) => {
  ({ lab, bucket } = fresh);
});

type TicketChanges = Partial<Parameters<typeof ticketFor>[1]>;

function orderCapture(changes: TicketChanges = {}): Record<string, string> {
  const ticket = ticketFor(bucket, { directories: [lab.dumps], ...changes });
  return orderAt(bucket, ticket);
}

function capture(changes: TicketChanges = {}, env: Record<string, string> = {}) {
  return lab.startAgent('capture', { ...orderCapture(changes), ...env });
}

function manifest(): Manifest {
  return manifestSchema.parse(bucket.json('/manifest.json'));
}

function storedDump(): Buffer {
  return Buffer.concat(bucket.parts('/dump/'));
}

/** Holds back the PUTs of a path until it is released; `asked` resolves with the first. */
function hold(path: string): { asked: Promise<void>; release: () => void } {
  let release: () => void = () => undefined;
  const released = new Promise<undefined>((resolve) => (release = () => resolve(undefined)));
  const asked = new Promise<void>((resolve) => {
    bucket.onPut = (put) => {
      if (put.path !== path) return undefined;
      resolve();
      return released;
    };
  });
  return { asked, release };
}

describe.each(jdksUnderTest().map((jdk) => [jdk.version, jdk] as const))(
  'the agent and a JVM of JDK %s',
  (_version, jdk) => {
    const randomHeap = ['50', '20', marker];
    /** Number of the n-th part that holds objects of the heap: JDK ≥ 22 writes them to a segment, a stream of its own. */
    const heapPart = (n: number): number => (jdk.major >= 22 ? 16 + n : n);

    it('stores the very bytes that the JVM wrote, through faults of S3, and removes its files', async () => {
      await lab.startJvm(jdk, 'RandomHeap', { args: randomHeap });
      const store = await startLocalObjectStore();
      try {
        const objects = createS3ObjectStore(store);
        const uploadId = await objects.createMultipartUpload('dump.zst', 'application/zstd');
        const put = (key: string) => objects.presignPut(key, 300);
        const base = ticketFor(bucket, { directories: [lab.dumps] });
        const ticket = {
          ...base,
          evidence: await Promise.all(
            base.evidence.map(async ({ artifact }) => ({ artifact, putUrl: await put(artifact) })),
          ),
          heapDump: {
            ...base.heapDump,
            partUrls: await objects.presignParts('dump.zst', uploadId, 100, 300),
          },
          progressUrl: await put('progress'),
          manifestUrl: await put('manifest'),
        };
        const about = { method: 'PUT', keyMatch: 'dump.zst' };
        store.faults.next({ ...about, partNumber: 1, kind: 'slow-down', times: 2 });
        store.faults.next({ ...about, partNumber: heapPart(2), kind: 'reset' });
        store.faults.next({ ...about, partNumber: heapPart(3), kind: 'truncate-reply' });
        store.faults.next({ method: 'PUT', keyMatch: 'manifest', kind: 'status-503' });
        store.faults.next({ method: 'PUT', keyMatch: 'threads', kind: 'status-503' });

        const agent = lab.startAgent('capture', {
          ...orderAt(bucket, ticket),
          // The file that is kept to compare with must stay whole.
          HEAPCATCH_HOLE_STEP_MIB: '0',
        });
        await lab.dumpHas(1);
        lab.keepDumps();
        const { code, log } = await agent.ended;

        expect([code, store.faults.pendingCount]).toEqual([0, 0]);
        expect(log).not.toMatch(/X-Amz-|secret/);
        expect(lab.dumpFiles()).toEqual([]);
        const bytes = await objects.getObject('manifest', { maxBytes: 10_000_000 });
        const result = manifestSchema.parse(JSON.parse(Buffer.from(bytes!).toString()));
        const dump = dumpOf(result);
        const fileName = `heapcatch-${captureId}-1.hprof`;
        await lab.keptHas(fileName, dump.rawBytes);
        const written = readFileSync(join(lab.kept, fileName));
        await objects.completeMultipartUpload('dump.zst', uploadId, dump.parts);
        const stored = Buffer.from((await objects.getObject('dump.zst', { maxBytes: 2 ** 30 }))!);
        expect(Buffer.concat([...framesOf(stored)]).equals(written)).toBe(true);
        expect(walkStored(stored)).toMatchObject({ ended: true, found: true });
        expect(dump).toMatchObject({
          ...{ rawBytes: written.length, compressedBytes: stored.length },
          ...{ endRecord: true, appendedBytes: 0, recordCount: walkStored(stored).recordCount },
        });
        const object = await objects.headObject('dump.zst');
        expect(object?.eTag.replaceAll('"', '')).toBe(dump.compositeMd5);
        const endFrame = withoutSeekTable(stored).subarray(-dump.endFrameBytes);
        expect([...framesOf(endFrame)].map((f) => f.length)).toEqual([9]);
        expect(stored.length - withoutSeekTable(stored).length).toBe(dump.seekTableBytes);
        expect(result.evidence.map(({ artifact }) => artifact)).toEqual([
          ...['heapInfo', 'threads', 'classHistogram'],
        ]);
        expect(result.jvm).toMatchObject({ jdkVersion: jdk.version });
        const threads = await objects.getObject('threads', { maxBytes: 10_000_000 });
        expect(Buffer.from(threads!).toString()).toContain('"main"');
      } finally {
        await store.close();
      }
    });

    it('gives disk space back while the JVM writes, and stores the dump whole', async () => {
      await lab.startJvm(jdk, 'RandomHeap', { args: ['100', '0', marker] });

      const agent = capture({}, { HEAPCATCH_HOLE_STEP_MIB: '4' });
      await lab.dumpHas(1);
      lab.keepDumps();
      const { code, log } = await agent.ended;

      expect(code).toBe(0);
      expect(walkStored(storedDump())).toMatchObject({ ended: true, found: true });
      const freed = /"punchedBytes":(\d+)/.exec(log)?.[1];
      expect(Number(freed)).toBeGreaterThan(16 * 1024 * 1024);
      // From JDK 22 on the JVM copies what the segments held: their own space is freed, the copy's is not.
      const [base] = lab.dumpFiles(lab.kept);
      const freedBytes = base!.bytes - statSync(base!.path).blocks * 512;
      if (jdk.major < 22) expect(freedBytes).toBeGreaterThan(16 * 1024 * 1024);
    });

    it('saves at least 95 % of what was written when the JVM is killed in the middle of its dump', async () => {
      const args = ['4000000', marker, '0'];
      const jvm = await lab.startJvm(jdk, 'HeapWitness', { args });

      const agent = capture({ blockBytes: 65_536 });
      await lab.dumpHas(1024 * 1024, jdk.major >= 22 ? '.p0' : '.hprof');
      jvm.kill('SIGKILL');
      lab.keepDumps();
      const { code } = await agent.ended;

      const { dump, faults } = manifest();
      expect([code, faults.map((fault) => fault.code)]).toEqual([4, ['DumpFailed']]);
      expect(faults[0]?.message).toContain('the JVM ended before it had finished its dump');
      expect(walkStored(storedDump())).toMatchObject({ ended: true, bytes: dump?.rawBytes });
      expect(dump).toMatchObject({ endRecord: false });
      const writtenBytes = lab.dumpFiles(lab.kept).reduce((sum, file) => sum + file.bytes, 0);
      expect(dump!.rawBytes / writtenBytes).toBeGreaterThan(0.95);
      expect(lab.dumpFiles()).toEqual([]);
    });

    it('leaves parts behind that can be finished without reading them, when it is killed itself', async () => {
      await lab.startJvm(jdk, 'RandomHeap', { args: ['12', '40', marker] });
      // A dump is nothing without the header in part 1, which of JDK ≥ 22 is not the first to arrive.
      const awaited = new Set([1, ...[1, 2, 3, 4].map(heapPart)].map((part) => `/dump/${part}`));
      const allStored = new Promise<void>((resolve) => {
        bucket.onStored = (path) => {
          awaited.delete(path);
          if (awaited.size === 0) resolve();
        };
      });
      bucket.onPut = ({ path }) => {
        const [, part] = /^\/dump\/(.*)/.exec(path) ?? [];
        return Number(part) >= heapPart(6) ? 'stall' : undefined;
      };

      const agent = capture();
      await allStored;
      agent.child.kill('SIGKILL');
      await agent.ended;

      const progress = bucket.json('/progress.json') as Progress;
      const announced = new Map(
        progress.openParts.map((open) => [open.partNumber, open.remainingBytes]),
      );
      const parts = bucket.parts('/dump/');
      const last = walkStored(Buffer.concat(parts));
      expect(parts.length).toBeGreaterThanOrEqual(4);
      const lastNumber = Math.max(
        ...[...bucket.objects.keys()].map((path) => Number(/^\/dump\/(.*)/.exec(path)?.[1] ?? 0)),
      );
      expect(last.openRecordRemainingBytes).toBe(announced.get(lastNumber) ?? 0);
      expect(announced.size).toBeGreaterThan(0);
      expect(bucket.objects.has('/manifest.json')).toBe(false);
    });

    it('stores the whole dump though the network is away in the middle of it', async () => {
      await lab.startJvm(jdk, 'RandomHeap', { args: randomHeap });
      const third = `/dump/${heapPart(3)}`;
      const away = new Promise<void>((resolve) => {
        bucket.onPut = ({ path, attempt }) => {
          if (path !== third || attempt > 1) return undefined;
          resolve();
          return 'stall';
        };
      });

      const agent = capture();
      await away;
      await bucket.goAway();
      await logged(agent.child, 'ECONNREFUSED', 4);
      await bucket.comeBack();
      const { code, log } = await agent.ended;

      expect([code, manifest().faults]).toEqual([0, []]);
      expect(walkStored(storedDump())).toMatchObject({ ended: true, found: true });
      expect(dumpOf(manifest())).toMatchObject({ endRecord: true, appendedBytes: 0 });
      expect(log).not.toMatch(/X-Amz-|secret/);
    });

    it.each([
      ['somebody else has finished the upload', s3Error(404, 'NoSuchUpload')],
      ['the URLs have expired', s3Error(403, 'AccessDenied', 'Request has expired')],
    ])('stops without a manifest when %s, and leaves the parts', async (_name, fault) => {
      await lab.startJvm(jdk, 'RandomHeap', { args: randomHeap });
      const third = `/dump/${heapPart(3)}`;
      bucket.onPut = ({ path }) => (path === third ? fault : undefined);

      const { code } = await capture().ended;

      expect(code).toBe(1);
      expect(bucket.stored.some((path) => path.startsWith('/dump/'))).toBe(true);
      expect(bucket.objects.has('/manifest.json')).toBe(false);
      expect(bucket.attempts(third)).toBe(1);
      expect(lab.dumpFiles()).toEqual([]);
    });

    it('keeps what fits when the JVM runs out of disk', async () => {
      const maxFileBytes = 100 * 1024 * 1024;
      await lab.startJvm(jdk, 'RandomHeap', { args: ['150', '0', marker], maxFileBytes });

      const { code } = await capture().ended;

      const { dump, faults } = manifest();
      expect([code, faults.map((fault) => fault.code)]).toEqual([4, ['DumpFailed']]);
      expect(walkStored(storedDump())).toMatchObject({ ended: true });
      expect(dump).toMatchObject({ endRecord: false });
      expect(dump!.rawBytes / maxFileBytes).toBeGreaterThan(0.9);
    });

    it('seals what it has when the deadline comes before the dump is done', async () => {
      const args = ['4000000', marker, '0'];
      const jvm = await lab.startJvm(jdk, 'HeapWitness', { args });

      const agent = capture({ blockBytes: 65_536, deadlineSeconds: 12 });
      await lab.dumpHas(1024 * 1024);
      jvm.kill('SIGSTOP');
      const { code } = await agent.ended;

      expect([code, manifest().faults.map((fault) => fault.code)]).toEqual([
        4,
        ['DeadlineExceeded'],
      ]);
      expect(walkStored(storedDump())).toMatchObject({ ended: true });
      expect(manifest()).toMatchObject({ dumpGoesOn: true, dump: { endRecord: false } });
    });

    it('dumps although the evidence cannot be stored', async () => {
      await lab.startJvm(jdk, 'RandomHeap', { args: ['1', '0', marker] });
      bucket.onPut = ({ path }) => (path.endsWith('.txt') ? s3Error(503, 'SlowDown') : undefined);
      const evidence = [{ artifact: 'heapInfo', putUrl: bucket.url('/heapInfo.txt') } as const];

      const { code } = await capture({ deadlineSeconds: 12, change: { evidence } }).ended;

      expect([code, manifest().faults.map((fault) => fault.code)]).toEqual([
        4,
        ['DeadlineExceeded'],
      ]);
      expect(walkStored(storedDump())).toMatchObject({ ended: true, found: true });
    });

    it('answers DumpPlaceUnavailable and keeps the evidence when only memory is offered', async () => {
      await lab.startJvm(jdk, 'RandomHeap', { args: ['1', '0', marker] });

      const { code } = await capture({ directories: ['/dev/shm', '/nowhere'] }).ended;

      expect(code).toBe(4);
      expect(manifest().faults).toMatchObject([{ code: 'DumpPlaceUnavailable' }]);
      expect(manifest().evidence).toHaveLength(3);
      expect(bucket.attempts('/dump/1')).toBe(0);
    });

    it('answers that a JVM with attach disabled cannot be dumped, and does it no harm', async () => {
      const jvm = await lab.startJvm(jdk, 'RandomHeap', {
        args: ['1', '0', marker],
        jvmArgs: ['-XX:+DisableAttachMechanism'],
      });

      expect((await capture().ended).code).toBe(4);
      expect(manifest().faults).toMatchObject([{ code: 'AttachDisabled' }]);
      expect([jvm.exitCode, jvm.signalCode]).toEqual([null, null]);
    });

    it('needs no signal for a JVM with -Xrs, which SIGQUIT would end', async () => {
      const jvm = await lab.startJvm(jdk, 'RandomHeap', {
        args: ['1', '0', marker],
        jvmArgs: ['-Xrs'],
      });

      expect((await capture().ended).code).toBe(0);
      expect([jvm.exitCode, jvm.signalCode]).toEqual([null, null]);
    });

    it('is started by exec, answers at once, and lets the capture end when it is stopped', async () => {
      await lab.startJvm(jdk, 'RandomHeap', { args: randomHeap });
      const healthPort = await freePort();
      const env = {
        HEAPCATCH_SOCKET: join(lab.folder, 'agent.sock'),
        HEAPCATCH_HEALTH_PORT: String(healthPort),
      };
      orderCapture({ partBytes: minPartBytes });
      const served = lab.startAgent('serve', env);
      await listening(env.HEAPCATCH_SOCKET);
      const held = hold('/dump/1');
      const line = `${JSON.stringify({ ticketUrl: bucket.url('/ticket') })}\n`;

      const { code, stdout } = await lab.startAgent('start', env, line).ended;
      await held.asked;
      const metrics = await (await fetch(`http://127.0.0.1:${healthPort}/metrics`)).text();
      const again = await lab.startAgent('start', env, line).ended;
      served.child.kill('SIGTERM');
      held.release();

      expect([code, JSON.parse(stdout)]).toEqual([0, { outcome: 'accepted', captureId }]);
      expect(JSON.parse(again.stdout)).toEqual({ outcome: 'accepted', captureId });
      expect(metrics).toMatch(
        /^heapcatch_agent_capture_raw_bytes\{[^}]*target_pod="cart-1"\} [1-9]\d*$/m,
      );
      expect(metrics).toMatch(/^heapcatch_agent_capture_expected_bytes\{[^}]*\} 67108864$/m);
      expect((await served.ended).code).toBe(0);
      expect(manifest().faults).toEqual([]);
      expect(walkStored(storedDump())).toMatchObject({ ended: true, found: true });
    });
  },
);

/** A TCP port that nobody listens on just now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Resolves when the process has logged so many lines with that text from now on. */
async function logged(child: ChildProcess, text: string, count: number): Promise<void> {
  let seen = '';
  await new Promise<void>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the agent ended with ${code}`)));
    child.stderr?.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.split(text).length > count) resolve();
    });
  });
}

/** Resolves when something accepts connections there. */
async function listening(socketPath: string): Promise<void> {
  for (;;) {
    const accepted = await new Promise<boolean>((resolve) => {
      const socket = connect({ path: socketPath }, () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (accepted) return;
    await nextLook();
  }
}
