import { beforeEach, describe, expect, it } from '@jest/globals';
import { openRelayedDump } from '../../lib/agent/relayed-dump.ts';
import { manifestSchema, progressSchema, type Manifest } from '../../lib/capture/manifest.ts';
import type { ClusterApi } from '../../lib/capture/ports.ts';
import { relayCapture } from '../../lib/capture/relay-capture.ts';
import { startRelay, type RelayJob } from '../../lib/capture/start-relay.ts';
import type { Ticket } from '../../lib/capture/ticket.ts';
import type { CaptureRecord } from '../../lib/claim/capture-record.ts';
import { objectKeys } from '../../lib/dump-index/object-keys.ts';
import { createLogger } from '../../lib/log.ts';
import { FakeCluster } from './fake-cluster.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { relayFrame } from './relay-frame.ts';

const objectPrefix = 'dumps/prod/shop/Deployment.cart/2026-01-01/000000Z-abcdefghijklmnop/';
const keys = objectKeys(objectPrefix);
const now = new Date('2026-01-01T00:00:00Z');
const record = {
  ...{ captureId: 'abcdefghijklmnop', fencingToken: 3, objectPrefix },
  ...{ namespace: 'shop', podName: 'cart-1', containerName: 'app' },
  captureDeadlineTime: '2026-01-01T00:20:00Z',
  policy: { heapDump: { relayMaxMebibytes: 100 } },
} as unknown as CaptureRecord;
const ticket = {
  ...{ captureId: 'abcdefghijklmnop', fencingToken: 3, schemaVersion: 1, rung: 'exec' },
  evidence: [{ artifact: 'threads', putUrl: 'https://bucket.example/?X-Amz-Signature=secret' }],
  heapDump: {
    ...{ codec: 'zstd', blockBytes: 65_536, partBytes: 5 * 1024 * 1024, expectedBytes: 1_000_000 },
    ...{ directories: ['/tmp'], partUrls: Array.from({ length: 50 }, () => 'https://x/') },
  },
} as unknown as Ticket;

const account = {
  ...{ schemaVersion: 1, captureId: 'abcdefghijklmnop', fencingToken: 3, rung: 'exec' },
  agentVersion: '0.1.0',
  times: { startTime: '2026-01-01T00:00:01Z', endTime: '2026-01-01T00:00:09Z' },
  faults: [],
};
const line = (head: object): Buffer => Buffer.from(`${JSON.stringify(head)}\n`);
const threads = Buffer.concat([
  line({ kind: 'evidence', artifact: 'threads', bytes: 4 }),
  Buffer.from('main'),
]);
const records = Buffer.concat([threads, line({ kind: 'end', account })]);
const end = relayFrame('end', 0, Buffer.alloc(0));

/** A file header and one record that claims these many bytes, of which so many are there. */
function dumpBegin(bodyBytes: number, thereBytes = bodyBytes): Buffer {
  const head = Buffer.alloc(31);
  head.write('JAVA PROFILE 1.0.2\0', 'latin1');
  head.writeUInt32BE(8, 19);
  const segment = Buffer.alloc(9 + thereBytes, 5);
  segment.writeUInt8(0x1c, 0);
  segment.writeUInt32BE(bodyBytes, 5);
  return Buffer.concat([head, segment]);
}

/** A file header, one record of these many bytes, the end record. */
function dumpOf(bodyBytes: number): Buffer {
  return Buffer.concat([dumpBegin(bodyBytes), Buffer.from([0x2c, 0, 0, 0, 0, 0, 0, 0, 0])]);
}

/** A container whose relay says what the test has it say, connection by connection; the last one for ever. */
class SpeakingCluster extends FakeCluster {
  readonly released: (readonly string[])[] = [];
  readonly asked: { records: number; dump: number }[] = [];
  says: Iterable<Buffer>[] = [];

  override exec: ClusterApi['exec'] = async (_target, command, { onStdout }) => {
    if (command.includes('heapcatch-release')) this.released.push(command);
    if (!command.includes('heapcatch-relay')) return { exitCode: 0, stdout: '', stderr: '' };
    const [recordBytes, dumpBytes] = command.slice(-2).map(Number);
    this.asked.push({ records: recordBytes!, dump: dumpBytes! });
    const words = this.says.length > 1 ? this.says.shift()! : this.says[0]!;
    for (const piece of words) await onStdout?.(piece);
    return { exitCode: 0, stdout: '', stderr: '' };
  };
}

let cluster: SpeakingCluster;
let objects: MemoryObjectStore;
let logged: string[];
beforeEach(() => {
  cluster = new SpeakingCluster();
  objects = new MemoryObjectStore();
  logged = [];
});

async function relay(
  says: Iterable<Buffer>[],
  changes: Partial<RelayJob> = {},
): Promise<Manifest | undefined> {
  cluster.says = says;
  const uploadId = await objects.createMultipartUpload(keys.heapDump, 'application/zstd');
  const order = { record, ticket, uploadId, directories: [], execAgentJar: Buffer.alloc(0) };
  await relayCapture(
    {
      ...{ cluster, objects, clock: () => now, pauseRelay: () => Promise.resolve() },
      logger: createLogger('test', { write: (text) => logged.push(text) }),
      openDump: (upload) => Promise.resolve(openRelayedDump(upload)),
    },
    {
      ...{ order, java: '/java', place: '/tmp/place', maxDumpBytes: 1_000_000 },
      deadline: now.getTime() + 600_000,
      ...changes,
    },
  );
  const stored = objects.objects.get(keys.manifest);
  return stored && manifestSchema.parse(JSON.parse(Buffer.from(stored.body).toString()));
}

describe('relayCapture', () => {
  it('stores evidence and dump, says so in a manifest, and lets the agent go', async () => {
    const dump = dumpOf(200_000);
    const manifest = await relay([
      [relayFrame('records', 0, records), relayFrame('dump', 0, dump), end],
    ]);

    expect(manifest).toMatchObject({
      ...{ rung: 'exec', captureId: record.captureId, fencingToken: 3, faults: [] },
      evidence: [{ artifact: 'threads', bytes: 4 }],
      dump: { rawBytes: dump.length, endRecord: true, parts: [{ partNumber: 1 }] },
    });
    expect(Buffer.from(objects.objects.get(keys.evidence('threads'))!.body).toString()).toBe(
      'main',
    );
    expect(cluster.released).toHaveLength(1);
    const progress = objects.objects.get(keys.progress)!;
    expect(progressSchema.parse(JSON.parse(Buffer.from(progress.body).toString())).step).toBe(
      'heapDump',
    );
  });

  it('asks again from the last byte that was verified', async () => {
    const dump = dumpOf(200_000);
    const [first, rest] = [dump.subarray(0, 70_000), dump.subarray(70_000)];
    const broken = relayFrame('dump', 70_000, rest);
    broken[5_000]! ^= 1;

    const manifest = await relay([
      [relayFrame('records', 0, threads), relayFrame('dump', 0, first), broken],
      [relayFrame('dump', 70_001, rest)],
      [
        relayFrame('dump', 70_000, rest),
        relayFrame('records', threads.length, records.subarray(threads.length)),
        end,
      ],
    ]);

    const middle = { records: threads.length, dump: 70_000 };
    expect(cluster.asked).toEqual([{ records: 0, dump: 0 }, middle, middle]);
    expect(manifest).toMatchObject({ faults: [], dump: { endRecord: true } });
  });

  it.each<[string, () => Iterable<Buffer>, RegExp]>([
    ['says nothing', () => [], /5 connections were not enough/],
    ['ends without an account', () => [end], /ended without the account/],
    [
      'sends an artifact twice',
      () => [relayFrame('records', 0, Buffer.concat([threads, threads]))],
      /brings threads twice/,
    ],
    [
      'sends an artifact that nobody asked for',
      () => [relayFrame('records', 0, line({ kind: 'evidence', artifact: 'heapInfo', bytes: 0 }))],
      /sends heapInfo, for which nobody asked/,
    ],
    [
      'announces evidence of a gibibyte',
      () => [
        relayFrame('records', 0, line({ kind: 'evidence', artifact: 'threads', bytes: 2 ** 30 })),
      ],
      /record whose bytes is not valid/,
    ],
    [
      'goes on behind its account',
      () => [relayFrame('records', 0, Buffer.concat([records, threads]))],
      /goes on behind its end/,
    ],
    [
      'sends a line without an end',
      function* () {
        for (let at = 0; ; at += 100_000) {
          yield relayFrame('records', at, Buffer.alloc(100_000, 'x'));
        }
      },
      /a line of over 131072 bytes/,
    ],
    [
      'sends a dump without an end',
      function* () {
        const head = dumpBegin(2 ** 31 - 1_000, 100_000).subarray(0, 100_000);
        yield relayFrame('dump', 0, head);
        for (let at = 100_000; ; at += 100_000) yield relayFrame('dump', at, Buffer.alloc(100_000));
      },
      /over 1000000 bytes, which is what can be relayed/,
    ],
    [
      'sends what is no dump',
      () => [relayFrame('dump', 0, Buffer.alloc(100))],
      /not a heap dump as a JVM writes it/,
    ],
  ])('names it when the container %s, and ends', async (_case, says, message) => {
    const manifest = await relay([{ [Symbol.iterator]: () => says()[Symbol.iterator]() }]);

    expect(manifest?.faults[0]?.message).toMatch(message);
    expect(manifest?.dump?.endRecord ?? false).toBe(false);
    expect(cluster.released).toHaveLength(1);
  });

  it('breaks off after so many connections that each bring a little', async () => {
    let at = 0;
    const drip = {
      *[Symbol.iterator]() {
        yield relayFrame('records', at, Buffer.from('x'));
        at += 1;
      },
    };

    const manifest = await relay([drip]);

    expect(manifest?.faults[0]?.message).toContain('60 connections were not enough');
  });

  it('leaves the parts to sweep when the bucket refuses one of several', async () => {
    objects.uploadPart = () => Promise.reject(new Error('gone'));

    const manifest = await relay([
      [relayFrame('records', 0, records), relayFrame('dump', 0, dumpOf(1_000)), end],
    ]);

    // Nothing lies there: the manifest can say so.
    expect(manifest?.faults).toEqual([{ code: 'RelayFailed', message: 'gone' }]);
    expect(manifest?.dump).toBeUndefined();
  });
});

describe('startRelay', () => {
  const order = { record, ticket, uploadId: 'u', directories: [], execAgentJar: Buffer.of(1) };
  let delivered: string;

  function start(remainingMillis: number, millisPerPiece: number, expectedBytes = 2 ** 30) {
    let millis = now.getTime();
    const measured = new FakeCluster();
    measured.exec = async (_target, command, { onStdout, stdin = '' }) => {
      if (command.includes('heapcatch-probe')) {
        return { exitCode: 0, stdout: 'java=/java\nwritable=/tmp\nend=1\n', stderr: '' };
      }
      for (let piece = 0; onStdout && piece < 5; piece++) {
        await onStdout(Buffer.alloc(1_000_000));
        millis += millisPerPiece;
      }
      delivered = Buffer.from(stdin).toString('latin1').split('\n')[0]!;
      return { exitCode: 0, stdout: '{"outcome":"accepted"}\n', stderr: '' };
    };
    return startRelay(
      { cluster: measured, clock: () => new Date(millis) },
      { remainingMillis: () => remainingMillis },
      { ...order, ticket: { ...ticket, heapDump: { ...ticket.heapDump!, expectedBytes } } },
    );
  }

  it('bounds the dump by the policy, where the line and the time allow more', async () => {
    const { relayJob } = await start(800_000, 1);

    expect(relayJob?.maxDumpBytes).toBe(100 * 1024 * 1024);
  });

  it('bounds the dump by what the parts were planned for', async () => {
    const { relayJob } = await start(800_000, 1, 10_000_000);

    expect(relayJob?.maxDumpBytes).toBe(11_000_000);
  });

  it('bounds the dump by half of what the measured rate brings in the time that is left', async () => {
    const { relayJob } = await start(130_000, 2_500);

    // 4 MB in 12.5 s, for the 100 s less those.
    expect(relayJob?.maxDumpBytes).toBe((4_000_000 / 12.5) * 87.5 * 0.5);
  });

  it('gives out a ticket without any URL', async () => {
    await start(800_000, 1);

    const { relayedTicket } = JSON.parse(delivered) as { relayedTicket: string };
    const text = Buffer.from(relayedTicket, 'base64').toString();
    expect(text).not.toMatch(/http|secret/);
    expect(JSON.parse(text)).toMatchObject({
      evidence: [{ artifact: 'threads' }],
      relay: { maxDumpBytes: 104_857_600 },
      captureDeadlineTime: '2026-01-01T00:12:50.000Z',
    });
  });

  it('does not begin what cannot end', async () => {
    expect((await start(80_000, 1)).result).toMatchObject({
      code: 'RelayTimeTooShort',
      message: "50 s are left of the function's and the capture's time; a relay needs 60",
    });
  });
});
