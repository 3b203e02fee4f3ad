import { describe, expect, it, jest } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { manifestSchema } from '../../lib/capture/manifest.ts';
import { HeapScan, type ScanResult } from '../../lib/hprof/scan.ts';
import type { FakeBucket } from '../agent/fake-bucket.ts';
import { captureId, ticketFor } from '../agent/tickets.ts';
import { type AgentLab, dumpOf, framesOf } from './agent-lab.ts';
import { jdksUnderTest } from './jdks.ts';
import { freshLabs, orderAt } from './lab-of-each-test.ts';

jest.setTimeout(60_000);

let lab: AgentLab;
let bucket: FakeBucket;

freshLabs((fresh) => {
  ({ lab, bucket } = fresh);
});

const text = 'terces-ym-si-siht';
const seed = 0x3a5f_9c21_47be_8d10n;

function eightBytes(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

const reversed = 'this-is-my-secret';
/** What SecretHeap makes of its arguments, as a dump has it. */
const arraySecrets = {
  string: Buffer.from(reversed),
  bytes: Buffer.from(reversed.replaceAll('s', 'b')),
  chars: Buffer.from(reversed.replaceAll('s', 'c'), 'utf16le').swap16(),
  ints: eightBytes(seed),
};
const fieldSecrets = {
  long: eightBytes(seed + 1n),
  inheritedFrom: eightBytes(seed + 2n),
  boxed: eightBytes(seed + 3n),
  static: eightBytes(seed + 4n),
};
const secrets = { ...arraySecrets, ...fieldSecrets };

const found = (dump: Buffer, wanted: Record<string, Buffer>): string[] =>
  Object.keys(wanted).filter((name) => dump.includes(wanted[name]!));

function scanOf(dump: Buffer): ScanResult {
  const scan = new HeapScan({ topCount: 10_000 });
  scan.push(dump);
  return scan.finish();
}

describe.each(jdksUnderTest().map((jdk) => [jdk.version, jdk] as const))(
  'redaction of a dump of JDK %s',
  (_version, jdk) => {
    it.each([
      ['primitiveArrays', Object.keys(fieldSecrets)],
      ['allPrimitives', []],
    ] as const)('stores none of the secrets that %s is about', async (redact, remaining) => {
      await lab.startJvm(jdk, 'SecretHeap', { args: [text, String(seed)] });
      const ticket = ticketFor(bucket, { directories: [lab.dumps], blockBytes: 65_536 });
      const ordered = { ...ticket, heapDump: { ...ticket.heapDump, redact } };

      const agent = lab.startAgent('capture', orderAt(bucket, ordered));
      await lab.dumpHas(1);
      lab.keepDumps();
      const { code } = await agent.ended;

      expect(code).toBe(0);
      const written = readFileSync(join(lab.kept, `heapcatch-${captureId}-1.hprof`));
      const stored = Buffer.concat([...framesOf(Buffer.concat(bucket.parts('/dump/')))]);
      expect(found(written, secrets)).toEqual(Object.keys(secrets));
      expect(found(stored, secrets)).toEqual(remaining);

      const [before, after] = [scanOf(written), scanOf(stored)];
      expect(after.chain).toEqual(before.chain);
      expect(after.topClasses).toEqual(before.topClasses);
      expect(after.classNamed('SecretHeap$Child').instanceCount).toBe(1_000);

      const { redaction } = dumpOf(manifestSchema.parse(bucket.json('/manifest.json')));
      // Nothing is blanked: HotSpot writes all class dumps before the objects.
      expect(redaction).toMatchObject({ mode: redact, blankedInstanceCount: 0 });
      const evidence = [...bucket.objects].filter(([path]) => path.endsWith('.txt'));
      expect(evidence.flatMap(([, body]) => found(body, secrets))).toEqual([]);
    });
  },
);
