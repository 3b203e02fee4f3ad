import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AttachedJvm } from '../../lib/agent/attach.ts';
import { directReach } from '../../lib/agent/jvm-reach.ts';
import { saveHeapDump } from '../../lib/agent/heap-dump.ts';
import { readProcess } from '../../lib/agent/process-facts.ts';
import { LiveTicket } from '../../lib/agent/live-ticket.ts';
import { ProgressReporter } from '../../lib/agent/progress.ts';
import { CaptureError } from '../../lib/errors.ts';
import { createLogger } from '../../lib/log.ts';
import { FakeBucket } from './fake-bucket.ts';
import { header, record, segmentTag } from './hprof-bytes.ts';
import { ProcFolder } from './proc-folder.ts';
import { captureId, ticketFor } from './tickets.ts';

let proc: ProcFolder;
let bucket: FakeBucket;
let folder: string;
const fileName = `heapcatch-${captureId}-1.hprof`;

beforeEach(async () => {
  proc = new ProcFolder();
  bucket = await FakeBucket.start();
  folder = join(proc.add({ pid: 10, uid: process.getuid!() }), 'root/tmp');
});
afterEach(async () => {
  proc.remove();
  await bucket.stop();
});

/** Asks for a dump, of which so little time is left that nothing that rests is waited for. */
async function dump(run: AttachedJvm['run'], stop = new AbortController().signal) {
  const ticket = ticketFor(bucket, { directories: ['/tmp'], expectedBytes: 1_000 });
  const { blockBytes, partBytes } = ticket.heapDump!;
  const sizes = { blockBytes, partBytes };
  const put = () => Promise.resolve();
  const log = createLogger('test', { write: () => undefined });
  const live = new LiveTicket({
    ...{ ticket, log, deadline: Date.now() + 60_000 },
    wish: () => undefined,
  });
  return saveHeapDump({
    ...{ ticket, live, log, order: ticket.heapDump!, reach: directReach(proc.path) },
    ...{ stop, stallSeconds: 0.01 },
    ...{ sizes: { ...sizes, concurrentPuts: 2 }, pace: 'niced' as const },
    ...{ jvm: (await readProcess(proc.path, 10))!, partsDeadline: Date.now() + 60_000 },
    attached: { run, close: () => Promise.resolve() },
    progress: new ProgressReporter({ captureId, fencingToken: 1, put }),
    onTime: () => undefined,
  });
}

/** A JVM that never answers, until it is not waited for any more. */
const silent: AttachedJvm['run'] = (_command, { signal }) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new CaptureError('DumpFailed', 'given up')));
  });

describe('a dump that the JVM did not begin in time', () => {
  it('is forbidden by an empty file, which HotSpot does not write over', async () => {
    const { fault } = await dump(silent);

    expect(fault?.message).toContain('may never have reached a safepoint');
    expect(statSync(join(folder, fileName)).size).toBe(0);
  });

  it('has its file removed, if the JVM has opened it and waits for its safepoint', async () => {
    const { fault } = await dump((command, options) => {
      writeFileSync(join(folder, fileName), '');
      return silent(command, options);
    });

    expect(fault?.code).toBe('DumpFailed');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('leaves nothing behind when the JVM has answered, or was not asked', async () => {
    const stopped = new AbortController();
    stopped.abort(new CaptureError('DeadlineExceeded', 'too late'));

    await dump(() => Promise.resolve({ status: 0, output: Buffer.from('no'), truncated: false }));
    await dump(silent, stopped.signal);

    expect(existsSync(join(folder, fileName))).toBe(false);
  });
});

describe('a dump that is given up while the JVM writes it', () => {
  const begun: AttachedJvm['run'] = (command, options) => {
    writeFileSync(join(folder, fileName), Buffer.concat([header, record(segmentTag, 0)]));
    return silent(command, options);
  };

  it('goes on, as far as is known', async () => {
    const outcome = await dump(begun);

    expect(outcome).toMatchObject({ goesOn: true, dump: { endRecord: false } });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('does not when the JVM has answered or is gone', async () => {
    const answered = await dump(async (command, options) => {
      void begun(command, options).catch(() => undefined);
      return Promise.resolve({ status: 0, output: Buffer.from('no'), truncated: false });
    });
    const gone = await dump((command, options) => {
      proc.hide(10);
      return begun(command, options);
    });

    expect([answered, gone].map((one) => 'goesOn' in one)).toEqual([false, false]);
  });
});
