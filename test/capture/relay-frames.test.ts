import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CaptureError } from '../../lib/errors.ts';
import { RelayFrames, maxRelayFrameBytes } from '../../lib/capture/relay-frames.ts';
import { relayFrame } from './relay-frame.ts';

interface Taken {
  stream: string;
  offset: number;
  bytes: string;
}

/** What comes of the bytes when they arrive in pieces of these sizes, the last of them for the rest. */
function parse(bytes: Buffer, sizes: readonly number[]): Taken[] {
  const frames = new RelayFrames();
  const taken: Taken[] = [];
  let [start, index] = [0, 0];
  while (start < bytes.length) {
    const size = sizes[Math.min(index++, sizes.length - 1)]!;
    for (const frame of frames.push(bytes.subarray(start, start + size))) {
      taken.push({ ...frame, bytes: Buffer.from(frame.bytes).toString('hex') });
    }
    start += size;
  }
  return taken;
}

const three = Buffer.concat([
  relayFrame('records', 0, Buffer.from('{}\n')),
  relayFrame('dump', 2 ** 33, Buffer.alloc(70_000, 7)),
  relayFrame('end', 0, Buffer.alloc(0)),
]);

describe('RelayFrames', () => {
  it.each([1, 16, 17, 18, 4_096, 1_000_000])(
    'gives the same frames when they come in pieces of %i bytes',
    (size) => {
      expect(parse(three, [size])).toEqual([
        { stream: 'records', offset: 0, bytes: Buffer.from('{}\n').toString('hex') },
        { stream: 'dump', offset: 2 ** 33, bytes: '07'.repeat(70_000) },
        { stream: 'end', offset: 0, bytes: '' },
      ]);
    },
  );

  it.each<[string, Buffer, RegExp]>([
    ['no magic', Buffer.alloc(17), /begins with 0x0/],
    ['a stream that nobody knows', relayFrame(3, 0, Buffer.alloc(0)), /is of stream 3/],
    ['an offset that is no number', relayFrame('dump', -1, Buffer.alloc(0)), /has the offset/],
    [
      'a length over the bound, before its bytes come',
      relayFrame('dump', 0, Buffer.alloc(maxRelayFrameBytes + 1)).subarray(0, 17),
      /262145 bytes; accepted are at most 262144/,
    ],
    [
      'another checksum',
      Buffer.concat([relayFrame('dump', 5, Buffer.from('x')).subarray(0, -1), Buffer.of(0)]),
      /offset 5 of dump has another checksum/,
    ],
  ])('refuses %s', (_case, bytes, message) => {
    expect(() => parse(bytes, [bytes.length])).toThrow(message);
  });

  it('takes no bit that was changed for a frame', () => {
    const frame = relayFrame('dump', 12, Buffer.from('some bytes'));
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const changed = Buffer.from(frame);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      const taken = (() => {
        try {
          return parse(changed, [changed.length]);
        } catch {
          return [];
        }
      })();
      expect(taken).toEqual([]);
    }
  });

  it('meets anything with a typed error or silence', () => {
    const size = fc.integer({ min: 1, max: 100_000 });
    fc.assert(
      fc.property(
        fc.nat(three.length),
        fc.uint8Array({ maxLength: 2_000 }),
        fc.tuple(size, size),
        (keptBytes, garbage, sizes) => {
          try {
            parse(Buffer.concat([three.subarray(0, keptBytes), garbage]), sizes);
          } catch (error) {
            expect(error).toBeInstanceOf(CaptureError);
            expect(error).toMatchObject({ code: 'RelayFailed', retryable: true });
          }
        },
      ),
    );
  });
});
