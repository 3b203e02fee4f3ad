import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DumpUpload } from '../../lib/agent/dump-upload.ts';
import { followDump } from '../../lib/agent/follow.ts';
import { minPartBytes } from '../../lib/capture/ticket.ts';
import { HeapScan } from '../../lib/hprof/scan.ts';
import { firstParallelDumpMajor, heapDumpCommand } from '../../lib/jvm/diagnostic-commands.ts';
import { framesOf } from './agent-lab.ts';
import { jcmd } from './attach-client.ts';
import { jdksUnderTest } from './jdks.ts';
import { openWorkshop, startWitness, type Witness, type Workshop } from './witness.ts';

const jdks = jdksUnderTest().filter(({ major }) => major >= firstParallelDumpMajor);

/** The JVM dumps with as many threads as its collector has at work: always two here, if it is asked to. */
const twoDumpThreads = [
  '-XX:+UseParallelGC',
  '-XX:ParallelGCThreads=2',
  '-XX:-UseDynamicNumberOfGCThreads',
];

for (const jdk of jdks) {
  describe(`following the segments of JDK ${jdk.version}`, () => {
    let workshop: Workshop;
    let witness: Witness;
    beforeAll(async () => {
      workshop = openWorkshop(jdk);
      witness = await startWitness(jdk, workshop, {
        markerCount: 400_000,
        largeArrayLength: 2 * 1024 * 1024,
        jvmArgs: ['-Xmx256m', ...twoDumpThreads],
      });
    });
    afterAll(async () => {
      await witness.stop();
      workshop.remove();
    });

    /** Dumps into a folder of its own, follows, and gives the object's parts as S3 would join them. */
    async function followedDump(
      name: string,
      options: { parallelCount: number; skipMerge?: boolean },
    ) {
      const { parallelCount, skipMerge = false } = options;
      const folder = join(workshop.folder, name);
      mkdirSync(folder);
      const path = join(folder, 'd.hprof');
      const directory = await open(folder, 'r');
      const stored = new Map<number, Buffer>();
      const upload = new DumpUpload({
        redact: undefined,
        ...{ blockBytes: 1024 * 1024, partBytes: minPartBytes, partCount: 100 },
        ...{ expectedBytes: 100 * minPartBytes, segmentCount: parallelCount },
        announceStreams: () => Promise.resolve(),
        announceOpenPart: () => Promise.resolve(),
        announceFinalPart: () => Promise.resolve(),
        putPart: (partNumber, { chunks }) => {
          stored.set(partNumber, Buffer.concat(chunks));
          return Promise.resolve('etag');
        },
      });
      const command = heapDumpCommand(path, { jdkMajor: jdk.major, parallelCount });
      const reply = jcmd(witness.pid, command);
      const end = await followDump({
        ...{
          directory,
          fileName: 'd.hprof',
          jvmUid: process.getuid!(),
          streams: upload,
          skipMerge,
        },
        reply: reply.then((text) => ({ status: 0, output: Buffer.from(text), truncated: false })),
        ...{ jvmRuns: () => Promise.resolve(true), stopReason: () => undefined },
        ...{ stallSeconds: 60, onBytes: () => undefined },
      });
      const account = await upload.finish(end.whole);
      const words = await reply;
      await directory.close();
      const parts = account.parts.map(({ partNumber }) => stored.get(partNumber)!);
      return { path, end, account, parts, words };
    }

    it.each([1, 2])(
      'gives, of %i of them, the very file that the JVM merges',
      async (parallelCount) => {
        const segmentStarts = [17, 17 + Math.floor(76 / parallelCount)].slice(0, parallelCount);
        const sawAll = ({ account }: Awaited<ReturnType<typeof followedDump>>): boolean =>
          segmentStarts.every((start) =>
            account.parts.some(({ partNumber }) => partNumber === start),
          );
        let outcome = await followedDump(`merged-${parallelCount}`, { parallelCount });
        // On a machine that is busy a segment can be merged before it is seen; it is then read from the base.
        for (let attempt = 2; attempt <= 5 && !sawAll(outcome); attempt += 1) {
          outcome = await followedDump(`merged-${parallelCount}-${attempt}`, { parallelCount });
        }
        expect(sawAll(outcome)).toBe(true);
        const { path, end, account, parts } = outcome;

        const merged = createHash('sha256');
        for await (const chunk of createReadStream(path)) merged.update(chunk as Uint8Array);
        const followed = createHash('sha256');
        for (const frame of framesOf(Buffer.concat(parts))) followed.update(frame);
        expect(end).toEqual({ whole: true });
        expect(account).toMatchObject({
          ...{ rawBytes: statSync(path).size, endRecord: true, appendedBytes: 0 },
        });
        expect(followed.digest('hex')).toBe(merged.digest('hex'));
        expect(parts.slice(0, -1).every(({ length }) => length >= minPartBytes)).toBe(true);
      },
    );

    it('has the whole dump of a JVM whose merge it lets fail', async () => {
      const cannotMerge = 'Can not open segmented heap file during merging';
      let outcome = await followedDump('unmerged-1', { parallelCount: 1, skipMerge: true });
      // On a machine that is busy the JVM can have merged before the segment is seen; the dump is then as any other.
      for (let attempt = 2; attempt <= 5 && !outcome.words.includes(cannotMerge); attempt += 1) {
        expect(outcome.end).toEqual({ whole: true });
        outcome = await followedDump(`unmerged-${attempt}`, { parallelCount: 1, skipMerge: true });
      }

      const { path, end, account, parts, words } = outcome;
      expect(words).toContain(cannotMerge);
      const scan = new HeapScan();
      for (const frame of framesOf(Buffer.concat(parts))) scan.push(frame);
      const result = scan.finish();
      expect(end).toEqual({ whole: true });
      expect(result.chain).toMatchObject({ ended: true, bytes: account.rawBytes });
      expect(result.classNamed('HeapWitness$Marker').instanceCount).toBe(400_000);
      expect(statSync(path).size).toBeLessThan(account.rawBytes / 2);
    });
  });
}
