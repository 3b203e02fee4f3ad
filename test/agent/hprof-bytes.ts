import { endRecord } from '../../lib/hprof/end-record.ts';

/** The file header of a dump with identifiers of 8 bytes. */
export const header = Buffer.concat([
  Buffer.from('JAVA PROFILE 1.0.2\0', 'latin1'),
  Buffer.from([0, 0, 0, 8, 0, 0, 1, 0x90, 0, 0, 0, 0]),
]);

/** One top-level record whose body counts up from its seed, so that each byte tells where it came from. */
export function record(tag: number, bodyBytes: number, seed = 0): Buffer {
  const bytes = Buffer.alloc(9 + bodyBytes);
  bytes[0] = tag;
  bytes.writeUInt32BE(bodyBytes, 5);
  for (let at = 9; at < bytes.length; at += 1) bytes[at] = (at * 31 + seed) % 251;
  return bytes;
}

export const segmentTag = 0x1c;
export const utf8Tag = 0x01;
export const end = Buffer.from(endRecord);
