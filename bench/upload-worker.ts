/** The processes of the benchmark upload-cpu: `server KEY CERTIFICATE`, and `parts`, `put`, `md5` or `bare` with `URL MIB`. */
import { createHash, randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { PartSender } from '../lib/agent/part-sender.ts';
import { PartWriter } from '../lib/agent/part-writer.ts';
import { putObject } from '../lib/agent/put-object.ts';
import { defaultPartBytes } from '../lib/capture/ticket.ts';

const frameBytes = 512 * 1024;
const framesInPart = defaultPartBytes / frameBytes;
const deadlineMilliseconds = 600_000;
const [, , way = '', first = '', second = ''] = process.argv;
/** What does not compress costs the same as what was compressed. */
const bytes = randomFillSync(Buffer.alloc(frameBytes));
const frame = { bytes, rawBytes: frameBytes };

function serve(): void {
  const server = createServer(
    { key: readFileSync(first), cert: readFileSync(second) },
    (incoming, response) => {
      incoming.resume();
      incoming.once('end', () => response.writeHead(200, { etag: '"swallowed"' }).end());
    },
  );
  server.listen(0, '127.0.0.1', () => {
    process.stdout.write(`https://127.0.0.1:${(server.address() as AddressInfo).port}/\n`);
  });
}

/** The agent's PUT with a checksum that is at hand, one part after the other. */
async function uploadByPut(frameCount: number): Promise<void> {
  const deadline = Date.now() + deadlineMilliseconds;
  const md5 = Buffer.alloc(16);
  for (let sent = 0; sent < frameCount; sent += framesInPart) {
    const chunks = Array<Buffer>(Math.min(framesInPart, frameCount - sent)).fill(bytes);
    const body = { chunks, bytes: chunks.length * frameBytes, md5 };
    await putObject(`${first}${sent}`, body, { deadline });
  }
}

async function uploadByParts(frameCount: number): Promise<void> {
  const deadline = Date.now() + deadlineMilliseconds;
  const sender = new PartSender({
    putPart: (partNumber, body) => putObject(`${first}${partNumber}`, body, { deadline }),
    announceOpenPart: () => Promise.resolve(),
  });
  const parts = new PartWriter(sender, {
    range: { firstPartNumber: 1, partCount: 10_000 },
    partBytesAt: () => defaultPartBytes,
    announceFinalPart: () => Promise.resolve(),
  });
  for (let count = 1; count < frameCount; count += 1) await parts.add(frame);
  await parts.finish({ endFrame: bytes, earlierStreams: [] });
  await sender.settle();
  sender.throwFailure();
}

/** Parts of the same size, one after the other, over one connection. */
async function uploadBare(frameCount: number): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  for (let sent = 0; sent < frameCount; sent += framesInPart) {
    const frames = Array<Buffer>(Math.min(framesInPart, frameCount - sent)).fill(bytes);
    await new Promise<void>((resolve, reject) => {
      const headers = { 'content-length': frames.length * frameBytes };
      const put = request(`${first}${sent}`, { method: 'PUT', agent, headers }, (reply) => {
        reply.resume();
        reply.once('end', resolve);
      });
      put.once('error', reject);
      for (const each of frames) put.write(each);
      put.end();
    });
  }
  agent.destroy();
}

/** A bare PUT after another, and the MD5 that S3 wants to be told with each. */
async function uploadWithMd5(frameCount: number): Promise<void> {
  for (let sent = 0; sent < frameCount; sent += framesInPart) {
    const md5 = createHash('md5');
    for (let at = sent; at < Math.min(sent + framesInPart, frameCount); at += 1) md5.update(bytes);
    md5.digest();
  }
  await uploadBare(frameCount);
}

const ways = new Map([
  ['md5', uploadWithMd5],
  ['parts', uploadByParts],
  ['put', uploadByPut],
  ['bare', uploadBare],
]);
const upload = ways.get(way);
if (upload === undefined) serve();
else {
  const frameCount = (Number(second) * 1024 * 1024) / frameBytes;
  const before = process.cpuUsage();
  await upload(frameCount);
  const { user, system } = process.cpuUsage(before);
  process.stdout.write(String((user + system) / 1e6));
  process.exit(0);
}
