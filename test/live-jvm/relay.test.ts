import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openRelayedDump } from '../../lib/agent/relayed-dump.ts';
import type { ClusterApi } from '../../lib/capture/ports.ts';
import { relayCapture } from '../../lib/capture/relay-capture.ts';
import { startRelay } from '../../lib/capture/start-relay.ts';
import { ticketSchema } from '../../lib/capture/ticket.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import { CaptureError } from '../../lib/errors.ts';
import type { Jdk } from '../../lib/local/jdks.ts';
import { createLogger } from '../../lib/log.ts';
import { defaultPolicy } from '../../lib/policy/resolve.ts';
import { captureId, ticketFor } from '../agent/tickets.ts';
import { FakeCluster } from '../capture/fake-cluster.ts';
import { AgentLab, dumpOf, framesOf, marker, walkStored } from './agent-lab.ts';
import {
  builtJar,
  elsewhere,
  ExecStore,
  keys,
  objectPrefix,
  orderedEvidence,
} from './exec-store.ts';
import { jdksUnderTest } from './jdks.ts';

jest.setTimeout(120_000);

const jar = builtJar();
// Older ones have no unix sockets, and are refused where the image has no jcmd.
const jdks = jdksUnderTest().filter(({ major }) => major >= 16);
const oldest = jdks.at(-1)!;

let lab: AgentLab;
/** Where the container takes the jar, and what is kept for the relay. */
let spools: string;
let bucket: ExecStore;
let cluster: ContainerHere;

beforeEach(async () => {
  lab = new AgentLab();
  spools = join(lab.folder, 'spools');
  mkdirSync(spools);
  bucket = await ExecStore.open();
});
afterEach(async () => {
  cluster.close();
  await lab.close();
  await bucket.close();
});

/** What becomes of the output of one connection, piece by piece: as it is, changed, or `lost` with the connection. */
type Line = (piece: Buffer, sentBytes: number) => Buffer | 'lost';

/** This machine as the application's container: commands run in its shell, over lines that a test can break. */
class ContainerHere extends FakeCluster {
  readonly relays: (readonly string[])[] = [];
  /** For each connection of the relay in turn; those after are whole. */
  readonly lines: Line[] = [];
  readonly #children = new Set<ChildProcess>();
  readonly #jdk: Jdk;

  constructor(jdk: Jdk) {
    super();
    this.#jdk = jdk;
  }

  override exec: ClusterApi['exec'] = async (_target, command, options) => {
    if (command.includes('heapcatch-probe')) {
      const stdout = `java=${this.#jdk.home}/bin/java\nwritable=${spools}\nend=1\n`;
      return { exitCode: 0, stdout, stderr: '' };
    }
    // The dump is whole then, and about to be removed.
    if (command.includes('heapcatch-release')) lab.keepDumps();
    const isRelay = command.includes('heapcatch-relay');
    if (isRelay) this.relays.push(command);
    const line = isRelay ? this.lines.shift() : undefined;
    const [program = '', ...args] = command.map((word) =>
      word === '-Xms4m' ? `-Dheapcatch.procRoot=${lab.proc.path}` : word,
    );
    const child = spawn(program, args);
    this.#children.add(child);
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.stdin ?? '');
    let [stdout, stderr] = ['', ''];
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    let sentBytes = 0;
    for await (const chunk of child.stdout) {
      const piece = line?.(chunk as Buffer, sentBytes) ?? (chunk as Buffer);
      if (piece === 'lost') {
        child.kill('SIGKILL');
        return { exitCode: undefined, stdout, stderr };
      }
      sentBytes += piece.length;
      if (options.onStdout) await options.onStdout(piece);
      else stdout += piece.toString();
      if (!options.onStdout && stdout.endsWith('"}\n')) break;
    }
    return { exitCode: (await ended) ?? undefined, stdout, stderr };
  };

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }
}

/** Starts and fetches a capture, as if the container had not reached the bucket. */
async function relay(
  options: { maxMebibytes?: number; expectedBytes?: number } = {},
): Promise<void> {
  const base = ticketFor(elsewhere, { directories: [lab.dumps], partCount: 1 });
  const expectedBytes = options.expectedBytes ?? 200 * 1024 ** 2;
  const ticket = ticketSchema.parse({
    ...base,
    rung: 'exec',
    evidence: orderedEvidence.map((artifact) => ({ artifact, putUrl: 'http://127.0.0.1:1/x' })),
    heapDump: {
      ...base.heapDump,
      expectedBytes,
      partUrls: Array.from({ length: 100 }, () => 'http://127.0.0.1:1/part'),
    },
  });
  const record = {
    ...{ captureId, fencingToken: 1, objectPrefix, namespace: 'shop', podName: 'cart-1' },
    containerName: 'app',
    captureDeadlineTime: new Date(Date.now() + 600_000).toISOString(),
    policy: {
      ...defaultPolicy,
      heapDump: { skipMerge: false, relayMaxMebibytes: options.maxMebibytes ?? 1_024 },
    },
  } as unknown as CaptureRecord;
  const { objects, uploadId } = bucket;
  const deps = {
    ...{ cluster, objects, clock: () => new Date() },
    logger: createLogger('test', { write: () => undefined }),
    remainingMillis: () => 600_000,
    defer: () => undefined,
    openDump: (upload: Parameters<typeof openRelayedDump>[0]) =>
      Promise.resolve(openRelayedDump(upload)),
    pauseRelay: () => Promise.resolve(),
  };
  const started = await startRelay(deps, deps, {
    ...{ record, ticket, uploadId, directories: [lab.dumps] },
    execAgentJar: readFileSync(jar),
  });
  expect(started.result).toEqual({ outcome: 'started' });
  await relayCapture(deps, started.relayJob!);
}

/** The agent removes what it kept when it is told to. */
async function containerIsClean(): Promise<void> {
  const left = () => [...readdirSync(lab.dumps), ...readdirSync(spools)];
  while (left().length > 0) await new Promise((next) => setImmediate(next));
}

describe.each(jdks.map((jdk) => [jdk.version, jdk] as const))(
  'a capture that is relayed from a JRE of Java %s',
  (_version, jdk) => {
    it('is stored with evidence and the very bytes of the dump, over lines that break and lie', async () => {
      cluster = new ContainerHere(jdk);
      await lab.startJvm(jdk, 'RandomHeap', { args: ['12', '8', marker] });
      const megabyte = 1024 ** 2;
      cluster.lines.push(
        (piece) => piece.subarray(0, 1_000),
        (piece, sent) => (sent > 2 * megabyte ? 'lost' : piece),
        (piece, sent) => {
          const changed = Buffer.from(piece);
          if (sent > megabyte) changed[changed.length >> 1]! ^= 1;
          return changed;
        },
        () => Buffer.from('no frame at all, but as long as the head of one'),
      );

      await relay();

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
      expect(dump).toMatchObject({ rawBytes: written.length, compressedBytes: stored.length });
      const threads = await bucket.objects.getObject(keys.evidence('threads'), {
        maxBytes: 10_000_000,
      });
      expect(Buffer.from(threads!).toString()).toContain('"main"');
      expect(manifest.evidence.map(({ artifact }) => artifact)).toEqual(
        orderedEvidence.filter((artifact) => artifact !== 'nativeMemory'),
      );
      expect(cluster.relays.length).toBeGreaterThanOrEqual(5);
      await containerIsClean();
    });
  },
);

describe('a capture that is relayed', () => {
  it('has its evidence, and no dump is begun that could not get out', async () => {
    cluster = new ContainerHere(oldest);
    await lab.startJvm(oldest, 'RandomHeap', { args: ['1', '1', marker] });

    await relay({ maxMebibytes: 1 });

    const manifest = await bucket.manifest();
    expect(manifest.evidence).toHaveLength(4);
    expect(manifest.dump).toBeUndefined();
    expect(manifest.faults).toEqual([
      {
        code: 'DumpTooLarge',
        message: expect.stringMatching(
          /^the dump may have \d+ bytes; 1048576 can be relayed/,
        ) as unknown,
      },
    ]);
    expect(manifest.times.dumpStartTime).toBeUndefined();
    await containerIsClean();
  });

  it('is salvaged when its JVM is killed within the dump', async () => {
    cluster = new ContainerHere(oldest);
    const jvm = await lab.startJvm(oldest, 'HeapWitness', { args: ['2000000', marker, '0'] });

    const relayed = relay();
    await lab.dumpHas(1024 * 1024);
    jvm.kill('SIGKILL');
    await relayed;

    const manifest = await bucket.manifest();
    expect(manifest.faults.map(({ code }) => code)).toEqual(['DumpFailed']);
    expect(manifest.dump).toMatchObject({ endRecord: false });
    expect((await bucket.settle({ manifest })).state).toBe('salvaged');
    expect(walkStored(await bucket.dump())).toMatchObject({ ended: true });
    await containerIsClean();
  });

  it('keeps what came when the container cannot be reached any more', async () => {
    cluster = new ContainerHere(oldest);
    await lab.startJvm(oldest, 'RandomHeap', { args: ['12', '8', marker] });
    const { exec } = cluster;
    cluster.lines.push((piece, sent) => (sent > 6 * 1024 ** 2 ? 'lost' : piece));
    cluster.exec = (target, command, options) =>
      cluster.relays.length > 0 && command.includes('heapcatch-relay')
        ? Promise.reject(new CaptureError('ClusterUnavailable', 'away', { retryable: true }))
        : exec(target, command, options);

    await relay();

    const manifest = await bucket.manifest();
    expect(manifest.faults).toEqual([
      { code: 'RelayFailed', message: expect.stringContaining('away') as unknown },
    ]);
    expect((await bucket.settle({ manifest })).state).toBe('salvaged');
    expect(walkStored(await bucket.dump()).bytes).toBeGreaterThan(5 * 1024 ** 2);
  });
});
