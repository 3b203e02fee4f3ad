import type { FileHandle } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { CaptureError, messageOf } from '../errors.ts';
import { remainingRanges } from '../hprof/merge-order.ts';
import { parseHeapDumpReply } from '../jvm/diagnostic-replies.ts';
import type { AttachReply } from '../jvm/attach-protocol.ts';
import { inside, openRegularFile, systemCode } from './container-path.ts';
import type { FrameStream } from './frame-stream.ts';
import { SegmentFiles } from './segment-files.ts';

const pollMilliseconds = 10;
/** How long a JVM whose answer broke off may take to be gone. */
const goneWaitMilliseconds = 2_000;
const aliveCheckMilliseconds = 500;
/** Without an answer to wait for, the file of a JVM that still runs may only rest so long. */
const brokenConnectionSeconds = 10;

export type DumpStream = Pick<
  FrameStream,
  'space' | 'filled' | 'continueWithSegment' | 'ended' | 'firstSegmentOffset'
>;

export interface FollowOptions {
  readonly directory: FileHandle;
  readonly fileName: string;
  readonly jvmUid: number;
  readonly stream: DumpStream;
  /** Whether the JVM may write segment files: JDK ≥ 22, or not known. */
  readonly segmented: boolean;
  /** Settles when the JVM has answered the dump command, or the connection broke. */
  readonly reply: Promise<AttachReply>;
  readonly jvmRuns: () => Promise<boolean>;
  /** Asked all along; a reason ends the following. */
  readonly stopReason: () => CaptureError | undefined;
  /** Longest time in which nothing may grow while the JVM runs and has not answered. */
  readonly stallSeconds: number;
  readonly onBytes: (bytes: number) => void;
  /** Gives the dump's file once it is open, and `undefined` before it is closed. */
  readonly onBase?: (file: FileHandle | undefined) => void;
}

/** How the following ended. `whole` is the only good one: the unbroken chain up to the JVM's end record. */
export interface FollowEnd {
  readonly whole: boolean;
  /** Why it is not whole. */
  readonly fault?: CaptureError;
}

/**
 * Follows the dump while the JVM writes it, strictly forward, and hands every byte to the stream. Judges by
 * bytes alone: the JVM's answer only says when no more will come. Of a JVM ≥ 22 that dies before
 * its segments are merged, the rest is read from the segments.
 * @throws what the stream threw (an upload that failed for good).
 */
export async function followDump(options: FollowOptions): Promise<FollowEnd> {
  const watch = new ReplyWatch(options.reply);
  const segments = new SegmentFiles(options.directory, options.fileName);
  let base: FileHandle | undefined;
  try {
    const opened = await openBase(options, watch);
    if (opened instanceof CaptureError) return { whole: false, fault: opened };
    base = opened;
    options.onBase?.(base);
    if (options.segmented) segments.watch();
    const { position, fault } = await readBase(options, watch, base, segments);
    if (options.stream.ended) return { whole: true };
    await segments.stop();
    if (segments.count > 0) await readSegments(options, position, segments);
    return { whole: false, fault: fault ?? (await notWhole(options, watch)) };
  } catch (error) {
    if (error instanceof CaptureError && error.code === 'InvalidHprof') {
      return { whole: false, fault: error };
    }
    throw error;
  } finally {
    await segments.close();
    options.onBase?.(undefined);
    await base?.close();
  }
}

/** Remembers how the reply settled, so that a loop can ask without waiting. */
class ReplyWatch {
  settled = false;
  reply: AttachReply | undefined;
  error: unknown;

  constructor(reply: Promise<AttachReply>) {
    reply.then(
      (value) => {
        this.settled = true;
        this.reply = value;
      },
      (error: unknown) => {
        this.settled = true;
        this.error = error;
      },
    );
  }

  /** The JVM said how its dump went. */
  get conclusive(): boolean {
    return this.reply !== undefined && parseHeapDumpReply(this.#text).said !== 'unknown';
  }

  get #text(): string {
    return Buffer.from(this.reply?.output ?? []).toString();
  }

  get words(): string {
    if (this.reply === undefined) return messageOf(this.error, 300);
    const text = this.#text;
    return JSON.stringify(text.replace(/\s+/g, ' ').trim().slice(0, 300));
  }
}

/** Ends a wait on a file that rests: by the JVM's answer, its end, the stop, or the stall. */
class RestTimer {
  readonly #options: FollowOptions;
  readonly #watch: ReplyWatch;
  #lastGrowth = performance.now();
  #lastAliveCheck = performance.now();

  constructor(options: FollowOptions, watch: ReplyWatch) {
    this.#options = options;
    this.#watch = watch;
  }

  grew(): void {
    this.#lastGrowth = performance.now();
  }

  /** `true` when the wait goes on, `false` when no more will come, or the fault that ends it. */
  async check(): Promise<boolean | CaptureError> {
    const stop = this.#options.stopReason();
    if (stop) return stop;
    const now = performance.now();
    const connectionBroke = this.#watch.settled && this.#watch.reply === undefined;
    if (connectionBroke || now - this.#lastAliveCheck > aliveCheckMilliseconds) {
      this.#lastAliveCheck = now;
      if (!(await this.#options.jvmRuns())) return false;
    }
    const limit = connectionBroke ? brokenConnectionSeconds : this.#options.stallSeconds;
    if (now - this.#lastGrowth < limit * 1_000) return true;
    return new CaptureError(
      'DumpFailed',
      connectionBroke
        ? `the JVM runs but broke the connection off: ${this.#watch.words}`
        : `the dump did not grow for ${limit} s and the JVM did not answer: it may never have reached a safepoint`,
    );
  }
}

/** Opens the file as soon as it is there; a fault when the JVM answered or ended without creating it. */
async function openBase(
  options: FollowOptions,
  watch: ReplyWatch,
): Promise<FileHandle | CaptureError> {
  const timer = new RestTimer(options, watch);
  for (;;) {
    const answered = watch.reply !== undefined;
    try {
      const { file, stats } = await openRegularFile(inside(options.directory, options.fileName));
      if (stats.uid === options.jvmUid) return file;
      await file.close();
      return new CaptureError('DumpFailed', `the dump file belongs to uid ${stats.uid}`);
    } catch (error) {
      if (error instanceof CaptureError) return error;
      if (systemCode(error) !== 'ENOENT') {
        const cause = systemCode(error) ?? 'unknown';
        return new CaptureError('DumpFailed', `the dump file cannot be opened (${cause})`);
      }
    }
    const verdict = answered ? false : await timer.check();
    if (verdict === false) return noFile(options, watch);
    if (verdict !== true) return verdict;
    await pause(pollMilliseconds);
  }
}

async function readBase(
  options: FollowOptions,
  watch: ReplyWatch,
  base: FileHandle,
  segments: SegmentFiles,
): Promise<{ position: number; fault?: CaptureError }> {
  const { stream, stopReason, onBytes } = options;
  const timer = new RestTimer(options, watch);
  let position = 0;
  let segmentBytes = 0;
  let jvmEnded = false;
  for (;;) {
    // Read before the file: what the JVM wrote before it answered or ended must be seen by this very read.
    const final = jvmEnded || watch.reply !== undefined;
    const stop = stopReason();
    if (stop) return { position, fault: stop };
    const space = await stream.space();
    const { bytesRead } = await base.read(space, 0, space.length, position);
    if (bytesRead > 0) {
      timer.grew();
      position += bytesRead;
      onBytes(bytesRead);
      stream.filled(bytesRead);
      const mergeStart = stream.firstSegmentOffset;
      if (mergeStart !== undefined && segments.count > 0) {
        await segments.releaseMerged(mergeStart, position);
      }
      continue;
    }
    if (final || stream.ended) return { position };
    if (segments.totalBytes > segmentBytes) timer.grew();
    segmentBytes = segments.totalBytes;
    const verdict = await timer.check();
    if (typeof verdict === 'object') return { position, fault: verdict };
    if (verdict) await pause(pollMilliseconds);
    else jvmEnded = true;
  }
}

/** What the base does not have: of a JVM that died, or whose merge failed for want of space. */
async function readSegments(
  { stream, stopReason, onBytes }: FollowOptions,
  basePosition: number,
  segments: SegmentFiles,
): Promise<void> {
  const mergeStart = stream.firstSegmentOffset;
  const ranges = remainingRanges(
    {
      baseBytes: basePosition,
      segmentBytes: segments.bytes,
      ...(mergeStart !== undefined && { baseFirstSegmentOffset: mergeStart }),
    },
    basePosition,
  );
  for (const { file, startBytes, endBytes } of ranges) {
    if (file === 'base') continue;
    if (startBytes === 0) await stream.continueWithSegment();
    for (let at = startBytes; at < endBytes;) {
      if (stopReason()) return;
      const space = await stream.space();
      const bytes = await segments.read(file, space.subarray(0, endBytes - at), at);
      if (bytes === 0) return;
      at += bytes;
      onBytes(bytes);
      stream.filled(bytes);
    }
  }
}

async function noFile(options: FollowOptions, watch: ReplyWatch): Promise<CaptureError> {
  if (watch.reply !== undefined) {
    return new CaptureError('DumpFailed', `the JVM wrote no dump file; it said ${watch.words}`);
  }
  return (await options.jvmRuns())
    ? new CaptureError('DumpFailed', `the JVM wrote no dump file: ${watch.words}`)
    : new CaptureError('DumpFailed', 'the JVM ended before it had begun its dump');
}

async function notWhole(options: FollowOptions, watch: ReplyWatch): Promise<CaptureError> {
  // The answer of JDK ≥ 24 comes while the dump runs, so an answer that broke off looks like one. A JVM that is
  // killed closes its connections before its process is gone.
  for (let wait = 0; wait < goneWaitMilliseconds && !watch.conclusive; wait += pollMilliseconds) {
    if (!(await options.jvmRuns())) {
      return new CaptureError('DumpFailed', 'the JVM ended before it had finished its dump');
    }
    await pause(pollMilliseconds);
  }
  return new CaptureError('DumpFailed', `the dump has no end record; the JVM said ${watch.words}`);
}
