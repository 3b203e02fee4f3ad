import { zstdDecompressSync } from 'node:zlib';
import { endRecord } from '../hprof/end-record.ts';
import { CaptureError } from '../errors.ts';
import {
  openFrame,
  readAccount,
  sealedMagic,
  type OpenedFrame,
  type SealedObject,
  type StreamAccount,
} from './sealed-frames.ts';
import { ZstdFrames } from './zstd-frames.ts';

/** Of a ticket's largest blocks. */
const maxPlainFrameBytes = 16 * 1024 * 1024;

/** What a reader saw of one object. */
export interface SealedAccount {
  readonly frameCount: number;
  /** Frames between others that are not there: a salvage had to leave a part out. */
  readonly gapFrameCount: number;
  /**
   * Every frame that the agent encrypted is there, by the agent's own authenticated account at the end, and nothing between
   * them. Not so of an object whose agent died.
   */
  readonly whole: boolean;
  /**
   * Frames that are not encrypted, and authenticated by nothing: the end record, and zeros that fill a record which was
   * cut. Anything else is refused.
   */
  readonly plainFrameCount: number;
}

/**
 * Decrypts a stored object as it streams by, and verifies that its frames are its own and in order: none comes twice, none
 * before an earlier one. Holds at most one frame and the chunk in which it came.
 */
export class SealedReader {
  readonly #object: SealedObject;
  readonly #frames = new ZstdFrames({ kept: sealedMagic });
  /** Data frames of each stream, in the order of the object. */
  readonly #streams: { stream: number; frameCount: number; nextNumber: number }[] = [];
  #account: readonly StreamAccount[] | undefined;
  #plainFrameCount = 0;
  #filled = false;

  constructor(object: SealedObject) {
    this.#object = object;
  }

  /**
   * What the frames hold that this chunk completes: of a heap dump zstd frames, of evidence its text.
   * @throws CaptureError DecryptionFailed: a frame that is not the object's own, or out of order; InvalidHprof: no frames.
   */
  push(chunk: Uint8Array): Buffer[] {
    const opened: Buffer[] = [];
    for (const frame of this.#frames.push(chunk)) {
      if (frame.readUInt32LE(0) === sealedMagic) {
        const one = openFrame(this.#object, frame);
        if (one.kind === 'account') this.#takeAccount(one);
        else opened.push(this.#takeData(one));
      } else {
        opened.push(this.#takePlain(frame));
      }
    }
    return opened;
  }

  /** @throws CaptureError DecryptionFailed: the object ends inside a frame. */
  finish(): SealedAccount {
    if (this.#frames.openBytes > 0) {
      throw fault(`the object ends inside a frame, after ${this.#frames.openBytes} bytes of it`);
    }
    const gaps = this.#streams.map(({ nextNumber, frameCount }) => nextNumber - frameCount);
    return {
      frameCount: this.#streams.reduce((sum, { frameCount }) => sum + frameCount, 0),
      gapFrameCount: gaps.reduce((sum, gap) => sum + gap, 0),
      whole: this.#isWhole(),
      plainFrameCount: this.#plainFrameCount,
    };
  }

  #isWhole(): boolean {
    const accounted = this.#account?.filter(({ frameCount }) => frameCount > 0);
    return (
      !this.#filled &&
      accounted?.length === this.#streams.length &&
      accounted.every(({ stream, frameCount }, index) => {
        const found = this.#streams[index];
        return found?.stream === stream && found.frameCount === frameCount;
      })
    );
  }

  #takeData({ stream, number, bytes }: OpenedFrame): Buffer {
    const last = this.#streams.at(-1);
    const where = `frame ${number} of stream ${stream}`;
    if (this.#account) throw fault(`${where} comes behind the end of the object`);
    if (last?.stream === stream) {
      if (number < last.nextNumber) throw fault(`${where} comes behind ${last.nextNumber - 1}`);
      last.frameCount += 1;
      last.nextNumber = number + 1;
    } else {
      if (last && stream < last.stream) throw fault(`${where} comes behind stream ${last.stream}`);
      this.#streams.push({ stream, frameCount: 1, nextNumber: number + 1 });
    }
    return bytes;
  }

  #takeAccount({ bytes }: OpenedFrame): void {
    if (this.#account) throw fault('the account of the frames comes twice');
    this.#account = readAccount(bytes);
  }

  /** @throws CaptureError DecryptionFailed: bytes that nobody but an attacker or a fault can have put there. */
  #takePlain(frame: Buffer): Buffer {
    this.#plainFrameCount += 1;
    // The agent's only plain frame is the end record, behind its account.
    this.#filled ||= this.#account === undefined;
    let bytes: Buffer;
    try {
      bytes = zstdDecompressSync(frame, { maxOutputLength: maxPlainFrameBytes });
    } catch (cause) {
      throw fault('a frame that is not encrypted cannot be read', cause);
    }
    const accepted =
      this.#object.artifact === 'heapDump' &&
      (bytes.equals(endRecord) || bytes.every((byte) => byte === 0));
    if (!accepted) throw fault('a frame is not encrypted, and neither zeros nor the end record');
    return frame;
  }
}

function fault(message: string, cause?: unknown): CaptureError {
  return new CaptureError('DecryptionFailed', message, cause === undefined ? {} : { cause });
}
