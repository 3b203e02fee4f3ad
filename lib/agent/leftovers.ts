import { setTimeout as pause } from 'node:timers/promises';
import type { Manifest } from '../capture/manifest.ts';
import type { Ticket } from '../capture/ticket.ts';
import { CaptureError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { collectEndFiles } from './end-files.ts';
import type { EvidenceSteps } from './evidence-steps.ts';
import { findJvm } from './find-jvm.ts';
import { findLeftovers, type FoundLeftovers, type Leftover } from './find-leftovers.ts';
import { followDump, type FollowEnd } from './follow.ts';
import { createUpload, type HeapDumpOptions, type HeapDumpOutcome } from './heap-dump.ts';
import { changedFile, removeFiles, segmentsOf } from './leftover-files.ts';
import type { ProcessFacts } from './process-facts.ts';
import { stopReason } from './stop-reason.ts';

export interface LeftoverOptions
  extends
    Omit<EvidenceSteps, 'live'>,
    Pick<
      HeapDumpOptions,
      'ticket' | 'live' | 'stop' | 'partsDeadline' | 'progress' | 'log' | 'onTime'
    > {
  readonly procRoot: string;
  /** Asked once something was found: how large the agent may grow beside that JVM. @throws NotEnoughMemory. */
  readonly settleSizes: (
    jvm: ProcessFacts,
    order: NonNullable<Ticket['heapDump']>,
  ) => Promise<HeapDumpOptions['sizes']>;
}

/** A leftover whose every byte is stored. */
export interface StoredLeftover {
  /** Removes the file and its segments, each unless it has changed since it was read. Never throws. */
  remove(log: Logger): Promise<void>;
  close(): Promise<void>;
}

export interface CollectedLeftover {
  readonly outcome?: HeapDumpOutcome;
  readonly file?: NonNullable<Manifest['leftover']>;
  /** Absent when something of it was not stored: then it stays. */
  readonly stored?: StoredLeftover;
  readonly faults: readonly CaptureError[];
}

/** A JVM behind a start script is there a moment after the container. */
const jvmWaitMilliseconds = 15_000;
const jvmPollMilliseconds = 250;
/** What HotSpot exits with under -XX:+ExitOnOutOfMemoryError. Source: debug.cpp of OpenJDK. */
const outOfMemoryExitCode = 3;
const maxNamedCount = 5;

/**
 * Stores what an ended life of the container left in its volumes: its logs, then the newest dump; of dumps at most one,
 * and names the others.
 * That there is none is a normal answer, without a fault, unless the JVM's own word (exit code 3) says that one was
 * written.
 * @throws CaptureError of findJvm, when exit code 3 says that the container held a JVM.
 */
export async function collectLeftover(options: LeftoverOptions): Promise<CollectedLeftover> {
  const { ticket, manifest, log, procRoot } = options;
  const { leftovers: order, heapDump } = ticket;
  if (order === undefined) return { faults: [] };
  const expected = order.termination.exitCode === outOfMemoryExitCode;
  const jvm = await awaitJvm(options).catch((error: unknown) => {
    if (expected || !(error instanceof CaptureError)) throw error;
    log.info('nothing was left that could be told from other files', { reason: error.message });
    return undefined;
  });
  if (jvm === undefined) return { faults: [] };
  manifest.times.jvmFoundTime = new Date().toISOString();
  await collectEndFiles(options, jvm, order);
  if (heapDump === undefined) return { faults: [] };
  const found = await findLeftovers(procRoot, jvm, order);
  const [newest, ...others] = found.leftovers;
  try {
    log.info('volumes looked through', {
      paths: found.leftovers.map(({ path }) => path).slice(0, maxNamedCount),
      passedOver: found.passedOver.slice(0, maxNamedCount),
      cut: found.cut,
    });
    const faults = faultsOf(found, expected);
    if (newest === undefined) return { faults };
    return await store(options, jvm, heapDump, newest, faults).catch(async (error: unknown) => {
      await newest.directory.close();
      throw error;
    });
  } finally {
    const open = new Set(others.map(({ directory }) => directory));
    if (newest) open.delete(newest.directory);
    for (const directory of open) await directory.close();
  }
}

async function awaitJvm({ procRoot, ticket, stop }: LeftoverOptions): Promise<ProcessFacts> {
  const end = Date.now() + jvmWaitMilliseconds;
  for (;;) {
    try {
      return await findJvm(procRoot, { rung: ticket.rung, ...ticket.target });
    } catch (error) {
      const early = error instanceof CaptureError && error.code === 'JvmNotFound';
      if (!early || Date.now() > end || stop.aborted) throw error;
    }
    await pause(jvmPollMilliseconds);
  }
}

function faultsOf(found: FoundLeftovers, expected: boolean): CaptureError[] {
  const { leftovers, passedOver, cut, options, heapDumpPath, heapDumpPathInVolume } = found;
  const faults: CaptureError[] = [];
  const none = leftovers.length === 0;
  if (none && expected && options.onOutOfMemoryError && !heapDumpPathInVolume) {
    const message = `the JVM dumps to ${heapDumpPath}, which is in no writable volume: its dump went with the container; set -XX:HeapDumpPath to an emptyDir`;
    faults.push(new CaptureError('DumpPlaceUnavailable', message));
  }
  const stay = [
    ...leftovers.slice(1).map(({ path, identity }) => `${path} (${identity.bytes} bytes, older)`),
    // Where nothing was found, only what makes a person look is worth an entry.
    ...(none && !expected ? [] : passedOver.map(({ path, reason }) => `${path}: ${reason}`)),
  ];
  if (stay.length > 0) {
    const more = stay.length > maxNamedCount ? `; and ${stay.length - maxNamedCount} more` : '';
    const message = `files that were not collected stay: ${stay.slice(0, maxNamedCount).join('; ')}${more}`;
    faults.push(new CaptureError('LeftoverStays', message));
  }
  if (cut && (expected || !none)) {
    const message = 'the volumes have more entries than are looked at';
    faults.push(new CaptureError('LeftoverStays', message));
  }
  return faults;
}

async function store(
  options: LeftoverOptions,
  jvm: ProcessFacts,
  order: NonNullable<Ticket['heapDump']>,
  leftover: Leftover,
  faults: CaptureError[],
): Promise<CollectedLeftover> {
  const { log, ticket } = options;
  const { directory, fileName, path, identity } = leftover;
  const segments = await segmentsOf(directory, fileName);
  const files = [{ name: fileName, identity }, ...segments.found];
  const bytes = files.reduce((sum, one) => sum + Number(one.identity.bytes), 0);
  const modifiedTime = new Date(Number(identity.modifiedNanoseconds / 1_000_000n)).toISOString();
  log.info('leftover found', { path, bytes, modifiedTime });
  const file = { path: path.slice(0, 1_024), modifiedTime, bytes };
  const { length: segmentCount } = segments.found;
  const sizes = await options.settleSizes(jvm, order);
  const sent = await send({ ...options, order, sizes }, jvm, leftover, segmentCount);
  const { outcome, whole } = sent;
  const complete = sent.complete && !segments.gap;
  if (outcome.fault) {
    faults.push(outcome.fault);
  } else if (!whole && outcome.dump) {
    const message = `${path} has no end record: the JVM ended before its dump did`;
    faults.push(new CaptureError('DumpFailed', message));
  }
  const changed = complete ? await changedFile(directory, files) : undefined;
  if (changed !== undefined) {
    const message = `${changed} changed while it was read: it stays`;
    faults.push(new CaptureError('LeftoverStays', message));
  }
  const removable = complete && changed === undefined && ticket.leftovers !== undefined;
  if (!removable) await directory.close();
  const close = (): Promise<void> => directory.close();
  return {
    outcome,
    file,
    faults,
    ...(removable && {
      stored: { remove: (to) => removeFiles(directory, files, to), close },
    }),
  };
}

interface Sent {
  readonly outcome: HeapDumpOutcome;
  /** Up to the JVM's own end record. */
  readonly whole: boolean;
  /** Nothing of the file is anywhere but stored, a record that was cut apart. */
  readonly complete: boolean;
}

/** The file is read as a dump whose JVM is gone: base and segments to their ends. */
async function send(
  options: LeftoverOptions & Pick<HeapDumpOptions, 'order' | 'sizes'>,
  jvm: ProcessFacts,
  { directory, fileName }: Leftover,
  segmentCount: number,
): Promise<Sent> {
  const { stop, onTime } = options;
  const { upload, report } = createUpload(options, segmentCount);
  const failed = (fault: CaptureError, storedPartCount: number): Sent => ({
    outcome: { fault, storedPartCount },
    whole: false,
    complete: false,
  });
  try {
    let stopped: CaptureError | undefined;
    onTime('dumpStartTime');
    const end = await followDump({
      ...{ directory, fileName, jvmUid: jvm.uid, streams: upload, stallSeconds: 1 },
      reply: Promise.reject(new CaptureError('DumpFailed', 'its JVM has ended')),
      jvmRuns: () => Promise.resolve(false),
      stopReason: () => (stopped ??= stopReason(stop, upload)),
      onBytes: report,
    });
    onTime('lastByteTime');
    const broken = brokenOff(end, stopped);
    if (upload.recordCount === 0) {
      return failed(broken ?? new CaptureError('DumpFailed', 'the dump file is empty'), 0);
    }
    const stored = await upload.finish(end.whole);
    onTime('durableTime');
    return {
      outcome: { dump: { codec: 'zstd', ...stored }, ...(broken && { fault: broken }) },
      whole: end.whole,
      complete: broken === undefined && upload.segmentCount >= segmentCount,
    };
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    await upload.settle();
    return failed(error, upload.storedPartCount);
  }
}

/** What made the reading end before the file did; a file that just ends early is no such thing. */
function brokenOff(
  { fault }: FollowEnd,
  stopped: CaptureError | undefined,
): CaptureError | undefined {
  return stopped ?? (fault?.code === 'InvalidHprof' ? fault : undefined);
}
