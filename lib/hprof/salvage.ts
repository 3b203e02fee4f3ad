import { endRecord } from './end-record.ts';
import { invalidHprof, recordHeadBytes, recordTag } from './records.ts';

/** What to append to a cut stream: first so many zeros, then these bytes. */
export interface SalvageTail {
  readonly zeroBytes: number;
  /** The end record; empty when the zeros complete an end record that had begun. */
  readonly endRecord: Uint8Array;
}

/**
 * The JVM's write buffer: no record up to this size, head included, is sure to hold a single array, and every larger one
 * does (heapDumper.cpp, DumpWriter: io_buffer_max_size).
 */
export const writeBufferBytes = 1024 * 1024;

/**
 * What makes a stream parseable again that was cut inside a record. Zeros fill the record: one larger than the
 * JVM's write buffer holds a single array, and zeros are values to it. A smaller one (a JVM that is
 * killed leaves those too) holds many objects; filled, it keeps the chain whole but cannot be read itself. Cut
 * such a stream at its last boundary instead.
 * @param remainingBytes bytes of the open record's body still to come; 0 at a boundary.
 * @param incompleteHead the first 1 to 8 bytes of a record head, when the cut went through it. What is missing
 *   of the length counts as zero, and so many body bytes follow.
 * @throws CaptureError InvalidHprof: a count that is none, or a head of 9 bytes or more.
 */
export function salvageTail(
  remainingBytes: number,
  incompleteHead: Uint8Array = new Uint8Array(0),
): SalvageTail {
  if (!Number.isSafeInteger(remainingBytes) || remainingBytes < 0) {
    throw invalidHprof(`${remainingBytes} bytes remain of a record; accepted are 0 to 2^53 - 1`);
  }
  if (incompleteHead.length === 0) return { zeroBytes: remainingBytes, endRecord };
  if (incompleteHead.length >= recordHeadBytes || remainingBytes > 0) {
    throw invalidHprof(
      `a record head of ${incompleteHead.length} bytes and ${remainingBytes} body bytes remain; a head that is not whole has 1 to 8 bytes and no body`,
    );
  }
  const missingHeadBytes = recordHeadBytes - incompleteHead.length;
  if (incompleteHead[0] === recordTag.heapDumpEnd) {
    return { zeroBytes: missingHeadBytes, endRecord: new Uint8Array(0) };
  }
  const [first = 0, second = 0, third = 0] = incompleteHead.subarray(5);
  const bodyBytes = first * 0x100_0000 + second * 0x1_0000 + third * 0x100;
  return { zeroBytes: missingHeadBytes + bodyBytes, endRecord };
}
