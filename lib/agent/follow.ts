import type { FileHandle } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { CaptureError, messageOf } from '../errors.ts';
import type { AttachReply } from '../jvm/attach-protocol.ts';
import { inside, openRegularFile, systemCode } from './container-path.ts';
import type { DumpStream, DumpStreams } from './dump-upload.ts';
import { ReplyWatch, RestTimer, type RestOptions } from './rest-timer.ts';
import { SegmentFiles } from './segment-files.ts';

const pollMilliseconds = 10;
const pageBytes = 4_096;
/** How long a JVM whose answer broke off may take to be gone. */
const goneWaitMilliseconds = 2_000;

export interface FollowOptions extends RestOptions {
  readonly directory: FileHandle;
  readonly fileName: string;
  readonly jvmUid: number;
  readonly streams: DumpStreams;
  /** Settles when the JVM has answered the dump command, or the connection broke. */
  readonly reply: Promise<AttachReply>;
  readonly onBytes: (bytes: number) => void;
  /**
   * Takes the name of a JVM's only segment away as soon as it is open: its merge then fails at once, and with it the
   * second stall. Until the agent has stored it, the dump exists in the agent's open file alone.
   */
  readonly skipMerge?: boolean;
}

/** How the following ended. */
export interface FollowEnd {
  /** The streams are the whole dump: the unbroken chain up to the JVM's end record, or all segments and a merge begun. */
  readonly whole: boolean;
  /** Why it is not whole. */
  readonly fault?: CaptureError;
}

/**
 * Follows the dump while the JVM writes it, and hands every byte to its stream. Judges by bytes alone: the JVM's
 * answer only says when no more will come. Of a JVM ≥ 22 the base and its segments are followed at once, and what
 * the JVM merges into the base is not read again, unless a segment was not seen in time.
 * @throws what a stream threw (an upload that failed for good).
 */
export async function followDump(options: FollowOptions): Promise<FollowEnd> {
  const watch = new ReplyWatch(options.reply);
  // Of several segments, one that was never seen could not be told from none.
  const removeName = options.skipMerge === true && options.streams.segmentCount === 1;
  const segments = new SegmentFiles(options.directory, options.fileName, { removeName });
  let base: FileHandle | undefined;
  try {
    const opened = await openBase(options, watch);
    if (opened instanceof CaptureError) return { whole: false, fault: opened };
    base = opened;
    if (options.streams.segmentCount > 0) segments.watch();
    return await new Following(options, watch, base, segments).run();
  } catch (error) {
    if (error instanceof CaptureError && error.code === 'InvalidHprof') {
      return { whole: false, fault: error };
    }
    throw error;
  } finally {
    options.streams.closeFiles();
    await segments.close();
    await base?.close();
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

type ReadEnd = 'mergeBegun' | 'ended' | CaptureError;

/** One dump's base and segments, each read by a loop of its own. */
class Following {
  readonly #options: FollowOptions;
  readonly #watch: ReplyWatch;
  readonly #base: FileHandle;
  readonly #segments: SegmentFiles;
  readonly #followed: { stream: DumpStream; position: number }[] = [];
  readonly #running: Promise<void>[] = [];
  #basePosition = 0;
  /** No segment gets any more bytes. */
  #segmentsFinal = false;
  #stopped = false;
  #failure: { error: unknown } | undefined;

  constructor(options: FollowOptions, watch: ReplyWatch, base: FileHandle, segments: SegmentFiles) {
    this.#options = options;
    this.#watch = watch;
    this.#base = base;
    this.#segments = segments;
  }

  async run(): Promise<FollowEnd> {
    const stream = this.#options.streams.openBase(this.#base);
    try {
      const end = await this.#readBase(stream);
      if (end === 'mergeBegun') return await this.#followMerged(stream);
      if (end === 'ended' && stream.ended) return { whole: true };
      await this.#segments.stop();
      await this.#finishSegments();
      if (end === 'ended' && this.#isWholeWithoutMerge(stream)) return { whole: true };
      const fault = end === 'ended' ? await notWhole(this.#options, this.#watch) : end;
      return { whole: false, fault };
    } finally {
      this.#stopped = true;
      await Promise.all(this.#running);
    }
  }

  /** Reads the base up to its end, or to where the JVM began to merge segments into it. */
  #readBase(stream: DumpStream): Promise<ReadEnd> {
    let flushed = false;
    return this.#read(stream, 0, {
      afterRead: () =>
        this.#options.streams.segmentCount > 0 && stream.firstSegmentOffset !== undefined,
      atRest: async () => {
        await this.#followSegments();
        // When the first segment is there, the names are; but for a last buffer that the JVM keeps until all
        // segments are written. A dump of whose base nothing is stored could not be salvaged.
        if (this.#followed.length === 0 || flushed) return;
        flushed = true;
        await stream.flush();
      },
    });
  }

  /**
   * Of a JVM that could not merge its only segment: it writes the base's last buffer when the segment was written
   * without an error, and only then. A write that is cut, by a full disk or a kill, ends at a multiple of a page.
   */
  #isWholeWithoutMerge(stream: DumpStream): boolean {
    return (
      this.#segments.nameRemoved &&
      this.#segments.files.length === 1 &&
      this.#watch.conclusive &&
      stream.onBoundary &&
      this.#basePosition % pageBytes !== 0 &&
      this.#followed.every((segment) => segment.stream.onBoundary)
    );
  }

  /** The merge has begun: every segment has its size, and the base nothing more of its own. */
  async #followMerged(stream: DumpStream): Promise<FollowEnd> {
    const mergeStart = stream.firstSegmentOffset ?? 0;
    stream.endBeforeSegments();
    await stream.flush(); // Where the base never rested, its header is not sent yet: a dump is nothing without.
    const count = await this.#segments.countAll();
    await this.#finishSegments();
    const stop = this.#options.stopReason();
    if (stop) return { whole: false, fault: stop };
    const broken = this.#followed.findIndex((segment) => !segment.stream.onBoundary);
    if (broken >= 0) {
      const message = `segment p${broken} ends inside a record though the JVM has begun to merge`;
      return { whole: false, fault: new CaptureError('InvalidHprof', message) };
    }
    if (count === this.#followed.length) return { whole: true };
    const segmentBytes = this.#followed.reduce((sum, { position }) => sum + position, 0);
    return this.#followRest(mergeStart + segmentBytes);
  }

  /** Reads what the JVM merged behind the segments that were followed. */
  async #followRest(offset: number): Promise<FollowEnd> {
    const rest = await this.#options.streams.openRest(this.#base, offset);
    const end = await this.#read(rest, offset, {});
    if (end === 'ended' && rest.ended) return { whole: true };
    const fault = end instanceof CaptureError ? end : await notWhole(this.#options, this.#watch);
    return { whole: false, fault };
  }

  /** Reads the base from a position on, strictly forward. `afterRead` ends it before its end. */
  async #read(
    stream: DumpStream,
    start: number,
    hooks: { afterRead?: () => boolean; atRest?: () => Promise<void> },
  ): Promise<ReadEnd> {
    const { stopReason, onBytes } = this.#options;
    const timer = new RestTimer(this.#options, this.#watch);
    let [position, segmentBytes, jvmEnded, grown] = [start, 0, false, false];
    for (;;) {
      // Read before the file: what the JVM wrote before it answered or ended must be seen by this very read.
      const final = jvmEnded || this.#watch.reply !== undefined;
      const stop = stopReason();
      if (stop) return stop;
      this.#throwFailure();
      const space = await stream.space();
      // Where the bucket holds the reader back, the file does not rest.
      if (grown) timer.grew();
      const { bytesRead } = await this.#base.read(space, 0, space.length, position);
      grown = bytesRead > 0;
      if (grown) {
        position += bytesRead;
        this.#basePosition = position;
        onBytes(bytesRead);
        stream.filled(bytesRead);
        if (hooks.afterRead?.() === true) return 'mergeBegun';
        continue;
      }
      if (final || stream.ended) return 'ended';
      await hooks.atRest?.();
      if (this.#segments.totalBytes > segmentBytes) timer.grew();
      segmentBytes = this.#segments.totalBytes;
      const verdict = await timer.check();
      if (typeof verdict === 'object') return verdict;
      if (verdict) await pause(pollMilliseconds);
      else jvmEnded = true;
    }
  }

  /** Takes up the segments that have appeared, in their order. */
  async #followSegments(): Promise<void> {
    const { streams } = this.#options;
    const files = this.#segments.files.slice(0, streams.segmentCount);
    for (const file of files.slice(this.#followed.length)) {
      const segment = { stream: await streams.openSegment(file), position: 0 };
      this.#followed.push(segment);
      const running = this.#readSegment(file, segment).catch((error: unknown) => {
        this.#failure ??= { error };
      });
      this.#running.push(running);
    }
  }

  async #readSegment(
    file: FileHandle,
    segment: { stream: DumpStream; position: number },
  ): Promise<void> {
    while (!this.#stopped && !this.#options.stopReason()) {
      // Read before the file, as in #read.
      const final = this.#segmentsFinal;
      const space = await segment.stream.space();
      const { bytesRead } = await file.read(space, 0, space.length, segment.position);
      if (bytesRead > 0) {
        segment.position += bytesRead;
        this.#options.onBytes(bytesRead);
        segment.stream.filled(bytesRead);
      } else if (final) return;
      else await pause(pollMilliseconds);
    }
  }

  /** Reads the segments to their ends, which no longer move. */
  async #finishSegments(): Promise<void> {
    await this.#followSegments();
    this.#segmentsFinal = true;
    await Promise.all(this.#running);
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (!this.#failure) return;
    const { error } = this.#failure;
    throw error instanceof Error ? error : new CaptureError('DumpFailed', messageOf(error, 300));
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
