import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { manifestSchema, type Manifest } from '../lib/capture/manifest.ts';
import { defaultBlockBytes, defaultPartBytes, ticketSchema } from '../lib/capture/ticket.ts';
import { ZstdFrames } from '../lib/capture/zstd-frames.ts';
import { target, type BenchJvm, type Lab } from './lab.ts';

const mebibyte = 1024 * 1024;
const deadlineSeconds = 900;
const sampleMilliseconds = 5;
const rangeBytes = 8 * mebibyte;
/** A fifth of the weight of the JVM: the agent's pod asks for 100m of CPU, and this JVM is taken to ask for 500m. */
const agentNice = '7';

/** A capture of the agent, complete in the bucket. */
export interface AgentRun {
  readonly dump: NonNullable<Manifest['dump']>;
  /** From the dump command to the last acknowledged byte. */
  readonly durableSeconds: number;
  /** VmHWM, read until the agent ended. */
  readonly peakResidentBytes: number;
  /** Most bytes that the dump's files occupied on the disk at once (st_blocks). */
  readonly peakRestingBytes: number;
  readonly objectKey: string;
}

/** The agent ended as it should, but there is no dump in the bucket. */
export class NoDump extends Error {}

/**
 * Has the deployed agent dump a JVM into the lab's S3, as a process of its own outside of the JVM's container (the
 * node agent's place), without evidence. `onDumpFile` is called once a dump file has bytes.
 * @throws NoDump when there is none in the end.
 */
export async function runAgent(
  lab: Lab,
  jvm: BenchJvm,
  onDumpFile: () => void = () => undefined,
  orders: { mayWait?: boolean; skipMerge?: boolean } = {},
): Promise<AgentRun> {
  const { objects } = lab.s3;
  const captureId = randomBytes(8).toString('hex');
  const objectKey = `${captureId}/heap.hprof.zst`;
  const uploadId = await objects.createMultipartUpload(objectKey, 'application/zstd');
  const manifestKey = `${captureId}/manifest.json`;
  const ticketKey = `${captureId}/ticket.json`;
  const ticket = await ticketOf(lab, jvm, {
    ...{ captureId, objectKey, uploadId, manifestKey, orders },
  });
  await objects.putObject(ticketKey, Buffer.from(JSON.stringify(ticket)), {
    contentType: 'application/json',
  });
  const peaks = await watchAgent(lab, onDumpFile, {
    // As in the image.
    MALLOC_MMAP_THRESHOLD_: '131072',
    MALLOC_ARENA_MAX: '1',
    HEAPCATCH_PROC_ROOT: jvm.proc.path,
    HEAPCATCH_TICKET_URL: await objects.presignGet(ticketKey, deadlineSeconds),
  });
  const body = await objects.getObject(manifestKey, { maxBytes: 64 * mebibyte });
  if (body === undefined)
    throw new Error(`the agent wrote no manifest: ${peaks.log.slice(-2_000)}`);
  const { dump, times, faults } = manifestSchema.parse(JSON.parse(Buffer.from(body).toString()));
  if (dump === undefined || times.dumpStartTime === undefined || times.durableTime === undefined) {
    throw new NoDump(`the agent stored no dump: ${JSON.stringify(faults)}`);
  }
  await objects.completeMultipartUpload(objectKey, uploadId, dump.parts);
  return {
    ...peaks,
    ...{ dump, objectKey },
    durableSeconds: (Date.parse(times.durableTime) - Date.parse(times.dumpStartTime)) / 1_000,
  };
}

async function ticketOf(
  lab: Lab,
  jvm: BenchJvm,
  upload: {
    captureId: string;
    objectKey: string;
    uploadId: string;
    manifestKey: string;
    orders: object;
  },
): Promise<unknown> {
  const { objects } = lab.s3;
  const { captureId, objectKey, uploadId, manifestKey } = upload;
  // The object-heavy shape is 1.6 times its heap as a dump, and may not compress.
  const expectedBytes = Math.ceil(jvm.heapMebibytes * 2 * mebibyte) + 64 * mebibyte;
  const partCount = Math.ceil(expectedBytes / defaultPartBytes) + 16;
  const after = (seconds: number): string => new Date(Date.now() + seconds * 1_000).toISOString();
  return ticketSchema.parse({
    ...{ schemaVersion: 1, captureId, fencingToken: 1, rung: 'nodeAgent', target },
    issuedTime: after(0),
    startDeadlineTime: after(60),
    captureDeadlineTime: after(deadlineSeconds),
    evidence: [],
    heapDump: {
      codec: 'zstd',
      blockBytes: defaultBlockBytes,
      partBytes: defaultPartBytes,
      partUrls: await objects.presignParts(objectKey, uploadId, partCount, deadlineSeconds),
      directories: [lab.dumps],
      expectedBytes,
      ...upload.orders,
    },
    progressUrl: await objects.presignPut(`${captureId}/progress.json`, deadlineSeconds),
    manifestUrl: await objects.presignPut(manifestKey, deadlineSeconds),
  });
}

async function watchAgent(
  lab: Lab,
  onDumpFile: () => void,
  env: Record<string, string>,
): Promise<{ peakResidentBytes: number; peakRestingBytes: number; log: string }> {
  const child = spawn('nice', ['-n', agentNice, process.execPath, lab.agentFile, 'capture'], {
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  let [peakResidentBytes, peakRestingBytes, seen] = [0, 0, false];
  const timer = setInterval(() => {
    peakResidentBytes = Math.max(peakResidentBytes, residentPeak(child.pid ?? 0));
    const files = lab.dumpFiles();
    if (!seen && files.some(({ bytes }) => bytes > 0)) {
      seen = true;
      onDumpFile();
    }
    const resting = files.reduce((sum, file) => sum + file.restingBytes, 0);
    peakRestingBytes = Math.max(peakRestingBytes, resting);
  }, sampleMilliseconds);
  await new Promise((resolve) => child.once('close', resolve));
  clearInterval(timer);
  return { peakResidentBytes, peakRestingBytes, log };
}

/** 0 once the process is gone. */
function residentPeak(pid: number): number {
  try {
    const status = readFileSync(join('/proc', String(pid), 'status'), 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** Reads a stored dump back, frame by frame. */
export async function readDump(
  lab: Lab,
  run: Pick<AgentRun, 'objectKey' | 'dump'>,
  onRaw: (raw: Buffer) => void,
): Promise<void> {
  const frames = new ZstdFrames();
  const { compressedBytes } = run.dump;
  for (let start = 0; start < compressedBytes; start += rangeBytes) {
    const end = Math.min(start + rangeBytes, compressedBytes) - 1;
    const range = await lab.s3.objects.getObject(run.objectKey, {
      maxBytes: rangeBytes,
      range: { start, end },
    });
    if (range === undefined) throw new Error(`${run.objectKey} is not in the bucket`);
    for (const frame of frames.push(range)) onRaw(zstdDecompressSync(frame));
  }
}
