import { crc32 } from 'node:zlib';
import { CaptureError } from '../errors.ts';

/** `HCR1`, big endian as all numbers of a frame. */
export const relayMagic = 0x48435231;
/** Magic (4), stream (1), offset (8), length (4); behind the bytes comes their CRC-32 with the head's (4). */
export const relayHeadBytes = 17;
const checksumBytes = 4;
/** The agent's own are of 128 KiB. */
export const maxRelayFrameBytes = 256 * 1024;

export const relayStreams = ['records', 'dump', 'end'] as const;
export type RelayStream = (typeof relayStreams)[number];

export interface RelayFrame {
  readonly stream: RelayStream;
  /** Of its bytes in its stream. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/**
 * Cuts the output of one relay (Relay.java) into its frames, each with a checksum that holds. Bytes come from a
 * container that can send anything: at most one frame is kept. Its bytes are a view that lives until the next push.
 */
export class RelayFrames {
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** Nothing can be told of less: who sends byte by byte must not have all of them joined each time. */
  #neededBytes = relayHeadBytes;

  /** @throws CaptureError RelayFailed (retryable): what came is no frame, so that nothing behind it can be trusted. */
  *push(chunk: Uint8Array): Generator<RelayFrame> {
    this.#chunks.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    this.#bytes += chunk.byteLength;
    if (this.#bytes < this.#neededBytes) return;
    const [only, ...others] = this.#chunks;
    const all = only !== undefined && others.length === 0 ? only : Buffer.concat(this.#chunks);
    let start = 0;
    for (;;) {
      const frame = readFrame(all, start);
      if (typeof frame === 'number') {
        this.#neededBytes = frame;
        break;
      }
      start += relayHeadBytes + frame.bytes.length + checksumBytes;
      yield frame;
    }
    // A copy: a view would keep the whole chunk.
    this.#chunks = [Buffer.from(all.subarray(start))];
    this.#bytes = all.length - start;
  }
}

/** @returns how many bytes are needed to tell more, while it is not whole. */
function readFrame(all: Buffer, start: number): RelayFrame | number {
  if (all.length - start < relayHeadBytes) return relayHeadBytes;
  const magic = all.readUInt32BE(start);
  if (magic !== relayMagic) throw refused(`begins with 0x${magic.toString(16)}`);
  const streamNumber = all.readUInt8(start + 4);
  const stream = relayStreams[streamNumber];
  if (stream === undefined) throw refused(`is of stream ${streamNumber}; accepted are 0 to 2`);
  const offset = Number(all.readBigUInt64BE(start + 5));
  if (!Number.isSafeInteger(offset)) throw refused(`has the offset ${offset}`);
  const length = all.readUInt32BE(start + 13);
  if (length > maxRelayFrameBytes) {
    throw refused(`has ${length} bytes; accepted are at most ${maxRelayFrameBytes}`);
  }
  const end = start + relayHeadBytes + length;
  if (all.length < end + checksumBytes) return relayHeadBytes + length + checksumBytes;
  if (crc32(all.subarray(start, end)) !== all.readUInt32BE(end)) {
    throw refused(`at offset ${offset} of ${stream} has another checksum than its bytes`);
  }
  return { stream, offset, bytes: all.subarray(start + relayHeadBytes, end) };
}

function refused(what: string): CaptureError {
  return new CaptureError('RelayFailed', `a frame from the container ${what}`, {
    retryable: true,
  });
}
