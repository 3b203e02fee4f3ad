import { closeSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { endRecord } from '../../lib/hprof/end-record.ts';
import { remainingRanges } from '../hprof/merge-order.ts';
import { RecordChain, type ChainState } from '../../lib/hprof/record-chain.ts';
import { HeapScan, type ScanResult } from '../../lib/hprof/scan.ts';
import { firstParallelDumpMajor, heapDumpCommand } from '../../lib/jvm/diagnostic-commands.ts';
import type { Jdk } from '../../lib/local/jdks.ts';
import { jcmd } from './attach-client.ts';
import { jdksUnderTest } from './jdks.ts';
import { openWorkshop, startWitness, type Witness, type Workshop } from './witness.ts';

const jdks = jdksUnderTest();
const mebibyte = 1024 * 1024;
const deadlineMillis = 25_000;

describe.each([...jdks])('a JVM of JDK $version killed while it dumps', (jdk) => {
  let workshop: Workshop;
  beforeAll(() => {
    workshop = openWorkshop(jdk);
  });
  afterAll(() => workshop.remove());

  // Names and classes first, then single arrays larger than a segment, then small objects.
  it.each([3, 12, 25])('after %i MiB leaves what a scan can read', async (mebibytes) => {
    const prefix = `killed-${mebibytes}.hprof`;
    const witness = await startBigWitness(jdk, workshop);
    const dump = jcmd(witness.pid, heapDumpCommand(join(workshop.folder, prefix), ways(jdk)));
    const answer = dump.catch(() => 'the connection broke');

    // The base holds the file's header. On JDK >= 22 it is written beside the segments, by another
    // thread (heapDumper.cpp, VM_HeapDumper::work), and its first bytes may come after theirs:
    // a JVM killed before that leaves nothing that a scan could read.
    await until(
      () => bytesOf(workshop, prefix) > 0 && sizeOf(workshop, prefix) > mebibytes * mebibyte,
    );
    await witness.kill();
    await answer;

    const result = scanOf(salvaged(workshop, prefix));
    expect(result.chain.ended).toBe(true);
    expect(result.chain.bytes).toBeGreaterThan((mebibytes - 2) * mebibyte);
  });
});

for (const jdk of jdks.filter(({ major }) => major >= firstParallelDumpMajor)) {
  describe(`the segments of JDK ${jdk.version}`, () => {
    it('follow the base in order, byte for byte, however far the merge is', async () => {
      const workshop = openWorkshop(jdk);
      const witness = await startBigWitness(jdk, workshop);
      try {
        const path = join(workshop.folder, 'd.hprof');
        const dump = jcmd(witness.pid, heapDumpCommand(path, ways(jdk)));
        const open = await openAll(['.p0', '.p1'].map((end) => `${path}${end}`));
        await dump;

        const segments = open.map((file) => readFileSync(file));
        open.forEach((file) => closeSync(file));
        const merged = readFileSync(path);
        const mergeStart = scanOf([merged]).chain.firstSegmentOffset ?? 0;
        // One of the two threads may have written nearly everything: each cut lies in its segment.
        const [first = 0, second = 0] = segments.map(({ length }) => length);
        for (const baseBytes of [0, 0.3 * first, 0.7 * first, first, first + 0.5 * second].map(
          (bytes) => mergeStart + Math.round(bytes),
        )) {
          const files = {
            baseBytes,
            ...(baseBytes > mergeStart && { baseFirstSegmentOffset: mergeStart }),
            segmentBytes: segments.map(({ length }) => length),
          };
          const pieces = remainingRanges(files).map(({ file, startBytes, endBytes }) =>
            (file === 'base' ? merged : segments[file])?.subarray(startBytes, endBytes),
          );
          const whole = Buffer.concat([...pieces.map((piece) => piece ?? endRecord), endRecord]);
          expect(whole.equals(merged)).toBe(true);
        }
      } finally {
        await witness.stop();
        workshop.remove();
      }
    });
  });
}

/** The JVM dumps with as many threads as its collector has at work: always two here. */
const twoDumpThreads = [
  '-XX:+UseParallelGC',
  '-XX:ParallelGCThreads=2',
  '-XX:-UseDynamicNumberOfGCThreads',
];

/** Live data of some 30 MiB: one array of 16 MiB and 400,000 small objects. */
function startBigWitness(jdk: Jdk, workshop: Workshop): Promise<Witness> {
  return startWitness(jdk, workshop, {
    markerCount: 400_000,
    largeArrayLength: 2 * mebibyte,
    jvmArgs: ['-Xmx256m', ...twoDumpThreads],
  });
}

function ways(jdk: Jdk): { jdkMajor: number; parallelCount: number } {
  return { jdkMajor: jdk.major, parallelCount: 2 };
}

function namesOf(workshop: Workshop, prefix: string): string[] {
  return readdirSync(workshop.folder)
    .filter((name) => name.startsWith(prefix))
    .sort();
}

function sizeOf(workshop: Workshop, prefix: string): number {
  return namesOf(workshop, prefix).reduce((sum, name) => sum + bytesOf(workshop, name), 0);
}

function bytesOf(workshop: Workshop, name: string): number {
  return statSync(join(workshop.folder, name), { throwIfNoEntry: false })?.size ?? 0;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + deadlineMillis;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('the JVM did not write its dump');
    await nextTurn(undefined);
  }
}

async function openAll(paths: readonly string[]): Promise<number[]> {
  const open = new Map<string, number>();
  await until(() => {
    for (const path of paths) {
      if (open.has(path)) continue;
      try {
        open.set(path, openSync(path, 'r'));
      } catch {
        return false;
      }
    }
    return true;
  });
  return paths.map((path) => open.get(path) ?? -1);
}

/** What the JVM left, in merge order, each file made whole by itself, and the end record. */
function salvaged(workshop: Workshop, prefix: string): Uint8Array[] {
  const [base = Buffer.alloc(0), ...segments] = namesOf(workshop, prefix).map((name) =>
    readFileSync(join(workshop.folder, name)),
  );
  const chain = chainOf(base, 'expected');
  if (chain.ended) return [base];
  const mergeStart = chain.firstSegmentOffset;
  const ranges = remainingRanges({
    baseBytes: base.length,
    ...(mergeStart !== undefined && segments.length > 0 && { baseFirstSegmentOffset: mergeStart }),
    segmentBytes: segments.map(({ length }) => length),
  });
  const merging = mergeStart !== undefined && segments.length > 0;
  const pieces = ranges.flatMap(({ file, startBytes, endBytes }) => {
    const bytes = file === 'base' ? base : (segments[file] ?? base);
    // While it merges the base ends anywhere, and the segment goes on from there.
    if (merging) return [bytes.subarray(startBytes, endBytes)];
    return filled(bytes, file === 'base' ? chain : chainOf(bytes, 'absent'));
  });
  return [...pieces, endRecord];
}

/** A record of over 1 MiB holds one array and is filled up; any other that was cut is dropped. */
function filled(bytes: Uint8Array, state: ChainState): Uint8Array[] {
  const openBytes = state.openRecordRemainingBytes;
  if (bytes.length - state.boundaryBytes + openBytes > mebibyte + 9) {
    return [bytes, new Uint8Array(openBytes)];
  }
  return [bytes.subarray(0, state.boundaryBytes)];
}

function chainOf(bytes: Uint8Array, fileHeader: 'expected' | 'absent'): ChainState {
  const chain = new RecordChain({ fileHeader });
  chain.push(bytes);
  return chain.state;
}

function scanOf(chunks: readonly Uint8Array[]): ScanResult {
  const scan = new HeapScan();
  for (const chunk of chunks) scan.push(chunk);
  return scan.finish();
}
