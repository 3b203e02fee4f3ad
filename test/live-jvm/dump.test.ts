import { createReadStream, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createReport } from '../../lib/cli/report/create-report.ts';
import { openDump } from '../../lib/cli/report/dump-source.ts';
import { ByteMatcher } from '../../lib/hprof/byte-matcher.ts';
import { HeapScan, type ScanResult } from '../../lib/hprof/scan.ts';
import {
  classHistogramCommand,
  firstParallelDumpMajor,
  heapDumpCommand,
} from '../../lib/jvm/diagnostic-commands.ts';
import { parseClassHistogram, parseHeapDumpReply } from '../../lib/jvm/diagnostic-replies.ts';
import type { Jdk } from '../../lib/local/jdks.ts';
import type { Report } from '../../lib/report/report-schema.ts';
import { collectorsUnderTest } from '../jvm/fixtures.ts';
import { jcmd } from './attach-client.ts';
import { jdksUnderTest } from './jdks.ts';
import { openWorkshop, startWitness, type Witness, type Workshop } from './witness.ts';

const jdks = jdksUnderTest();
const text = 'the marker text of this test';

describe.each([...jdks])('a heap dump of JDK $version', (jdk) => {
  let workshop: Workshop;
  let witness: Witness;
  beforeAll(async () => {
    workshop = openWorkshop(jdk);
    witness = await startWitness(jdk, workshop, {
      markerCount: 20_000,
      text,
      largeArrayLength: 500_000,
    });
  });
  afterAll(async () => {
    await witness.stop();
    workshop.remove();
  });

  const parallelCounts = jdk.major >= firstParallelDumpMajor ? [1, 2] : [1];
  it.each(parallelCounts)('by %i threads is whole', async (parallelCount) => {
    const path = join(workshop.folder, `whole-${parallelCount}.hprof`);
    const matcher = new ByteMatcher(new TextEncoder().encode(text));
    const scan = new HeapScan();

    const command = heapDumpCommand(path, { jdkMajor: jdk.major, parallelCount });
    const reply = parseHeapDumpReply(await jcmd(witness.pid, command));
    for await (const chunk of createReadStream(path)) {
      scan.push(chunk as Uint8Array);
      matcher.push(chunk as Uint8Array);
    }

    const result = scan.finish();
    expect(reply).toEqual({ said: 'created', bytes: result.chain.bytes });
    expect(result.chain).toMatchObject({
      version: '1.0.2',
      identifierByteSize: 8,
      ended: true,
      boundaryBytes: result.chain.bytes,
    });
    expect(matcher.found).toBe(true);
    expect(result.classNamed('HeapWitness$Marker')).toEqual({
      className: 'HeapWitness$Marker',
      instanceCount: 20_000,
      shallowBytes: 20_000 * (4 + 8),
    });
    expect(result.classNamed('[J').shallowBytes).toBeGreaterThanOrEqual(500_000 * 8);
    expect(existsSync(`${path}.p0`)).toBe(false);
  });

  it('is not written over a file that is there', async () => {
    const path = join(workshop.folder, 'twice.hprof');
    const command = heapDumpCommand(path, { jdkMajor: jdk.major });

    await jcmd(witness.pid, command);
    const again = parseHeapDumpReply(await jcmd(witness.pid, command));

    expect(again).toMatchObject({ said: 'failed' });
  });

  it.each(['with space', 'with=equals', "with'quote", 'with"quotes"', 'with,comma;-all', 'üöä'])(
    'goes to the very path that was asked for: %s',
    async (name) => {
      const folder = join(workshop.folder, name);
      mkdirSync(folder);
      const path = join(folder, `${name}.hprof`);

      const reply = await jcmd(witness.pid, heapDumpCommand(path, { jdkMajor: jdk.major }));

      expect(parseHeapDumpReply(reply)).toMatchObject({ said: 'created' });
      expect(existsSync(path)).toBe(true);
    },
  );
});

describe.each([...jdks])('a heap dump of JDK $version', (jdk) => {
  let workshop: Workshop;
  beforeAll(() => {
    workshop = openWorkshop(jdk);
  });
  afterAll(() => workshop.remove());

  it.each(collectorsUnderTest)(
    'with %s has as many instances of every class, and as many bytes, as the JVM counted before it',
    async (flag, _collector) => {
      const witness = await startWitness(jdk, workshop, {
        markerCount: 3_000,
        // ZGC was experimental before JDK 15.
        jvmArgs: ['-XX:+UnlockExperimentalVMOptions', `-XX:+Use${flag}GC`, '-Xmx64m'],
      });
      try {
        const path = join(workshop.folder, `${flag}.hprof`);
        const histogram = await jcmd(witness.pid, classHistogramCommand);
        await jcmd(witness.pid, heapDumpCommand(path, { jdkMajor: jdk.major, parallelCount: 2 }));

        const scan = new HeapScan({ topCount: 10_000 });
        for await (const chunk of createReadStream(path)) scan.push(chunk as Uint8Array);

        const counted = comparable(countsOfRows(histogram, jdk));
        expect(comparable(countsOf(scan.finish()))).toEqual(counted);
        const report = await createReport(await openDump(path), { fileName: flag });
        expect(report.warnings).toEqual([]);
        // Before 15, HotSpot laid fields out in another way.
        if (jdk.major >= 17) expect(sizesOf(report)).toEqual(sizesOfRows(histogram));
      } finally {
        await witness.stop();
      }
    },
  );
});

type Counts = ReadonlyMap<string, number>;

function countsOf(result: ScanResult): Counts {
  return new Map(
    result.topClasses.map(({ className, instanceCount }) => [className, instanceCount]),
  );
}

/**
 * Rows of one name belong to classes of several loaders. A dump of JDK 11 names the class of a lambda
 * without the address that its histogram appends.
 */
function countsOfRows(histogram: string, jdk: Jdk): Counts {
  const counts = new Map<string, number>();
  for (const { className, instances } of parseClassHistogram(histogram, 100_000).rows) {
    const name = jdk.major <= 11 ? className.replace(/\/0x[0-9a-f]+$/, '') : className;
    counts.set(name, (counts.get(name) ?? 0) + instances);
  }
  return counts;
}

/**
 * A class itself is an instance in the histogram and a record of its own in a dump; what fills the gaps
 * between objects since JDK 21 is dumped as arrays of int.
 */
function comparable(counts: Counts): Record<string, number> {
  const {
    ['java.lang.Class']: classes = 0,
    ['[Ljdk.internal.vm.FillerElement;']: fillers = 0,
    ['[I']: ints = 0,
    ...rest
  } = Object.fromEntries(counts);
  expect(classes).toBeGreaterThan(0);
  return { ...rest, '[I': ints + fillers };
}

/** Bytes of an instance, by class, where there are instances enough to tell it by their distances. */
function sizesOf({ classes }: Report): Record<string, number> {
  return sizes(classes.map((row) => [row.className, row.instanceCount, row.heapBytes ?? 0]));
}

function sizesOfRows(histogram: string): Record<string, number> {
  const { rows } = parseClassHistogram(histogram, 100_000);
  return sizes(rows.map(({ className, instances, bytes }) => [className, instances, bytes]));
}

/** Classes of several loaders are added up; what `comparable` leaves out is left out. */
function sizes(rows: readonly (readonly [string, number, number])[]): Record<string, number> {
  const bytesOf = new Map<string, number>();
  const countOf = new Map<string, number>();
  for (const [className, count, bytes] of rows) {
    bytesOf.set(className, (bytesOf.get(className) ?? 0) + bytes);
    countOf.set(className, (countOf.get(className) ?? 0) + count);
  }
  const explained = ['java.lang.Class', '[I', '[Ljdk.internal.vm.FillerElement;'];
  return Object.fromEntries(
    [...bytesOf].filter(
      ([className]) => !explained.includes(className) && (countOf.get(className) ?? 0) >= 32,
    ),
  );
}
