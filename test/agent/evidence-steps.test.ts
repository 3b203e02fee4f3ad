import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AttachedJvm } from '../../lib/agent/attach.ts';
import { directReach } from '../../lib/agent/jvm-reach.ts';
import { runCapture } from '../../lib/agent/capture.ts';
import { collectAllEvidence, type EvidenceSteps } from '../../lib/agent/evidence-steps.ts';
import { readProcess } from '../../lib/agent/process-facts.ts';
import { ProgressReporter } from '../../lib/agent/progress.ts';
import { manifestSchema, type Manifest } from '../../lib/capture/manifest.ts';
import type { Ticket } from '../../lib/capture/ticket.ts';
import { CaptureError } from '../../lib/errors.ts';
import { createLogger } from '../../lib/log.ts';
import { FakeBucket } from './fake-bucket.ts';
import { hotspotMaps, ProcFolder } from './proc-folder.ts';
import { captureId, ticketFor } from './tickets.ts';

let proc: ProcFolder;
let bucket: FakeBucket;
const log = createLogger('test', { write: () => undefined });
const progress = new ProgressReporter({
  ...{ captureId, fencingToken: 1 },
  put: () => Promise.resolve(),
});

beforeEach(async () => {
  proc = new ProcFolder();
  bucket = await FakeBucket.start();
});
afterEach(async () => {
  proc.remove();
  await bucket.stop();
});

function ticket(artifacts: readonly Ticket['evidence'][number]['artifact'][]): Ticket {
  const evidence = artifacts.map((artifact) => ({
    artifact,
    putUrl: bucket.url(`/${artifact}.txt`),
  }));
  return ticketFor(bucket, { directories: ['/tmp'], change: { evidence } });
}

describe('collectAllEvidence', () => {
  it('asks a JVM that did not answer for nothing more, and for its threads in its log', async () => {
    proc.add({ pid: 10, sigCgt: '0000000000000000' });
    const asked: string[] = [];
    const attached: AttachedJvm = {
      run: (command) => {
        asked.push(command);
        const details = { unanswered: true };
        return Promise.reject(new CaptureError('AttachFailed', 'no answer', { details }));
      },
      close: () => Promise.resolve(),
    };
    const manifest = { evidence: [], faults: [] } as unknown as Manifest;
    const steps: EvidenceSteps = {
      ...{ manifest, progress, log, reach: directReach(proc.path) },
      live: { put: () => Promise.resolve('"etag"') },
      ...{ stop: new AbortController().signal, partsDeadline: Date.now() + 60_000 },
      ticket: ticket(['processFacts', 'heapInfo', 'threads', 'classHistogram']),
    };

    await collectAllEvidence(steps, attached, (await readProcess(proc.path, 10))!);

    expect(asked).toEqual(['GC.heap_info']);
    expect(manifest.faults.map(({ message }) => message)).toEqual([
      'heapInfo: no answer',
      expect.stringMatching(/^threads, classHistogram: not asked for, .*not handle SIGQUIT$/),
    ]);
    expect(manifest.memory).toMatchObject({ pressure: 'unknown' });
  });
});

describe('a capture of a process that is not a HotSpot JVM', () => {
  it.each([
    [
      'OpenJ9',
      'NotSupported',
      `${hotspotMaps}7f00-7f01 r-xp 0 0:0 1 /opt/java/lib/default/libj9vm29.so\n`,
    ],
    ['a shell', 'JvmNotFound', '7f00-7f01 r-xp 0 0:0 1 /bin/sh\n'],
  ])('keeps what can be read of %s and says why there is no more', async (_name, code, maps) => {
    proc.add({ pid: 10, maps, cmdline: ['sh', '-c', 'hunter2', 'hunter2'] });

    const end = await runCapture({
      ...{ ticket: ticket(['processFacts', 'threads']), procRoot: proc.path, log },
    });

    const manifest = manifestSchema.parse(bucket.json('/manifest.json'));
    expect([end, manifest.faults.map((fault) => fault.code)]).toEqual(['faulty', [code]]);
    expect(manifest.evidence.map(({ artifact }) => artifact)).toEqual(['processFacts']);
    const text = bucket.objects.get('/processFacts.txt')!.toString();
    expect(text).toMatch(/^# process 10\n/);
    expect(text).not.toContain('hunter2');
  });
});
