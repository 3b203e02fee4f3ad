import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { endRecord } from '../hprof/end-record.ts';
import { salvageTail } from '../hprof/salvage.ts';
import { CaptureError } from '../errors.ts';
import { defaultBlockBytes, minPartBytes } from './ticket.ts';

/** A record's length is an unsigned 32-bit number: no more than this can be missing of one. */
export const maxRecordBytes = 0xffff_ffff;
/** How much of an object's end is searched for the last frame. The agent's is at most as long. */
export const maxEndFrameBytes = 1_024;

const compress = (raw: Uint8Array): Buffer =>
  zstdCompressSync(raw, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });

/**
 * The last part of a dump that was cut: zeros for the rest of the open record, then the end record in a
 * frame of its own. One compressed block of zeros is repeated, so that 2 GiB of them cost 75 KiB and no time.
 * @param remainingBytes of the record that the last stored part ends in, 0 at a boundary.
 */
export function endFrames(remainingBytes: number): { body: Buffer; endFrameBytes: number } {
  if (remainingBytes > maxRecordBytes) {
    throw new CaptureError(
      'InvalidHprof',
      `${remainingBytes} bytes remain of a record; accepted are at most ${maxRecordBytes}`,
    );
  }
  const tail = salvageTail(remainingBytes);
  const frames = zeroFrames(tail.zeroBytes);
  const endFrame = compress(tail.endRecord);
  const body = Buffer.concat([...frames, endFrame]);
  // 1,024 blocks of 147 bytes: far from the size at which a later run could take it for the agent's part.
  if (body.byteLength >= minPartBytes) throw new Error('the end of a dump is larger than a part');
  return { body, endFrameBytes: endFrame.byteLength };
}

/** Frames of so many zeros. */
export function zeroFrames(zeroBytes: number): Buffer[] {
  const frames: Buffer[] = [];
  const wholeBlocks = Math.floor(zeroBytes / defaultBlockBytes);
  if (wholeBlocks > 0) {
    const block = compress(Buffer.alloc(defaultBlockBytes));
    for (let count = 0; count < wholeBlocks; count += 1) frames.push(block);
  }
  const restBytes = zeroBytes % defaultBlockBytes;
  if (restBytes > 0) frames.push(compress(Buffer.alloc(restBytes)));
  return frames;
}

/** Whether these bytes are one zstd frame that holds the end record and nothing else. */
export function isEndFrame(frame: Uint8Array): boolean {
  try {
    // Node stops at the end of a frame and says nothing of what follows (measured on 24.21).
    const { buffer, engine } = zstdDecompressSync(frame, {
      maxOutputLength: 4 * endRecord.byteLength,
      info: true,
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } };
    return buffer.equals(endRecord) && engine.bytesWritten === frame.byteLength;
  } catch {
    return false;
  }
}

/** Little endian 0xFD2FB528, RFC 8878 section 3.1.1. */
const frameMagic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/**
 * Size of the frame with the end record at an object's end, or `undefined` when there is none.
 * @param tail the object's last bytes, at most `maxEndFrameBytes` of them.
 */
export function findEndFrame(tail: Uint8Array): number | undefined {
  const bytes = Buffer.from(tail.buffer, tail.byteOffset, tail.byteLength);
  // Nine bytes and a checksum hold no second magic number: the last one begins the last frame, or none does.
  const start = bytes.lastIndexOf(frameMagic);
  return start >= 0 && isEndFrame(bytes.subarray(start)) ? bytes.byteLength - start : undefined;
}
