import { createHash } from 'node:crypto';
import type { Manifest } from '../capture/manifest.ts';
import type { Ticket } from '../capture/ticket.ts';
import { CaptureError, messageOf } from '../errors.ts';
import { firstParallelDumpMajor } from '../jvm/diagnostic-commands.ts';
import type { Logger } from '../log.ts';
import type { AttachedJvm } from './attach.ts';
import type { LayoutChoice } from './attacher-handshake.ts';
import type { CaptureMetrics } from './capture-metrics.ts';
import { expectedDump } from './dump-estimate.ts';
import {
  beginProcessFacts,
  collectAllEvidence,
  collectWithoutAttach,
  noteFault,
} from './evidence-steps.ts';
import { pidsInSight } from './find-jvm.ts';
import { saveHeapDump, type HeapDumpOptions, type HeapDumpOutcome } from './heap-dump.ts';
import { askJvmFacts } from './jvm-facts.ts';
import { directReach, type JvmReach } from './jvm-reach.ts';
import { collectLeftover, type StoredLeftover } from './leftovers.ts';
import { LiveTicket, type LiveTicketOptions } from './live-ticket.ts';
import type { ProcessFacts } from './process-facts.ts';
import { ProgressReporter } from './progress.ts';
import { HolePuncher } from './punch-holes.ts';
import type { PutBody } from './put-object.ts';
import { agentVersion } from './version.ts';
import { niceThisProcess, planWorkBeside } from './work-beside.ts';
import { sizesOf, type Pace, type ShapeSizes } from './work-plan.ts';

export interface CaptureOptions extends Pick<HeapDumpOptions, 'onJvmReleased'> {
  readonly ticket: Ticket;
  /** Where processes are looked up, `/proc` in a pod. */
  readonly procRoot: string;
  /** The way to the JVM, closed with the capture; through procRoot unless told. */
  readonly reach?: JvmReach;
  /** What there was room for, where an attacher and an uploader were started. */
  readonly layout?: LayoutChoice;
  readonly log: Logger;
  readonly metrics?: CaptureMetrics;
  /** Longest time in which a dump may rest; 60 unless told. */
  readonly stallSeconds?: number;
  /** Space is given back each time so many more bytes of a dump are stored; never, where absent. */
  readonly holeStepBytes?: number;
}

/**
 * `whole`: everything that was ordered is durable. `faulty`: the manifest is there and says what is not.
 * `unfinished`: no manifest was written; what arrived is left to sweep.
 */
export type CaptureEnd = 'whole' | 'faulty' | 'unfinished';

/** A full GC of a large heap takes half a minute, in which no JVM can open its socket. */
const [minAttachSeconds, maxAttachSeconds] = [20, 120];
/** Before the deadline so much time is kept to finish the dump, its parts and the manifest. */
const maxMarginMilliseconds = 15_000;

interface Capture extends CaptureOptions {
  readonly reach: JvmReach;
  readonly deadline: number;
  readonly partsDeadline: number;
  readonly stop: AbortSignal;
  readonly progress: ProgressReporter;
  readonly live: LiveTicket;
  readonly manifest: Manifest;
  /** A file that was stored, to be removed once the manifest says so. */
  leftover?: StoredLeftover;
}

/**
 * Carries out one ticket: finds the JVM, collects the evidence, saves the dump, and writes the manifest
 * last. Never throws for what the JVM or the bucket do: that stands in the manifest's faults.
 */
export async function runCapture(options: CaptureOptions): Promise<CaptureEnd> {
  const started = Date.now();
  const { ticket } = options;
  const deadline = Date.parse(ticket.captureDeadlineTime);
  const margin = Math.min(maxMarginMilliseconds, (deadline - started) / 4);
  const stop = new AbortController();
  const stopTimer = setTimeout(
    () => {
      const message = `stopped ${margin / 1_000} s before the capture's deadline ${ticket.captureDeadlineTime}`;
      stop.abort(new CaptureError('DeadlineExceeded', message));
    },
    Math.max(0, deadline - margin - started),
  );
  const { captureId, fencingToken } = ticket;
  const log = options.log.with({ captureId, fencingToken, podName: ticket.target.podName });
  const partsDeadline = deadline - margin / 5;
  const wish: LiveTicketOptions['wish'] = (wanted) => capture.progress.wish(wanted);
  const live = new LiveTicket({ ticket, log, deadline, wish });
  const reach = options.reach ?? directReach(options.procRoot);
  const capture: Capture = {
    ...options,
    ...{ reach, log, live, deadline, partsDeadline },
    stop: stop.signal,
    progress: new ProgressReporter({
      captureId,
      fencingToken,
      put: (body) => live.put((now) => now.progressUrl, body, { deadline: partsDeadline }),
      onTell: ({ step, rawBytes, compressedBytes, sentBytes, sentPartCount, estimate }) =>
        log.info('progress', {
          ...{ step, rawBytes, compressedBytes, sentBytes, sentPartCount, ...estimate },
        }),
    }),
    manifest: emptyManifest(options, new Date(started)),
  };
  const noteEnd = options.metrics?.begin(ticket, () => capture.progress.snapshot());
  let end: CaptureEnd = 'unfinished';
  try {
    const outcome = await (ticket.leftovers ? captureLeftover(capture) : captureJvm(capture));
    await capture.progress.settle();
    end = await conclude(capture, outcome);
    if (end !== 'unfinished') await capture.leftover?.remove(log);
    return end;
  } finally {
    live.close();
    await capture.leftover?.close();
    noteEnd?.(end);
    clearTimeout(stopTimer);
    reach.close();
  }
}

function emptyManifest({ ticket, layout }: CaptureOptions, startTime: Date): Manifest {
  return {
    schemaVersion: 1,
    captureId: ticket.captureId,
    fencingToken: ticket.fencingToken,
    rung: ticket.rung,
    agentVersion,
    ...(layout && { layout }),
    times: { startTime: startTime.toISOString(), endTime: startTime.toISOString() },
    evidence: [],
    faults: [],
  };
}

async function captureJvm(capture: Capture): Promise<HeapDumpOutcome | undefined> {
  const { manifest, reach, ticket, log } = capture;
  let attached: AttachedJvm | undefined;
  let jvm: ProcessFacts | undefined;
  let processFacts: { stored: Promise<void> } | undefined;
  try {
    jvm = await reach.find({ rung: ticket.rung, ...ticket.target });
    manifest.times.jvmFoundTime = new Date().toISOString();
    manifest.jvm = { pid: jvm.pid };
    processFacts = await beginProcessFacts(capture, [jvm.pid]);
    attached = await attachTo(capture, jvm);
    manifest.times.attachTime = new Date().toISOString();
    const { facts, jdkMajor } = await askJvmFacts(attached, jvm.pid, capture.stop);
    manifest.jvm = facts;
    log.info('attached', { ...facts, uid: jvm.uid });
    await processFacts.stored;
    await collectAllEvidence(capture, attached, jvm);
    return await dumpHeap(capture, attached, jvm, jdkMajor);
  } catch (error) {
    processFacts ??= await beginProcessFacts(capture, pidsInSight(error));
    // Of a JVM that has ended there is nothing more to see.
    const words = jvm && !attached ? await collectWithoutAttach(capture, jvm).catch(() => '') : '';
    noteFault(capture, error, '', words);
    return undefined;
  } finally {
    await processFacts?.stored;
    await attached?.close();
  }
}

/** Nothing is asked of the JVM: it is the life after the one whose dump is looked for. */
async function captureLeftover(capture: Capture): Promise<HeapDumpOutcome | undefined> {
  const { manifest } = capture;
  try {
    const collected = await collectLeftover({
      ...capture,
      settleSizes: async (jvm, order) => (await settleWork(capture, jvm, order)).sizes,
      onTime: (step) => {
        manifest.times[step] = new Date().toISOString();
      },
    });
    for (const fault of collected.faults) noteFault(capture, fault);
    if (collected.file) manifest.leftover = collected.file;
    if (collected.stored) capture.leftover = collected.stored;
    if (collected.outcome?.dump) manifest.dump = collected.outcome.dump;
    return collected.outcome;
  } catch (error) {
    noteFault(capture, error);
    return undefined;
  }
}

function attachTo(
  { reach, stop, partsDeadline }: Capture,
  jvm: ProcessFacts,
): Promise<AttachedJvm> {
  const share = Math.round((partsDeadline - Date.now()) / 8_000);
  const timeoutSeconds = Math.min(maxAttachSeconds, Math.max(minAttachSeconds, share));
  return reach.attach(jvm, { timeoutSeconds, signal: stop });
}

async function dumpHeap(
  capture: Capture,
  attached: AttachedJvm,
  jvm: ProcessFacts,
  jdkMajor: number | undefined,
): Promise<HeapDumpOutcome | undefined> {
  const { ticket, live, manifest, progress, log, stop, partsDeadline, reach } = capture;
  if (!ticket.heapDump) return undefined;
  const heapUsedBytes = manifest.jvm?.heapUsedBytes;
  progress.expect(expectedDump(ticket.heapDump.expectedBytes, heapUsedBytes));
  const { sizes, pace } = await settleWork(capture, jvm, ticket.heapDump, jdkMajor);
  const started = performance.now();
  const stepBytes = capture.holeStepBytes;
  const puncher =
    stepBytes === undefined
      ? undefined
      : new HolePuncher({ log, stepBytes, headBytes: sizes.blockBytes });
  const outcome = await saveHeapDump({
    ...{ sizes, pace, order: ticket.heapDump, onJvmReleased: capture.onJvmReleased },
    ...{ ticket, live, reach, jvm, attached, stop, partsDeadline, progress },
    ...{ log, stallSeconds: capture.stallSeconds ?? 60 },
    ...(jdkMajor !== undefined && { jdkMajor }),
    ...(heapUsedBytes !== undefined && { heapUsedBytes }),
    ...(puncher && { onDurable: puncher.durable.bind(puncher) }),
    onTime: (step) => {
      manifest.times[step] = new Date().toISOString();
    },
  }).finally(() => puncher?.close());
  if (outcome.fault) noteFault(capture, outcome.fault);
  if (outcome.dump) {
    manifest.dump = outcome.dump;
    if (outcome.goesOn) manifest.dumpGoesOn = true;
    const { rawBytes, compressedBytes, parts, endRecord } = outcome.dump;
    const seconds = (performance.now() - started) / 1_000;
    log.info('dump stored', {
      ...{ rawBytes, compressedBytes, partCount: parts.length, endRecord },
      rawBytesPerSecond: Math.round(rawBytes / seconds),
      ...(puncher && { punchedBytes: puncher.punchedBytes }),
    });
  }
  return outcome;
}

/** How to work beside this JVM, as the log and the manifest tell it. @throws CaptureError NotEnoughMemory. */
async function settleWork(
  { reach, ticket, manifest, log }: Capture,
  jvm: ProcessFacts,
  heapDump: NonNullable<Ticket['heapDump']>,
  jdkMajor = firstParallelDumpMajor,
): Promise<{ sizes: ShapeSizes; pace: Pace }> {
  const { blockBytes, partBytes, partUrls, mayWait = false } = heapDump;
  const { expectedBytes } = expectedDump(heapDump.expectedBytes, manifest.jvm?.heapUsedBytes);
  const segmented = jdkMajor >= firstParallelDumpMajor;
  const order = { blockBytes, partBytes, partCount: partUrls.length, expectedBytes, segmented };
  const work = await planWorkBeside(reach, jvm, { rung: ticket.rung, order, mayWait, log });
  if (work.pace === 'niced') await niceThisProcess();
  manifest.work = work;
  const sizes = sizesOf(work.shape, order);
  log.info('works beside the JVM', { ...work, ...sizes });
  return { sizes, pace: work.pace };
}

/**
 * The manifest would end the capture. Where parts of a dump lie in the bucket and the rest cannot be sent, it
 * is left unwritten, so that sweep keeps what arrived.
 */
async function conclude(
  capture: Capture,
  outcome: HeapDumpOutcome | undefined,
): Promise<CaptureEnd> {
  const { manifest, live, log, deadline } = capture;
  const interrupted =
    outcome !== undefined &&
    outcome.dump === undefined &&
    (outcome.storedPartCount > 0 || outcome.fault.details['s3Code'] === 'NoSuchUpload');
  if (interrupted) {
    log.error('no manifest: the dump is left to sweep', {
      storedPartCount: outcome.storedPartCount,
    });
    return 'unfinished';
  }
  manifest.times.endTime = new Date().toISOString();
  try {
    await live.put((ticket) => ticket.manifestUrl, jsonBody(manifest), { deadline });
  } catch (error) {
    log.error('the manifest was not written', { reason: messageOf(error) });
    return 'unfinished';
  }
  const end = manifest.faults.length === 0 ? 'whole' : 'faulty';
  log.info('manifest written', { end, faultCount: manifest.faults.length });
  return end;
}

function jsonBody(value: unknown): PutBody {
  const bytes = Buffer.from(JSON.stringify(value));
  return {
    chunks: [bytes],
    bytes: bytes.length,
    md5: createHash('md5').update(bytes).digest(),
  };
}
