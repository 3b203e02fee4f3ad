import { createHash } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';
import type { Manifest } from '../../lib/capture/manifest.ts';
import { compositeMd5 } from '../../lib/capture/composite-md5.ts';
import type { ObjectStore } from '../../lib/capture/ports.ts';
import type { Place } from '../../lib/cli/place.ts';
import type { CliIo } from '../../lib/cli/process-io.ts';
import type { IndexEntry } from '../../lib/dump-index/index-entry.ts';
import { capturePrefix, indexKey, objectKeys } from '../../lib/dump-index/object-keys.ts';
import { endRecord } from '../../lib/hprof/end-record.ts';
import { createMemoryDataKeys } from '../../lib/local/memory-data-keys.ts';
import { HprofWriter } from '../hprof/hprof-writer.ts';

export const now = new Date('2026-03-01T13:00:00.000Z');
export const captureId = 'abcdefghijklmnopqrstuvwxyz234567';
const md5 = (bytes: Uint8Array): string => createHash('md5').update(bytes).digest('hex');

/** A whole dump with this many bytes that no compressor makes smaller, always the same ones. */
export function noisyDump(bytes: number): Buffer {
  const recordBytes = 300_000;
  const pieces: Uint8Array[] = [new HprofWriter().header().bytes];
  let seed = createHash('sha512').digest();
  for (let done = 0; done < bytes; done += recordBytes) {
    const body = Buffer.alloc(Math.min(recordBytes, bytes - done));
    for (let at = 0; at < body.length; at += seed.copy(body, at)) {
      seed = createHash('sha512').update(seed).digest();
    }
    const head = Buffer.alloc(9);
    head.writeUInt8(0x01);
    head.writeUInt32BE(body.length, 5);
    pieces.push(head, body);
  }
  return Buffer.concat([...pieces, endRecord]);
}

/** Puts a capture as seal leaves it, with a dump of these bytes in frames and parts of these sizes. */
export async function storeCapture(
  objects: Pick<ObjectStore, 'putObject'>,
  options: {
    raw?: Uint8Array;
    frameBytes?: number;
    partBytes?: number;
    change?: (entry: IndexEntry) => IndexEntry;
    acquireTime?: string;
    captureId?: string;
    withManifest?: boolean;
  } = {},
) {
  const { raw = noisyDump(10_000), acquireTime = '2026-03-01T12:00:02.000Z' } = options;
  const id = options.captureId ?? captureId;
  const workload = { kind: 'Deployment', name: 'cart' };
  const place = { clusterName: 'prod', namespace: 'shop', workload, acquireTime, captureId: id };
  const prefix = capturePrefix(place);
  const keys = objectKeys(prefix);
  const dump = Buffer.concat(
    pieces(raw, options.frameBytes ?? 400_000).map((piece) => zstdCompressSync(piece)),
  );
  const parts = pieces(dump, options.partBytes ?? 700_000).map((piece, index) => ({
    partNumber: index + 1,
    bytes: piece.length,
    md5: md5(piece),
    eTag: `"${md5(piece)}"`,
  }));
  const threads = Buffer.from('"main" #1 prio=5\n');
  const entry: IndexEntry = {
    schemaVersion: 1,
    captureId: id,
    state: 'complete',
    where: {
      ...{ clusterName: 'prod', namespace: 'shop', workload, podName: 'cart-7f-x' },
      podUid: 'uid-1',
      ...{ containerName: 'app', containerID: 'containerd://aaaa', nodeName: 'node-a' },
    },
    why: { signalReason: 'LivenessProbeFailing', numbers: { failureCount: 2 } },
    when: { observedTime: acquireTime, acquireTime, sealTime: acquireTime },
    how: { rung: 'nodeAgent', refusedRungs: {}, finisher: 'seal' },
    objects: {
      prefix,
      evidence: [
        {
          artifact: 'threads',
          objectKey: keys.evidence('threads'),
          bytes: threads.length,
          md5: md5(threads),
        },
      ],
      heapDump: {
        ...{ objectKey: keys.heapDump, codec: 'zstd', rawBytes: raw.length },
        ...{ compressedBytes: dump.length, partCount: parts.length },
        ...{ compositeMd5: compositeMd5(parts), recordCount: 2, endRecord: true },
      },
    },
    faults: [],
  };
  const manifest: Manifest = {
    ...{ schemaVersion: 1, captureId: id, fencingToken: 1, rung: 'nodeAgent' },
    ...{ agentVersion: '0.1.0', times: { startTime: acquireTime, endTime: acquireTime } },
    ...{ evidence: [], faults: [] },
    dump: {
      ...{ codec: 'zstd', rawBytes: raw.length, compressedBytes: dump.length, recordCount: 2 },
      ...{ endRecord: true, appendedBytes: 0, endFrameBytes: 22, parts },
    },
  };
  const key = indexKey({ acquireTime, captureId: id });
  const put = (objectKey: string, body: Uint8Array) =>
    objects.putObject(objectKey, body, { contentType: 'application/octet-stream' });
  const changed = options.change?.(entry) ?? entry;
  await put(key, Buffer.from(JSON.stringify(changed)));
  await put(keys.heapDump, dump);
  await put(keys.evidence('threads'), threads);
  if (options.withManifest !== false) {
    await put(keys.manifest, Buffer.from(JSON.stringify(manifest)));
  }
  return { key, keys, entry: changed, raw: Buffer.from(raw), dump, parts, threads };
}

function pieces(bytes: Uint8Array, pieceBytes: number): Uint8Array[] {
  const count = Math.ceil(bytes.length / pieceBytes);
  return Array.from({ length: count }, (_, index) =>
    bytes.subarray(index * pieceBytes, (index + 1) * pieceBytes),
  );
}

/** A terminal, a clock that stands, and an account with one bucket. */
export class FakeIo implements CliIo {
  out = '';
  errors = '';
  readonly pauses: number[] = [];
  readonly stopper = new AbortController();
  readonly place: Place;

  constructor(objects: ObjectStore, place: Partial<Place> = {}) {
    this.place = {
      bucketName: 'dumps',
      objects,
      dataKeys: createMemoryDataKeys(),
      claims: undefined,
      invokeCapture: () => Promise.reject(new Error('nothing to invoke')),
      ...place,
    };
  }

  openPlace = () => Promise.resolve(this.place);
  contextPlace = (contextName: string | undefined) =>
    Promise.resolve({
      clusterName: `cluster-of-${contextName ?? 'current'}`,
      namespace: 'default',
    });
  env: Record<string, string> = {};
  write = (text: string) => void (this.out += text);
  writeError = (text: string) => void (this.errors += text);
  now = () => now;
  readonly stop = this.stopper.signal;
  pause = (millis: number) => {
    this.pauses.push(millis);
    return Promise.resolve();
  };
}
