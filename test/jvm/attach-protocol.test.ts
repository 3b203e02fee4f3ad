import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CaptureError } from '../../lib/errors.ts';
import {
  AttachReplyDecoder,
  encodeAttachRequest,
  type AttachReply,
} from '../../lib/jvm/attach-protocol.ts';
import { errorOf, pushInPieces } from '../hprof/chunks.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text);

function reply(text: string, options: { maxBytes?: number; cuts?: number[] } = {}): AttachReply {
  const decoder = new AttachReplyDecoder({ maxBytes: options.maxBytes ?? 1_000 });
  pushInPieces(decoder, bytesOf(text), options.cuts ?? []);
  return decoder.finish();
}

describe('encodeAttachRequest', () => {
  it('always sends three arguments', () => {
    expect(encodeAttachRequest('jcmd', ['GC.heap_info'])).toEqual(
      bytesOf('1\0jcmd\0GC.heap_info\0\0\0'),
    );
    expect(encodeAttachRequest('load', ['a', 'b', 'ü'])).toEqual(bytesOf('1\0load\0a\0b\0ü\0'));
    expect(encodeAttachRequest('properties', [])).toEqual(bytesOf('1\0properties\0\0\0\0'));
  });

  it.each<[string, string, string[]]>([
    ['a NUL', 'jcmd', ['a\0b']],
    ['a fourth argument', 'jcmd', ['', '', '', '']],
    ['an argument over 1024 bytes', 'jcmd', ['ü'.repeat(513)]],
    ['a command over 16 bytes', 'x'.repeat(17), []],
    ['an empty command', '', []],
  ])('refuses %s', (_, command, args) => {
    expect(errorOf(() => encodeAttachRequest(command, args)).code).toBe('AttachFailed');
  });

  it('accepts what just fits', () => {
    expect(encodeAttachRequest('x'.repeat(16), ['ü'.repeat(512)])).toHaveLength(2 + 17 + 1_025 + 2);
  });
});

describe('AttachReplyDecoder', () => {
  it('parts the status line from the output', () => {
    expect(reply('0\nJDK 17\nmore\n')).toEqual({
      status: 0,
      output: bytesOf('JDK 17\nmore\n'),
      truncated: false,
    });
    expect(reply('101\n')).toEqual({ status: 101, output: new Uint8Array(0), truncated: false });
    expect(reply('-1\nfault').status).toBe(-1);
  });

  it('says the same wherever the stream is cut', () => {
    const text = '0\nsome output';

    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), fc.nat(20), (cuts, maxBytes) => {
        expect(reply(text, { cuts, maxBytes })).toEqual(reply(text, { maxBytes }));
      }),
    );
  });

  it('keeps as much as it may and flags the rest', () => {
    expect(reply('0\nabcdef', { maxBytes: 6 }).truncated).toBe(false);
    expect(reply('0\nabcdef', { maxBytes: 5, cuts: [4, 7] })).toEqual({
      status: 0,
      output: bytesOf('abcde'),
      truncated: true,
    });
    expect(reply('0\nabc', { maxBytes: 0 })).toMatchObject({ truncated: true });
  });

  it('keeps its own copy of a chunk that is used again', () => {
    const decoder = new AttachReplyDecoder({ maxBytes: 100 });
    const chunk = bytesOf('0\nabc');

    decoder.push(chunk);
    chunk.fill(0);

    expect(decoder.finish().output).toEqual(bytesOf('abc'));
  });

  it('is retryable when the JVM closes before it said a status', () => {
    expect(errorOf(() => reply(''))).toMatchObject({ code: 'AttachFailed', retryable: true });
    expect(errorOf(() => reply('10'))).toMatchObject({ code: 'AttachFailed', retryable: true });
  });

  it.each(['hello\n', '\n', '0x1\n', '1'.repeat(17), 'no line at all, but a long one'])(
    'refuses %j',
    (text) => {
      expect(errorOf(() => reply(text))).toMatchObject({ code: 'AttachFailed', retryable: false });
    },
  );

  it('answers any bytes with a reply or AttachFailed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), fc.array(fc.nat(50)), (bytes, cuts) => {
        const decoder = new AttachReplyDecoder({ maxBytes: 10 });
        try {
          pushInPieces(decoder, bytes, cuts);
          expect(decoder.finish().output.length).toBeLessThanOrEqual(10);
        } catch (error) {
          expect(error).toBeInstanceOf(CaptureError);
          expect(error).toMatchObject({ code: 'AttachFailed' });
        }
      }),
    );
  });
});
