/**
 * The words of the hprof binary format: file header and tags of top-level records.
 * Source: the "HPROF Agent" binary format, heapDumper.cpp of OpenJDK.
 */
import { CaptureError } from '../errors.ts';

export const fileHeaderBytes = 31;
export const recordHeadBytes = 9;

export type HprofVersion = '1.0.1' | '1.0.2';
export type IdentifierByteSize = 4 | 8;

export interface HprofHeader {
  readonly version: HprofVersion;
  readonly identifierByteSize: IdentifierByteSize;
  /** Milliseconds since 1970, by the clock of the JVM. */
  readonly timestampMillis: number;
}

export const recordTag = {
  utf8: 0x01,
  loadClass: 0x02,
  frame: 0x04,
  trace: 0x05,
  heapDump: 0x0c,
  heapDumpSegment: 0x1c,
  heapDumpEnd: 0x2c,
} as const;

/** Every top-level record a JVM may write. HotSpot's dumps hold the first six and the last two. */
const recordNames: Readonly<Record<number, string>> = {
  0x01: 'UTF8',
  0x02: 'LOAD_CLASS',
  0x03: 'UNLOAD_CLASS',
  0x04: 'FRAME',
  0x05: 'TRACE',
  0x06: 'ALLOC_SITES',
  0x07: 'HEAP_SUMMARY',
  0x0a: 'START_THREAD',
  0x0b: 'END_THREAD',
  0x0c: 'HEAP_DUMP',
  0x0d: 'CPU_SAMPLES',
  0x0e: 'CONTROL_SETTINGS',
  0x1c: 'HEAP_DUMP_SEGMENT',
  0x2c: 'HEAP_DUMP_END',
};

const knownTags = Uint8Array.from({ length: 256 }, (_, tag) => (tag in recordNames ? 1 : 0));

export function isRecordTag(tag: number): boolean {
  return knownTags[tag] === 1;
}

/** The accepted tags, as an error message shows them. */
export const acceptedRecordTags = Object.keys(recordNames)
  .map((tag) => `${hex(Number(tag))} ${recordNames[Number(tag)] ?? ''}`)
  .join(', ');

export function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}

export function readU4(data: Uint8Array, at: number): number {
  const high = ((data[at] ?? 0) << 8) | (data[at + 1] ?? 0);
  const low = ((data[at + 2] ?? 0) << 8) | (data[at + 3] ?? 0);
  return high * 0x1_0000 + low;
}

/**
 * Reads the first 31 bytes of a dump.
 * @throws CaptureError InvalidHprof: no dump, a version or identifier size that no HotSpot writes, Android.
 */
export function readHeader(bytes: Uint8Array): HprofHeader {
  const text = String.fromCharCode(...bytes.subarray(0, 18));
  const version = /^JAVA PROFILE (\d\.\d\.\d)$/.exec(text)?.[1];
  if (version === '1.0.3') {
    throw invalidHprof('a dump of version 1.0.3 is from Android; accepted are 1.0.1 and 1.0.2');
  }
  if ((version !== '1.0.1' && version !== '1.0.2') || bytes[18] !== 0) {
    throw invalidHprof(
      `the file starts with ${JSON.stringify(text)}; accepted are "JAVA PROFILE 1.0.1" and "JAVA PROFILE 1.0.2"`,
    );
  }
  const identifierByteSize = readU4(bytes, 19);
  if (identifierByteSize !== 4 && identifierByteSize !== 8) {
    throw invalidHprof(`identifiers of ${identifierByteSize} bytes; accepted are 4 and 8`);
  }
  const timestampMillis = readU4(bytes, 23) * 0x1_0000_0000 + readU4(bytes, 27);
  return { version, identifierByteSize, timestampMillis };
}

export function invalidHprof(message: string): CaptureError {
  return new CaptureError('InvalidHprof', `not a heap dump as a JVM writes it: ${message}`);
}
