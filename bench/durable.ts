import { execFileSync } from 'node:child_process';
import { createReadStream, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { availableParallelism } from 'node:os';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { defaultBlockBytes, defaultPartBytes } from '../lib/capture/ticket.ts';
import { runAgent } from './agent-run.ts';
import { timed } from './cpu-time.ts';
import { Lab, type BenchJvm } from './lab.ts';
import { metricOf, type Metric } from './report.ts';
import { benchJdks, heapMebibytes, heapShapes, repeatCount, say } from './settings.ts';

const compress = promisify(zstdCompress);
const params = { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 };
/** As many blocks and parts at once as the agent has under way. */
const concurrency = 2;
const urlSeconds = 3_600;

interface Repeat {
  ours: number;
  limit: number;
  script: number;
}

/**
 * From the dump command to the last acknowledged byte, against the largest of what no way can do without (the dump
 * alone, compressing it alone, uploading the result alone, and their CPU time on this machine's CPUs), and against
 * jcmd, gzip -1 and one PUT.
 */
export function benchDurable(): Promise<readonly Metric[]> {
  return Lab.use(async (lab) => {
    const metrics: Metric[] = [];
    for (const jdk of benchJdks()) {
      for (const shape of heapShapes) {
        const name = `${jdk.major}-${shape}`;
        const jvm = await lab.startJvm(jdk, shape, heapMebibytes());
        const repeats: Repeat[] = [];
        // The first one warms the page cache and the JVM, and is not counted.
        for (let repeat = 0; repeat <= repeatCount(); repeat += 1) {
          const { durableSeconds: ours, objectKey } = await runAgent(lab, jvm);
          await lab.s3.objects.deleteObject(objectKey);
          const alone = await limitOf(lab, jvm);
          const script = await scriptOf(lab, jvm);
          say(JSON.stringify({ name, repeat, ours, ...alone, script }));
          if (repeat > 0) repeats.push({ ours, script, limit: Math.max(...Object.values(alone)) });
        }
        await jvm.kill();
        const against = (reference: 'limit' | 'script'): Metric =>
          metricOf(
            `durable/${reference}-${name}`,
            repeats.map((each) => ({ ours: each.ours, reference: each[reference] })),
          );
        metrics.push(against('limit'), against('script'));
      }
    }
    return metrics;
  });
}

/** Each step by itself, and what all of them take of this machine's CPUs together; in seconds. */
async function limitOf(
  lab: Lab,
  jvm: BenchJvm,
): Promise<{ dump: number; compress: number; upload: number; cpu: number }> {
  const dump = await timed([jvm.pid], () => lab.bareDump(jvm));
  const { path } = dump.value;
  try {
    const compressed = await timed([process.pid], () => compressFile(path));
    const parts = partsOf(compressed.value);
    const { objects } = lab.s3;
    const objectKey = 'limit/heap.hprof.zst';
    const uploadId = await objects.createMultipartUpload(objectKey, 'application/zstd');
    const urls = await objects.presignParts(objectKey, uploadId, parts.length, urlSeconds);
    const upload = await timed([process.pid, lab.s3.pid], () =>
      inTurns(parts, (part, index) => put(urls[index] ?? '', Readable.from(part), sizeOf(part))),
    );
    await objects.abortMultipartUpload(objectKey, uploadId);
    const cpuSeconds = dump.cpuSeconds + compressed.cpuSeconds + upload.cpuSeconds;
    return {
      dump: dump.value.seconds,
      compress: compressed.seconds,
      upload: upload.seconds,
      cpu: cpuSeconds / availableParallelism(),
    };
  } finally {
    rmSync(path, { force: true });
  }
}

/** The file in the agent's blocks, at the agent's level, as many at once as the agent has. */
async function compressFile(path: string): Promise<Buffer[]> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const starts = Array.from(
      { length: Math.ceil(size / defaultBlockBytes) },
      (_, index) => index * defaultBlockBytes,
    );
    const frames: Buffer[] = [];
    await inTurns(starts, async (start, index) => {
      const block = Buffer.allocUnsafe(Math.min(defaultBlockBytes, size - start));
      await file.read(block, 0, block.length, start);
      frames[index] = await compress(block, { params });
    });
    return frames;
  } finally {
    await file.close();
  }
}

function partsOf(frames: readonly Buffer[]): Buffer[][] {
  const parts: Buffer[][] = [];
  let part: Buffer[] = [];
  for (const frame of frames) {
    part.push(frame);
    if (sizeOf(part) < defaultPartBytes) continue;
    parts.push(part);
    part = [];
  }
  return part.length === 0 ? parts : [...parts, part];
}

/** The usual script: the jcmd program, gzip -1 into a second file, one PUT. Seconds. */
async function scriptOf(lab: Lab, jvm: BenchJvm): Promise<number> {
  const objectKey = 'script/heap.hprof.gz';
  const url = await lab.s3.objects.presignPut(objectKey, urlSeconds);
  const started = performance.now();
  const path = lab.jcmdDump(jvm);
  try {
    execFileSync('gzip', ['-1', path], { timeout: 900_000 });
    await put(url, createReadStream(`${path}.gz`), statSync(`${path}.gz`).size);
    return (performance.now() - started) / 1_000;
  } finally {
    rmSync(path, { force: true });
    rmSync(`${path}.gz`, { force: true });
    await lab.s3.objects.deleteObject(objectKey);
  }
}

async function inTurns<T>(
  items: readonly T[],
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const queue = items.entries();
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      for (const [index, item] of queue) await work(item, index);
    }),
  );
}

function sizeOf(part: readonly Buffer[]): number {
  return part.reduce((sum, frame) => sum + frame.length, 0);
}

const connections = new Agent({ keepAlive: true });

/** A PUT without anything that a PUT can do without. */
function put(url: string, body: Readable, bytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-length': bytes };
    const upload = request(
      url,
      { method: 'PUT', agent: connections, timeout: 300_000, headers },
      (reply) => {
        reply.resume();
        reply.once('end', () =>
          reply.statusCode === 200
            ? resolve()
            : reject(new Error(`PUT ended with ${reply.statusCode}`)),
        );
      },
    );
    upload.once('timeout', () => upload.destroy(new Error('PUT stalled for 300 s')));
    upload.once('error', reject);
    body.once('error', reject);
    body.pipe(upload);
  });
}
