import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  classHistogramCommand,
  heapInfoCommand,
  threadsCommand,
  vmVersionCommand,
} from '../../lib/jvm/diagnostic-commands.ts';
import {
  parseClassHistogram,
  parseThreadSummary,
  parseVmVersion,
} from '../../lib/jvm/diagnostic-replies.ts';
import { parseHeapInfo } from '../../lib/jvm/heap-info.ts';
import { jvmSummary, parsePerfData } from '../../lib/jvm/hsperfdata.ts';
import { collectorsUnderTest } from '../jvm/fixtures.ts';
import { attach, jcmd } from './attach-client.ts';
import { jdksUnderTest } from './jdks.ts';
import { openWorkshop, startWitness, type Witness, type Workshop } from './witness.ts';

const maxBytes = 64 * 1024 * 1024;

describe.each([...jdksUnderTest()])('a JVM of JDK $version', (jdk) => {
  let workshop: Workshop;
  beforeAll(() => {
    workshop = openWorkshop(jdk);
  });
  afterAll(() => workshop.remove());

  it.each(collectorsUnderTest)(
    'with %s tells the same over the attach protocol and by its counters',
    async (flag, collector) => {
      const witness = await startWitness(jdk, workshop, {
        markerCount: 5_000,
        // ZGC was experimental before JDK 15.
        jvmArgs: ['-XX:+UnlockExperimentalVMOptions', `-XX:+Use${flag}GC`, '-Xmx64m'],
      });
      try {
        await jcmd(witness.pid, 'GC.run');

        const version = parseVmVersion(await jcmd(witness.pid, vmVersionCommand));
        const heap = parseHeapInfo(await jcmd(witness.pid, heapInfoCommand));
        const counters = countersOf(witness);

        expect(version).toMatchObject({ jdkVersion: jdk.version, jdkMajor: jdk.major });
        expect(heap).toMatchObject({ collector, maxBytes });
        expect(heap?.usedBytes).toBeGreaterThan(500_000);
        // ZGC keeps no counters of its collections before it is a collector like any other.
        if (flag === 'Z' && jdk.major < 15) return;
        expect(counters).toMatchObject({
          jdkVersion: jdk.version,
          jdkMajor: jdk.major,
          vmName: version?.vmName,
          vmVersion: version?.vmVersion,
          collector,
        });
        expect(counters.javaCommand).toMatch(/^HeapWitness 5000/);
        expect(Math.abs((counters.heapMaxBytes ?? 0) - maxBytes)).toBeLessThanOrEqual(32);
        expect(counters.gcCount).toBeGreaterThan(0);
        expect(counters.gcSeconds).toBeGreaterThan(0);
      } finally {
        await witness.stop();
      }
    },
  );

  it('shows its threads and its classes', async () => {
    const witness = await startWitness(jdk, workshop, { markerCount: 777 });
    try {
      const threads = parseThreadSummary(await jcmd(witness.pid, threadsCommand));
      const histogram = parseClassHistogram(await jcmd(witness.pid, classHistogramCommand), 10_000);

      expect(threads).toMatchObject({ byState: { BLOCKED: 2 }, deadlockCount: 1 });
      expect(
        histogram.rows.find(({ className }) => className === 'HeapWitness$Marker')?.instances,
      ).toBe(777);
      expect(histogram.total?.instances).toBeGreaterThan(10_000);
    } finally {
      await witness.stop();
    }
  });

  it('answers what it does not know with a status, and stays well', async () => {
    const witness = await startWitness(jdk, workshop, { markerCount: 1 });
    try {
      await expect(attach(witness.pid, 'no_such_command', [])).rejects.toThrow(/status -?[1-9]/);
      await expect(jcmd(witness.pid, 'No.such')).rejects.toThrow(/Unknown diagnostic command/);
      expect(parseVmVersion(await jcmd(witness.pid, vmVersionCommand))).toBeDefined();
    } finally {
      await witness.stop();
    }
  });
});

function countersOf(witness: Witness): ReturnType<typeof jvmSummary> {
  const file = readFileSync(`/tmp/hsperfdata_${userInfo().username}/${witness.pid}`);
  return jvmSummary(parsePerfData(file) ?? new Map<string, number>());
}
