import { CaptureError } from '../errors.ts';

const magic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;
/** More than any block of ours compresses to, even where it does not compress. */
const defaultMaxFrameBytes = 64 * 1024 * 1024;

/**
 * Cuts a stream of concatenated zstd frames into its frames, each whole. Needed to read a stored dump back:
 * Node 24's zlib decompresses the first frame of what it is given and drops the rest, without an error.
 * Skippable frames are left out, unless they are asked for. Holds at most one frame and the chunk it came in.
 * Source: RFC 8878, sections 3.1.1 and 3.1.2.
 */
export class ZstdFrames {
  readonly #maxFrameBytes: number;
  readonly #kept: number | undefined;
  #pending: Buffer = Buffer.alloc(0);
  /** Bytes of the stream before `#pending`. */
  #offset = 0;

  /** @param options.kept magic number of skippable frames that are not left out. */
  constructor(options: { maxFrameBytes?: number; kept?: number } = {}) {
    this.#kept = options.kept;
    this.#maxFrameBytes = options.maxFrameBytes ?? defaultMaxFrameBytes;
  }

  /**
   * Frames that this chunk completes, in order.
   * @throws CaptureError InvalidHprof: not a zstd frame at this offset, or one over the bound.
   */
  push(chunk: Uint8Array): Buffer[] {
    this.#pending =
      this.#pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#pending, chunk]);
    const frames: Buffer[] = [];
    let start = 0;
    for (;;) {
      const bytes = this.#frameBytes(start);
      if (bytes === undefined || start + bytes > this.#pending.length) break;
      const frame = this.#pending.subarray(start, start + bytes);
      const found = frame.readUInt32LE(0);
      if (found === magic || found === this.#kept) frames.push(frame);
      start += bytes;
    }
    this.#pending = this.#pending.subarray(start);
    this.#offset += start;
    if (this.#pending.length > this.#maxFrameBytes)
      throw this.#fault('a frame of over', this.#maxFrameBytes);
    return frames;
  }

  /** Bytes of a frame that was begun and did not end; 0 at the end of a whole stream. */
  get openBytes(): number {
    return this.#pending.length;
  }

  /** Length of the frame at `start`, or `undefined` while its blocks are not all here. */
  #frameBytes(start: number): number | undefined {
    const bytes = this.#pending;
    if (start + 8 > bytes.length) return undefined;
    const found = bytes.readUInt32LE(start);
    if (found - (found % 16) === skippableMagic) return 8 + bytes.readUInt32LE(start + 4);
    if (found !== magic) throw this.#fault('no zstd frame but', found, start);
    const descriptor = bytes.readUInt8(start + 4);
    let at = start + 5 + headerBytes(descriptor);
    for (;;) {
      if (at + 3 > bytes.length) return undefined;
      const header = bytes.readUIntLE(at, 3);
      const type = (header >>> 1) & 3;
      if (type === 3) throw this.#fault('a block of the reserved type', type, at);
      // A run-length block holds one byte, whatever it stands for.
      at += 3 + (type === 1 ? 1 : header >>> 3);
      if ((header & 1) === 1) return at - start + ((descriptor & 4) === 4 ? 4 : 0);
    }
  }

  #fault(what: string, value: number, at = 0): CaptureError {
    const message = `compressed dump has ${what} ${value} at byte ${this.#offset + at}`;
    return new CaptureError('InvalidHprof', message);
  }
}

/** Bytes of a frame header behind its descriptor: window, dictionary id, content size. */
function headerBytes(descriptor: number): number {
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >>> 6] ?? 0;
  return (isSingleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes;
}
