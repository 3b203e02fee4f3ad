import { constants, createZstdCompress, type ZstdCompress } from 'node:zlib';

/** Of every frame: level 1, with a checksum. */
export const zstdParams = {
  [constants.ZSTD_c_compressionLevel]: 1,
  [constants.ZSTD_c_checksumFlag]: 1,
};

/** A block that does not compress becomes this much longer, and gets a header. */
function worstFrameBytes(blockBytes: number): number {
  return blockBytes + (blockBytes >>> 7) + 1_024;
}

/**
 * Makes independent zstd frames of blocks, in order, one at a time, on a thread of Node's pool. It is one context that
 * is used again: zlib's own functions make one for each call, which outlives its use until V8 collects all of its heap.
 */
export class FrameCompressor {
  readonly #context: ZstdCompress;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(blockBytes: number) {
    const frameBytes = worstFrameBytes(blockBytes);
    const options = {
      params: zstdParams,
      // Each write is a frame of its own.
      flush: constants.ZSTD_e_end,
      // Frames are cut out of it one after the other; it is touched only as far as they reach.
      chunkSize: frameBytes,
      // Nobody reads before the frame is whole.
      readableHighWaterMark: 2 * frameBytes,
    };
    this.#context = createZstdCompress(options);
    // Told to whoever waits for the block; an error that nobody listens to would end the process.
    this.#context.on('error', () => undefined);
  }

  /** Reads the block until the promise has settled. */
  compress(block: Uint8Array): Promise<Uint8Array> {
    const frame = this.#tail.then(() => this.#write(block));
    this.#tail = frame.catch(() => undefined);
    return frame;
  }

  /** Frees the context. Call when all frames have come. */
  close(): void {
    this.#context.destroy();
  }

  #write(block: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      this.#context.write(block, (error) => {
        if (error) reject(error);
        else resolve(this.#context.read() as Buffer);
      });
    });
  }
}
