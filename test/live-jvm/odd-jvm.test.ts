import { describe, expect, it, jest } from '@jest/globals';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { manifestSchema, type Manifest } from '../../lib/capture/manifest.ts';
import type { Ticket } from '../../lib/capture/ticket.ts';
import type { Artifact } from '../../lib/policy/policy.ts';
import type { FakeBucket } from '../agent/fake-bucket.ts';
import { cgroupLine } from '../agent/proc-folder.ts';
import { ticketFor } from '../agent/tickets.ts';
import { type AgentLab, walkStored } from './agent-lab.ts';
import { jdksUnderTest } from './jdks.ts';
import { freshLabs, orderAt } from './lab-of-each-test.ts';

jest.setTimeout(120_000);

let lab: AgentLab;
let bucket: FakeBucket;

freshLabs((fresh) => {
  ({ lab, bucket } = fresh);
});

type EvidenceArtifact = Exclude<Artifact, 'heapDump'>;
const allEvidence = [
  ...(['processFacts', 'heapInfo', 'threads'] as const),
  ...(['nativeMemory', 'classHistogram'] as const),
];

function orderOf(artifacts: readonly EvidenceArtifact[]): Ticket['evidence'] {
  return artifacts.map((artifact) => ({ artifact, putUrl: bucket.url(`/${artifact}.txt`) }));
}

async function capture(options: { deadlineSeconds?: number } = {}): Promise<Manifest> {
  const change = { evidence: orderOf(allEvidence) };
  const ticket = ticketFor(bucket, { directories: [lab.dumps], change, ...options });
  await lab.startAgent('capture', orderAt(bucket, ticket)).ended;
  return manifestSchema.parse(bucket.json('/manifest.json'));
}

function storedText(artifact: EvidenceArtifact): string {
  return bucket.objects.get(`/${artifact}.txt`)?.toString() ?? '';
}

function artifactsOf({ evidence }: Manifest): readonly string[] {
  return evidence.map(({ artifact }) => artifact);
}

type Java = Awaited<ReturnType<AgentLab['startJvm']>>;

/** Resolves when the JVM prints its threads to its own log. */
function threadsInLogOf(jvm: Java): Promise<void> {
  return new Promise((resolve) => {
    let text = '';
    jvm.stdout!.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('Full thread dump') && text.includes('"main"')) resolve();
    });
  });
}

const smallHeap = ['1', '0', 'marker'];

describe.each(jdksUnderTest().map((jdk) => [jdk.version, jdk] as const))(
  'a JVM of JDK %s',
  (_version, jdk) => {
    it('in a full-GC storm is captured whole, and said to be short of heap', async () => {
      await lab.startJvm(jdk, 'GcStorm', {
        args: ['50'],
        jvmArgs: ['-Xmx48m', '-XX:+UseSerialGC', '-XX:-UseGCOverheadLimit'],
      });

      const manifest = await capture();

      expect(manifest.faults).toEqual([]);
      expect(manifest.memory).toMatchObject({ pressure: 'heap' });
      expect(walkStored(Buffer.concat(bucket.parts('/dump/')))).toMatchObject({ ended: true });
      const collections = /^sun\.gc\.collector\.1\.invocations (\d+)$/m.exec(
        storedText('processFacts'),
      );
      expect(Number(collections?.[1])).toBeGreaterThan(50);
    });

    it('that does not come to a safepoint is given up in time, and asked for its threads', async () => {
      const jvm = await lab.startJvm(jdk, 'LateSafepoint', {
        args: ['2000000000'],
        jvmArgs: ['-XX:+UseSerialGC', '-XX:-UseCountedLoopSafepoints'],
      });

      const manifest = await capture({ deadlineSeconds: 4 });

      expect(manifest.dump).toBeUndefined();
      expect(artifactsOf(manifest)).toContain('processFacts');
      expect(artifactsOf(manifest)).not.toContain('threads');
      expect(manifest.faults.map(({ code }) => code)).toContain('DeadlineExceeded');
      expect(manifest.faults.map(({ message }) => message).join()).toContain('SIGQUIT was sent');
      expect([jvm.exitCode, jvm.signalCode]).toEqual([null, null]);
    });

    it('that forbids attaching leaves its counters, its threads in its log, and the reason', async () => {
      const jvmArgs = ['-XX:+DisableAttachMechanism', '-Dpassword=hunter2'];
      const jvm = await lab.startJvm(jdk, 'RandomHeap', { args: smallHeap, jvmArgs });
      const printed = threadsInLogOf(jvm);

      const manifest = await capture();
      await printed;

      expect(artifactsOf(manifest)).toEqual(['processFacts']);
      expect(manifest.faults).toMatchObject([
        { code: 'AttachDisabled', message: expect.stringContaining('SIGQUIT was sent') },
      ]);
      expect(manifest.jvm).toMatchObject({ pid: jvm.pid, jdkVersion: jdk.version });
      expect(manifest.memory?.heapMaxBytes).toBeGreaterThan(0);
      const text = storedText('processFacts');
      expect(text).toMatch(/^VmRSS:/m);
      expect(text).toMatch(/^Max open files/m);
      expect(text).toMatch(/^\d+ [SR] \d+ \d+ VM Thread$/m);
      expect(text).toMatch(/^sun\.gc\.collector\.0\.invocations \d+$/m);
      expect(text).not.toContain('hunter2');
      expect([jvm.exitCode, jvm.signalCode]).toEqual([null, null]);
    });

    it('whose root has no /tmp cannot be attached to, and still leaves what needs no attach', async () => {
      const jvm = await lab.startJvm(jdk, 'RandomHeap', { args: smallHeap });
      lab.proc.hide(jvm.pid);
      lab.proc.link(jvm.pid, cgroupLine(), mkdtempSync(join(lab.folder, 'root-')));
      const printed = threadsInLogOf(jvm);

      const manifest = await capture();
      await printed;

      expect(artifactsOf(manifest)).toEqual(['processFacts']);
      expect(manifest.faults).toMatchObject([
        { code: 'AttachFailed', message: expect.stringContaining('its /tmp cannot be opened') },
      ]);
      expect(storedText('processFacts')).toMatch(/^\d+ [SR] \d+ \d+ VM Thread$/m);
    });

    it('with -Xrs that cannot be attached to is sent no signal, which would end it', async () => {
      const jvmArgs = ['-Xrs'];
      const jvm = await lab.startJvm(jdk, 'RandomHeap', { args: smallHeap, jvmArgs });
      lab.proc.hide(jvm.pid);
      lab.proc.link(jvm.pid, cgroupLine(), mkdtempSync(join(lab.folder, 'root-')));

      const manifest = await capture();

      expect(manifest.faults).toMatchObject([
        { code: 'AttachFailed', message: expect.stringContaining('does not handle SIGQUIT') },
      ]);
      expect(artifactsOf(manifest)).toEqual(['processFacts']);
      expect([jvm.exitCode, jvm.signalCode]).toEqual([null, null]);
    });

    it('with private counters is captured whole', async () => {
      const jvmArgs = ['-XX:+PerfDisableSharedMem'];
      await lab.startJvm(jdk, 'RandomHeap', { args: smallHeap, jvmArgs });

      const manifest = await capture();

      expect(manifest.faults).toEqual([]);
      expect(manifest.dump).toMatchObject({ endRecord: true });
      expect(storedText('processFacts')).not.toContain('## counters');
    });

    it('that holds its memory in direct buffers is said to be short outside of the heap', async () => {
      await lab.startJvm(jdk, 'OffHeap', {
        args: ['100'],
        jvmArgs: ['-Xmx64m', '-XX:MaxDirectMemorySize=110m', '-XX:NativeMemoryTracking=summary'],
      });

      const manifest = await capture();

      expect(manifest.memory).toMatchObject({
        pressure: 'offHeap',
        directBytes: 100 * 1024 * 1024,
        directMaxBytes: 110 * 1024 * 1024,
      });
      expect(manifest.memory?.offHeapBytes).toBeGreaterThan(100 * 1024 * 1024);
      expect(artifactsOf(manifest)).toEqual([...allEvidence]);
      expect(storedText('nativeMemory')).toMatch(/^- +Other \(reserved=102400KB/m);
    });

    it('that does not track its native memory has no such evidence, which is no fault', async () => {
      await lab.startJvm(jdk, 'RandomHeap', { args: smallHeap });

      const manifest = await capture();

      expect(manifest.faults).toEqual([]);
      expect(artifactsOf(manifest)).toEqual(allEvidence.filter((name) => name !== 'nativeMemory'));
      expect(manifest.memory).toMatchObject({ pressure: 'unknown' });
    });
  },
);

it('a JVM that is stopped is given up in time, and prints its threads when it goes on', async () => {
  const [jdk] = jdksUnderTest();
  const jvm = await lab.startJvm(jdk!, 'RandomHeap', { args: smallHeap });
  jvm.kill('SIGSTOP');
  const printed = threadsInLogOf(jvm);

  const manifest = await capture({ deadlineSeconds: 4 });
  jvm.kill('SIGCONT');
  await printed;

  expect(artifactsOf(manifest)).toEqual(['processFacts']);
  expect(manifest.faults).toMatchObject([
    {
      code: 'DeadlineExceeded',
      message: expect.stringMatching(/it is stopped \(state T\); SIGQUIT was sent/),
    },
  ]);
  expect(storedText('processFacts')).toMatch(/^State:\s+T/m);
  expect(manifest.jvm).toMatchObject({ jdkVersion: jdk!.version });
});
