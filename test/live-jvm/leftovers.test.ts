import { describe, expect, it, jest } from '@jest/globals';
import { existsSync, readFileSync, truncateSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { manifestSchema } from '../../lib/capture/manifest.ts';
import type { FakeBucket } from '../agent/fake-bucket.ts';
import { ticketFor } from '../agent/tickets.ts';
import { type AgentLab, dumpOf, framesOf, walkStored } from './agent-lab.ts';
import { jdksUnderTest } from './jdks.ts';
import { freshLabs, orderAt } from './lab-of-each-test.ts';

jest.setTimeout(120_000);

let lab: AgentLab;
let bucket: FakeBucket;

freshLabs((fresh) => {
  ({ lab, bucket } = fresh);
});

describe.each(jdksUnderTest().map((jdk) => [jdk.version, jdk] as const))(
  'a JVM of JDK %s that ended by an OutOfMemoryError',
  (_version, jdk) => {
    const jvmArgs = (): string[] => [
      ...['-Xmx48m', '-XX:+HeapDumpOnOutOfMemoryError', '-XX:+ExitOnOutOfMemoryError'],
      `-XX:HeapDumpPath=${join(lab.dumps, 'java_pid1.hprof')}`,
    ];

    /** Runs a life to its end; returns its exit code and the time of the end, in whole seconds as Kubernetes has it. */
    async function live(): Promise<{
      exitCode: number;
      startedTime: string;
      finishedTime: string;
    }> {
      const startedTime = new Date().toISOString();
      const jvm = await lab.startJvm(jdk, 'OutOfMemory', { args: [], jvmArgs: jvmArgs() });
      lab.proc.hide(jvm.pid);
      const exitCode =
        jvm.exitCode ?? (await new Promise<number>((resolve) => jvm.once('exit', resolve)));
      const finished = Math.floor(Date.now() / 1_000) * 1_000;
      return { exitCode, startedTime, finishedTime: new Date(finished).toISOString() };
    }

    async function collectAfter(end: Awaited<ReturnType<typeof live>>) {
      await lab.startJvm(jdk, 'OutOfMemory', { args: ['wait'], jvmArgs: jvmArgs() });
      const leftovers = {
        directories: [{ path: lab.dumps, outlivesPod: true }],
        termination: { reason: 'Error', ...end },
      };
      const change = { evidence: [], leftovers };
      const ticket = ticketFor(bucket, { directories: [lab.dumps], change });
      const { code } = await lab.startAgent('capture', orderAt(bucket, ticket)).ended;
      const stored = Buffer.concat(bucket.parts('/dump/'));
      return { code, stored, manifest: manifestSchema.parse(bucket.json('/manifest.json')) };
    }

    it('has its dump collected from its next life, byte for byte and with its marker', async () => {
      const end = await live();
      const path = join(lab.dumps, 'java_pid1.hprof');
      const written = readFileSync(path);

      const { code, stored, manifest } = await collectAfter(end);

      expect([end.exitCode, code, manifest.faults]).toEqual([3, 0, []]);
      expect(dumpOf(manifest)).toMatchObject({ endRecord: true, rawBytes: written.length });
      expect(Buffer.concat([...framesOf(stored)]).equals(written)).toBe(true);
      expect(walkStored(stored)).toMatchObject({ ended: true, found: true });
      expect(manifest.leftover).toMatchObject({ path, bytes: written.length });
      expect(existsSync(path)).toBe(false);
    });

    it('has a dump collected that was cut in the middle, parseable and marked', async () => {
      const end = await live();
      const path = join(lab.dumps, 'java_pid1.hprof');
      const half = Math.floor(readFileSync(path).length / 2);
      truncateSync(path, half);
      utimesSync(path, new Date(end.startedTime), new Date(end.startedTime));

      const { stored, manifest } = await collectAfter(end);

      expect(manifest.faults).toMatchObject([{ code: 'DumpFailed' }]);
      expect(dumpOf(manifest)).toMatchObject({ endRecord: false });
      expect(walkStored(stored)).toMatchObject({ ended: true });
      expect(existsSync(path)).toBe(false);
    });
  },
);
