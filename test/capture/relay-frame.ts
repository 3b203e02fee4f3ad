import { crc32 } from 'node:zlib';
import { relayHeadBytes, relayMagic, relayStreams } from '../../lib/capture/relay-frames.ts';

/** A frame as Relay.java writes it. @param stream a number for one that there is not. */
export function relayFrame(
  stream: (typeof relayStreams)[number] | number,
  offset: number,
  bytes: Uint8Array,
): Buffer {
  const head = Buffer.alloc(relayHeadBytes);
  head.writeUInt32BE(relayMagic, 0);
  head.writeUInt8(typeof stream === 'number' ? stream : relayStreams.indexOf(stream), 4);
  head.writeBigInt64BE(BigInt(offset), 5);
  head.writeUInt32BE(bytes.length, 13);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(bytes, crc32(head)));
  return Buffer.concat([head, bytes, checksum]);
}
