import type { Manifest } from '../capture/manifest.ts';
import type { Ticket } from '../capture/ticket.ts';
import { CaptureError } from '../errors.ts';
import { firstParallelDumpMajor, heapDumpCommand } from '../jvm/diagnostic-commands.ts';
import type { Logger } from '../log.ts';
import type { AttachedJvm } from './attach.ts';
import { findDumpPlace, type DumpPlace } from './dump-place.ts';
import type { DumpUpload, OnDurable } from './dump-upload.ts';
import { followDump, type FollowEnd } from './follow.ts';
import type { JvmReach } from './jvm-reach.ts';
import { JvmRelease } from './jvm-release.ts';
import type { ProcessFacts } from './process-facts.ts';
import { forbidLateDump, watchAnswers } from './late-dump.ts';
import type { LiveTicket } from './live-ticket.ts';
import { sealedObjectOf } from './seal-stored.ts';
import type { ProgressReporter } from './progress.ts';
import { uploadTelling, type ToldUpload } from './upload-progress.ts';
import type { Pace, ShapeSizes } from './work-plan.ts';
import { stopReason } from './stop-reason.ts';

type DumpResult = NonNullable<Manifest['dump']>;

export interface HeapDumpOptions {
  readonly ticket: Ticket;
  readonly live: Pick<LiveTicket, 'put' | 'morePartUrls'>;
  readonly order: NonNullable<Ticket['heapDump']>;
  /** In place of the order's own. */
  readonly sizes: ShapeSizes;
  readonly pace: Pace;
  readonly reach: Pick<JvmReach, 'runs' | 'rootPath'>;
  readonly jvm: ProcessFacts;
  readonly attached: AttachedJvm;
  readonly jdkMajor?: number;
  readonly heapUsedBytes?: number;
  /** Aborted, with the reason, when the following has to end so that the rest fits before the deadline. */
  readonly stop: AbortSignal;
  /** Milliseconds since 1970: parts that are not stored by then are given up. */
  readonly partsDeadline: number;
  readonly stallSeconds: number;
  readonly progress: ProgressReporter;
  readonly log: Logger;
  readonly onTime: (
    step: 'dumpStartTime' | 'firstByteTime' | 'lastByteTime' | 'durableTime',
  ) => void;
  /**
   * Is told, while the dump is followed, that everything of one of its files up to this offset is stored in the
   * bucket and is not read again. The file is open for reading only, and for no longer than the call.
   */
  readonly onDurable?: OnDurable;
  /** Is told, once, that the JVM has written its dump and that the rest is read from a file that is held open. */
  readonly onJvmReleased?: (() => void) | undefined;
}

/** `dump` is stored whole, perhaps with a fault; or not, and then `storedPartCount` parts lie there without it. */
export type HeapDumpOutcome =
  | {
      readonly dump: DumpResult;
      readonly fault?: CaptureError;
      /** The JVM still writes what is not followed any more. */
      readonly goesOn?: true;
    }
  | {
      readonly dump?: undefined;
      readonly fault: CaptureError;
      readonly storedPartCount: number;
    };

/**
 * Lets the JVM write a dump into a checked place, and stores it while it grows. Whatever the JVM got to write
 * is made parseable and stored. The JVM's files are removed in the end, also when the JVM is gone.
 */
export async function saveHeapDump(options: HeapDumpOptions): Promise<HeapDumpOutcome> {
  let place: DumpPlace;
  try {
    place = await findPlace(options);
  } catch (error) {
    if (error instanceof CaptureError) return { fault: error, storedPartCount: 0 };
    throw error;
  }
  const attached = watchAnswers(options.attached);
  try {
    const outcome = await dumpInto(place, { ...options, attached });
    if (outcome.dump === undefined || outcome.dump.endRecord) return outcome;
    if (!attached.owesAnswer) return outcome;
    return (await options.reach.runs(options.jvm)) ? { ...outcome, goesOn: true } : outcome;
  } finally {
    const removedCount = await place.remove();
    if (removedCount === 0 && attached.owesAnswer) await forbidLateDump(place);
    options.log.info('dump files removed', { removedCount });
    await place.close();
  }
}

function findPlace(options: HeapDumpOptions): Promise<DumpPlace> {
  const { order, ticket, reach, jvm, jdkMajor, heapUsedBytes } = options;
  return findDumpPlace({
    rootPath: reach.rootPath(jvm),
    jvm,
    directories: order.directories,
    ...(order.sizeLimits && { sizeLimits: order.sizeLimits }),
    fileName: `heapcatch-${ticket.captureId}-${ticket.fencingToken}.hprof`,
    ...spaceNeeds(order.expectedBytes, {
      heapUsedBytes,
      jdkMajor,
      skipMerge: order.skipMerge === true,
      holes: options.onDurable !== undefined,
    }),
  });
}

/** Less would not hold what the JVM writes while the first parts are compressed and sent. */
const leastWindowBytes = 512 * 1024 * 1024;
/** Measured: a fifth of a dump lay on the disk where the agent kept up with the JVM, all of it where it could not. */
const windowShare = 0.5;

/**
 * Free space to ask for: 1.4 times the used heap and 64 MiB, where the JVM told it and it is less than the
 * estimate. JDK ≥ 22 needs twice that, since it copies its segments into the base before it removes them,
 * unless it does not get to do so.
 * With holes a window is enough for one of the copies, as long as the bucket takes the dump about as fast as
 * the JVM writes it; where it does not, the disk runs full and what arrived is salvaged.
 */
export function spaceNeeds(
  expectedBytes: number,
  jvm: {
    heapUsedBytes: number | undefined;
    jdkMajor: number | undefined;
    skipMerge?: boolean;
    holes: boolean;
  },
): { neededBytes: number; neededWithHolesBytes?: number } {
  const byHeap =
    jvm.heapUsedBytes === undefined
      ? Infinity
      : Math.ceil(jvm.heapUsedBytes * 1.4) + 64 * 1024 * 1024;
  const merges = (jvm.jdkMajor ?? 0) >= firstParallelDumpMajor && jvm.skipMerge !== true;
  const copies = merges ? 2 : 1;
  const dumpBytes = Math.min(expectedBytes, byHeap);
  const neededBytes = dumpBytes * copies;
  if (!jvm.holes) return { neededBytes };
  const windowBytes = Math.max(leastWindowBytes, Math.ceil(dumpBytes * windowShare));
  const neededWithHolesBytes = Math.min(neededBytes, dumpBytes * (copies - 1) + windowBytes);
  return { neededBytes, neededWithHolesBytes };
}

async function dumpInto(place: DumpPlace, options: HeapDumpOptions): Promise<HeapDumpOutcome> {
  const { jdkMajor } = options;
  const writesSegments = jdkMajor === undefined || jdkMajor >= firstParallelDumpMajor;
  // One, since the JVM is not asked for more dump threads.
  const { upload, report } = createUpload(options, writesSegments ? 1 : 0);
  try {
    const end = await follow(place, upload, options, report);
    options.onTime('lastByteTime');
    if (upload.recordCount === 0) {
      const fault = end.fault ?? new CaptureError('DumpFailed', 'the dump file is empty');
      return { fault, storedPartCount: 0 };
    }
    const stored = await upload.finish(end.whole);
    options.onTime('durableTime');
    return { dump: { codec: 'zstd', ...stored }, ...(end.fault && { fault: end.fault }) };
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error;
    await upload.settle();
    return { fault: error, storedPartCount: upload.storedPartCount };
  }
}

async function follow(
  place: DumpPlace,
  upload: DumpUpload,
  options: HeapDumpOptions,
  report: () => void,
): Promise<FollowEnd> {
  const { attached, jdkMajor, stop, jvm, reach, log, onTime } = options;
  const command = heapDumpCommand(place.jvmPath, { jdkMajor: jdkMajor ?? 0 });
  const given = new AbortController();
  const signal = AbortSignal.any([stop, given.signal]);
  const timeoutSeconds = Math.max(1, Math.ceil((options.partsDeadline - Date.now()) / 1_000));
  onTime('dumpStartTime');
  const reply = attached.run(command, { timeoutSeconds, signal, maxBytes: 4_096 });
  if (options.pace === 'heldBack' && !place.windowed) upload.holdUntil(reply);
  let seenBytes = 0;
  const release = new JvmRelease(reply, () => options.onJvmReleased?.());
  try {
    const end = await followDump({
      directory: place.directory,
      fileName: place.fileName,
      jvmUid: jvm.uid,
      streams: upload,
      skipMerge: options.order.skipMerge === true,
      reply,
      jvmRuns: () => reach.runs(jvm),
      stopReason: () => stopReason(stop, upload),
      stallSeconds: options.stallSeconds,
      onBytes: (bytes) => {
        if (seenBytes === 0) {
          onTime('firstByteTime');
          log.info('dump begun');
        }
        release.opened();
        seenBytes += bytes;
        report();
      },
    });
    log.info('dump followed', { whole: end.whole, fileBytes: seenBytes, fault: end.fault });
    return end;
  } finally {
    given.abort(new CaptureError('DumpFailed', 'the dump is not followed any more'));
  }
}

/** Sends a dump by the ticket's URLs, and keeps the progress object's account of it; `report` tells of it as it is now. */
export function createUpload(
  options: Pick<
    HeapDumpOptions,
    | 'ticket'
    | 'live'
    | 'order'
    | 'sizes'
    | 'progress'
    | 'log'
    | 'stop'
    | 'partsDeadline'
    | 'onDurable'
  >,
  segmentCount: number,
): ToldUpload {
  const { live, order, progress, log, stop, partsDeadline, onDurable } = options;
  return uploadTelling(
    progress,
    {
      ...options.sizes,
      partCount: order.partUrls.length,
      expectedBytes: order.expectedBytes,
      redact: order.redact,
      sealed: sealedObjectOf(options.ticket, 'heapDump'),
      segmentCount,
      morePartNumbers: (partCount) => live.morePartUrls(partCount, stop),
      putPart: (partNumber, body) =>
        live.put(({ heapDump }) => heapDump?.partUrls[partNumber - 1], body, {
          deadline: partsDeadline,
          onRetry: (attempt, reason) =>
            log.warn('part upload failed, trying again', { partNumber, attempt, reason }),
        }),
      ...(onDurable && { onDurable }),
    },
    ({ partNumber, bytes }) => log.debug('part stored', { partNumber, bytes }),
  );
}
