import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { encryptionAlgorithm } from '../dump-index/encryption.ts';
import { CaptureError } from '../errors.ts';
import type { Artifact } from '../policy/policy.ts';

/**
 * A zstd skippable frame (RFC 8878, 3.1.2; another magic number than padding and seek table have) around what is
 * encrypted. All numbers are little endian:
 *
 *     0 magic | 4 size of the rest | 8 version | 9 kind | 10 stream | 12 number | 16 nonce | 28 ciphertext | tag
 *
 * Additional data: captureId, fencing token, artifact, and bytes 8 to 16. So no frame can be exchanged, repeated or taken
 * from another capture or object without notice.
 */
export const sealedMagic = 0x184d2a5c;
const version = 1;
const [headBytes, placeStart, nonceStart, textStart] = [8, 8, 16, 28];
const tagBytes = 16;
/** What a sealed frame has beside what it holds. */
export const sealedFrameBytes = textStart + tagBytes;
const cipherName = 'aes-256-gcm';
const kinds = { data: 0, account: 1 } as const;

/** To which object of which capture a frame belongs, and the key of that capture. */
export interface SealedObject {
  readonly captureId: string;
  readonly fencingToken: number;
  readonly artifact: Artifact;
  /** 32 bytes; a secret. */
  readonly dataKey: Uint8Array;
}

/** One frame's place: `data` number 0, 1, … of its stream, or the account of all streams, which is the last frame. */
export interface SealedPlace {
  readonly kind: 'data' | 'account';
  /** First part number of the stream; 0 of an object that is not made of parts. */
  readonly stream: number;
  readonly number: number;
}

export interface OpenedFrame extends SealedPlace {
  readonly bytes: Buffer;
}

/** Encrypts what one frame is to hold. Each has a random nonce: two agents with the same ticket never share one. */
export function sealFrame(object: SealedObject, place: SealedPlace, bytes: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(sealedFrameBytes + bytes.length);
  frame.writeUInt32LE(sealedMagic, 0);
  frame.writeUInt32LE(frame.length - headBytes, 4);
  frame.writeUInt8(version, placeStart);
  frame.writeUInt8(kinds[place.kind], placeStart + 1);
  frame.writeUInt16LE(place.stream, placeStart + 2);
  frame.writeUInt32LE(place.number, placeStart + 4);
  const nonce = randomBytes(textStart - nonceStart);
  nonce.copy(frame, nonceStart);
  const cipher = createCipheriv(cipherName, object.dataKey, nonce);
  cipher.setAAD(additionalData(object, frame));
  cipher.update(bytes).copy(frame, textStart);
  cipher.final();
  cipher.getAuthTag().copy(frame, textStart + bytes.length);
  return frame;
}

/**
 * Decrypts one whole frame.
 * @throws CaptureError DecryptionFailed: another version, cut, changed, or not of this object, capture and key.
 */
export function openFrame(object: SealedObject, frame: Buffer): OpenedFrame {
  if (frame.length < sealedFrameBytes) throw fault(`an encrypted frame of ${frame.length} bytes`);
  const found = frame.readUInt8(placeStart);
  if (found !== version) {
    throw fault(`an encrypted frame of version ${found}; this version reads version ${version}`);
  }
  const kind = frame.readUInt8(placeStart + 1) === kinds.account ? 'account' : 'data';
  const stream = frame.readUInt16LE(placeStart + 2);
  const number = frame.readUInt32LE(placeStart + 4);
  const nonce = frame.subarray(nonceStart, textStart);
  const decipher = createDecipheriv(cipherName, object.dataKey, nonce, { authTagLength: tagBytes });
  decipher.setAAD(additionalData(object, frame));
  decipher.setAuthTag(frame.subarray(frame.length - tagBytes));
  try {
    const text = decipher.update(frame.subarray(textStart, frame.length - tagBytes));
    return { kind, stream, number, bytes: Buffer.concat([text, decipher.final()]) };
  } catch (cause) {
    const where = `frame ${number} of stream ${stream}`;
    const whose = `${object.artifact} of capture ${object.captureId}, token ${object.fencingToken}`;
    const message = `${where} was changed, or is not of ${whose} and this key`;
    throw new CaptureError('DecryptionFailed', message, { cause });
  }
}

/** How many data frames a stream of the object has. */
export interface StreamAccount {
  readonly stream: number;
  readonly frameCount: number;
}

const accountEntryBytes = 6;

/** The object's last encrypted frame: by it a reader knows, and not only by the manifest, that none is missing. */
export function sealAccount(object: SealedObject, streams: readonly StreamAccount[]): Buffer {
  const bytes = Buffer.alloc(streams.length * accountEntryBytes);
  for (const [index, { stream, frameCount }] of streams.entries()) {
    bytes.writeUInt16LE(stream, index * accountEntryBytes);
    bytes.writeUInt32LE(frameCount, index * accountEntryBytes + 2);
  }
  return sealFrame(object, { kind: 'account', stream: 0, number: 0 }, bytes);
}

/** What `sealAccount` was given. @throws CaptureError DecryptionFailed. */
export function readAccount(bytes: Buffer): StreamAccount[] {
  if (bytes.length % accountEntryBytes !== 0) throw fault(`an account of ${bytes.length} bytes`);
  return Array.from({ length: bytes.length / accountEntryBytes }, (_, index) => ({
    stream: bytes.readUInt16LE(index * accountEntryBytes),
    frameCount: bytes.readUInt32LE(index * accountEntryBytes + 2),
  }));
}

function additionalData(object: SealedObject, frame: Buffer): Buffer {
  const { captureId, fencingToken, artifact } = object;
  const owner = ['heapcatch', encryptionAlgorithm, captureId, fencingToken, artifact, ''].join(
    '\0',
  );
  return Buffer.concat([Buffer.from(owner), frame.subarray(placeStart, nonceStart)]);
}

function fault(what: string): CaptureError {
  return new CaptureError('DecryptionFailed', `the object has ${what}`);
}
