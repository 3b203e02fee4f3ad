import { describe, expect, it, jest } from '@jest/globals';
import { closeSync, openSync, readSync, rmSync } from 'node:fs';
import { manifestSchema, type Manifest } from '../../lib/capture/manifest.ts';
import { minPartBytes } from '../../lib/capture/ticket.ts';
import { endRecord } from '../../lib/hprof/end-record.ts';
import type { FakeBucket } from '../agent/fake-bucket.ts';
import { containerID, ticketFor } from '../agent/tickets.ts';
import { type AgentLab, dumpOf, marker, walkStored } from './agent-lab.ts';
import { jdksUnderTest } from './jdks.ts';
import { freshLabs, orderAt } from './lab-of-each-test.ts';
import { nextLook } from './next-look.ts';

jest.setTimeout(120_000);

let lab: AgentLab;
let bucket: FakeBucket;

freshLabs((fresh) => {
  ({ lab, bucket } = fresh);
});

const attacherKey = 'feedc0de'.repeat(8);

function orderCapture(rung: 'nodeAgent' | 'ephemeralContainer'): Record<string, string> {
  const ticket = ticketFor(bucket, {
    directories: [lab.dumps],
    partBytes: minPartBytes,
    change: { rung },
  });
  return orderAt(bucket, ticket);
}

type RunningAgent = ReturnType<AgentLab['startAgent']>;

/** Attacher and uploader of one capture, as in the two ephemeral containers. */
function startBoth(): { attacher: RunningAgent; uploader: RunningAgent } {
  const shared = {
    HEAPCATCH_ATTACHER_KEY: attacherKey,
    HEAPCATCH_ATTACHER_DIRECTORIES: lab.dumps,
    HEAPCATCH_CONTAINER_ID: containerID,
    HEAPCATCH_DEADLINE_TIME: new Date(Date.now() + 100_000).toISOString(),
  };
  const attacher = lab.startAgent('attach', shared);
  // The uploader has a PID namespace of its own: what it would find there is not the JVM.
  const order = { ...orderCapture('ephemeralContainer'), HEAPCATCH_PROC_ROOT: '/nowhere' };
  return { attacher, uploader: lab.startAgent('capture', { ...order, ...shared }) };
}

const manifest = (): Manifest => manifestSchema.parse(bucket.json('/manifest.json'));

/** Nothing of the dump gets out until it is released: all of it is still to be sent when the JVM ends. */
function holdParts(): () => void {
  const released = Promise.withResolvers<undefined>();
  bucket.onPut = ({ path }) => (path.startsWith('/dump/') ? released.promise : undefined);
  return () => released.resolve(undefined);
}

/** Resolves as soon as the JVM has written the last byte of its dump. */
async function lastByteWritten(agent: RunningAgent): Promise<void> {
  let early: string | undefined;
  void agent.ended.then(({ log }) => (early = log));
  const tail = Buffer.alloc(endRecord.length);
  for (;;) {
    const [file] = lab.dumpFiles().filter(({ name }) => name.endsWith('.hprof'));
    if (file !== undefined && file.bytes > minPartBytes) {
      const open = openSync(file.path, 'r');
      readSync(open, tail, 0, tail.length, file.bytes - tail.length);
      closeSync(open);
      if (tail.equals(endRecord)) return;
    }
    if (early !== undefined) throw new Error(`the agent ended first: ${early}`);
    await nextLook();
  }
}

function expectWhole(code: number | null): void {
  const { dump, faults } = manifest();
  expect([code, faults]).toEqual([0, []]);
  const stored = walkStored(Buffer.concat(bucket.parts('/dump/')));
  expect(stored).toMatchObject({ ended: true, found: true, bytes: dump?.rawBytes });
  expect(dumpOf(manifest())).toMatchObject({ endRecord: true, appendedBytes: 0 });
}

describe.each(jdksUnderTest().map((jdk) => [jdk.version, jdk] as const))(
  'a JVM of JDK %s that ends with the last byte of its dump',
  (_version, jdk) => {
    const randomHeap = ['50', '20', marker];

    it('by SIGTERM loses nothing to the node agent, though its files are gone as well', async () => {
      const jvm = await lab.startJvm(jdk, 'RandomHeap', { args: randomHeap, ownCgroup: true });
      const release = holdParts();
      const agent = lab.startAgent('capture', orderCapture('nodeAgent'));
      const ended = new Promise((resolve) => jvm.once('exit', resolve));

      await lastByteWritten(agent);
      jvm.kill('SIGTERM');
      await ended;
      for (const { path } of lab.dumpFiles()) rmSync(path);
      release();

      expectWhole((await agent.ended).code);
    });

    it('takes only its attacher along, and the uploader loses nothing', async () => {
      const jvm = await lab.startJvm(jdk, 'RandomHeap', { args: randomHeap, ownCgroup: true });
      const release = holdParts();
      const { attacher, uploader } = startBoth();

      await lastByteWritten(uploader);
      jvm.kill('SIGKILL');
      attacher.child.kill('SIGKILL');
      await attacher.ended;
      release();

      expectWhole((await uploader.ended).code);
      expect(manifest().layout?.layout).toBe('split');
      expect(lab.dumpFiles()).toEqual([]);
    });

    it('is killed in the middle: the uploader makes what is there parseable and stores it', async () => {
      const args = ['4000000', marker, '0'];
      const jvm = await lab.startJvm(jdk, 'HeapWitness', { args, ownCgroup: true });
      const { attacher, uploader } = startBoth();

      await lab.dumpHas(8 * 1024 * 1024, jdk.major >= 22 ? '.p0' : '.hprof');
      jvm.kill('SIGKILL');
      attacher.child.kill('SIGKILL');
      lab.keepDumps();
      const { code } = await uploader.ended;

      const { dump, faults } = manifest();
      expect([code, faults.map((fault) => fault.code)]).toEqual([4, ['DumpFailed']]);
      expect(walkStored(Buffer.concat(bucket.parts('/dump/')))).toMatchObject({ ended: true });
      const kept = lab.dumpFiles(lab.kept);
      const writtenBytes = kept.reduce((sum, file) => sum + file.bytes, 0);
      // Of each file a last record that was cut, which is at most 1 MiB, cannot be kept.
      expect(writtenBytes - dump!.rawBytes).toBeLessThan(kept.length * (1024 * 1024 + 65_536));
      expect(lab.dumpFiles()).toEqual([]);
    });

    it('ends its attacher also where it is not the first process of its namespace', async () => {
      const jvm = await lab.startJvm(jdk, 'RandomHeap', { args: randomHeap, ownCgroup: true });
      const release = holdParts();
      const { attacher, uploader } = startBoth();

      await lastByteWritten(uploader);
      jvm.kill('SIGKILL');
      expect((await attacher.ended).code).toBe(0);
      release();

      expectWhole((await uploader.ended).code);
    });
  },
);
