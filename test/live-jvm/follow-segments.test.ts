import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { DumpUpload } from '../../lib/agent/dump-upload.ts';
import { followDump } from '../../lib/agent/follow.ts';
import { minPartBytes } from '../../lib/capture/ticket.ts';
import { ZstdFrames } from '../../lib/capture/zstd-frames.ts';
import { firstParallelDumpMajor, heapDumpCommand } from '../../lib/jvm/diagnostic-commands.ts';
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

    it.each([1, 2])(
      'gives, of %i of them, the very file that the JVM merges',
      async (parallelCount) => {
        const folder = join(workshop.folder, `dump-${parallelCount}`);
        mkdirSync(folder);
        const path = join(folder, 'd.hprof');
        const directory = await open(folder, 'r');
        const stored = new Map<number, Buffer>();
        const openParts: number[] = [];
        const upload = new DumpUpload({
          redact: undefined,
          ...{ blockBytes: 1024 * 1024, partBytes: minPartBytes, partCount: 100 },
          ...{ expectedBytes: 100 * minPartBytes, segmentCount: parallelCount },
          announceStreams: () => Promise.resolve(),
          announceOpenPart: (partNumber) => {
            openParts.push(partNumber);
            return Promise.resolve();
          },
          announceFinalPart: () => Promise.resolve(),
          putPart: (partNumber, { chunks }) => {
            stored.set(partNumber, Buffer.concat(chunks));
            return Promise.resolve('etag');
          },
        });

        const reply = jcmd(
          witness.pid,
          heapDumpCommand(path, { jdkMajor: jdk.major, parallelCount }),
        );
        const end = await followDump({
          ...{ directory, fileName: 'd.hprof', jvmUid: process.getuid!(), streams: upload },
          reply: reply.then((text) => ({ status: 0, output: Buffer.from(text), truncated: false })),
          ...{ jvmRuns: () => Promise.resolve(true), stopReason: () => undefined },
          ...{ stallSeconds: 60, onBytes: () => undefined },
        });
        const account = await upload.finish(end.whole);
        await reply;
        await directory.close();

        const merged = createHash('sha256');
        let mergedBytes = 0;
        for await (const chunk of createReadStream(path)) {
          merged.update(chunk as Uint8Array);
          mergedBytes += (chunk as Uint8Array).length;
        }
        expect(end).toEqual({ whole: true });
        expect(account).toMatchObject({ rawBytes: mergedBytes, endRecord: true, appendedBytes: 0 });
        const followed = createHash('sha256');
        const parts = account.parts.map(({ partNumber }) => stored.get(partNumber)!);
        for (const frame of new ZstdFrames().push(Buffer.concat(parts))) {
          followed.update(zstdDecompressSync(frame));
        }
        expect(followed.digest('hex')).toBe(merged.digest('hex'));
        const segmentStarts = [17, 17 + Math.floor(76 / parallelCount)].slice(0, parallelCount);
        expect([...stored.keys()]).toEqual(expect.arrayContaining([1, ...segmentStarts]));
        expect(parts.slice(0, -1).every(({ length }) => length >= minPartBytes)).toBe(true);
      },
    );
  });
}
