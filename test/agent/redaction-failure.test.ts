import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AttachedJvm } from '../../lib/agent/attach.ts';
import { directReach } from '../../lib/agent/jvm-reach.ts';
import { saveHeapDump } from '../../lib/agent/heap-dump.ts';
import { LiveTicket } from '../../lib/agent/live-ticket.ts';
import { ProgressReporter } from '../../lib/agent/progress.ts';
import { createLogger } from '../../lib/log.ts';
import { FakeBucket } from './fake-bucket.ts';
import { end, header, record, segmentTag } from './hprof-bytes.ts';
import { ProcFolder } from './proc-folder.ts';
import { captureId, ticketFor } from './tickets.ts';

let bucket: FakeBucket;
let proc: ProcFolder;
let root: string;

beforeEach(async () => {
  bucket = await FakeBucket.start();
  proc = new ProcFolder();
  root = join(proc.add({ pid: 10 }), 'root');
  mkdirSync(join(root, 'data'));
});
afterEach(async () => {
  proc.remove();
  await bucket.stop();
});

/** A JVM that "writes" these bytes and says that it is done. */
function jvmThatWrites(bytes: Buffer): AttachedJvm {
  return {
    run: () => {
      writeFileSync(join(root, `data/heapcatch-${captureId}-1.hprof`), bytes);
      return Promise.resolve({ status: 0, output: Buffer.from('Heap dump file created') });
    },
    close: () => Promise.resolve(),
  } as unknown as AttachedJvm;
}

async function save(bytes: Buffer, redact?: 'allPrimitives') {
  const ticket = ticketFor(bucket, { directories: ['/data'], blockBytes: 65_536 });
  const put = () => Promise.resolve();
  const log = createLogger('test', { write: () => undefined });
  return saveHeapDump({
    ticket,
    live: new LiveTicket({
      ...{ ticket, log, deadline: Date.now() + 20_000 },
      wish: () => undefined,
    }),
    order: { ...ticket.heapDump!, ...(redact && { redact }) },
    sizes: { blockBytes: 65_536, partBytes: ticket.heapDump!.partBytes, concurrentPuts: 2 },
    pace: 'overlap',
    reach: directReach(proc.path),
    jvm: {
      ...{ pid: 10, namespacePid: 1, parentPid: 0, groups: [], catchesQuit: true },
      ...{ uid: process.getuid!(), gid: process.getgid!() },
    },
    attached: jvmThatWrites(bytes),
    jdkMajor: 17,
    stop: new AbortController().signal,
    partsDeadline: Date.now() + 20_000,
    stallSeconds: 5,
    progress: new ProgressReporter({ captureId, fencingToken: 1, put }),
    log,
    onTime: () => undefined,
  });
}

describe('a dump whose redaction fails', () => {
  /** A whole record chain, whose second heap dump record holds no sub-records. */
  const odd = Buffer.concat([header, record(segmentTag, 0), record(segmentTag, 90_000, 7), end]);

  it('is not stored, and says why', async () => {
    const outcome = await save(odd, 'allPrimitives');

    expect(outcome.dump).toBeUndefined();
    expect(outcome.fault).toMatchObject({ code: 'RedactionFailed' });
    expect(bucket.stored.filter((path) => path.startsWith('/dump/'))).toEqual([]);
  });

  it('is stored as it is when no redaction was ordered', async () => {
    const outcome = await save(odd);

    expect(outcome.dump).toMatchObject({ endRecord: true });
    expect(outcome.dump).not.toHaveProperty('redaction');
  });
});
