import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CaptureError } from '../../lib/errors.ts';
import { RecordChain, type ChainState } from '../../lib/hprof/record-chain.ts';
import { HprofWriter, sampleDump } from './hprof-writer.ts';
import { errorOf, pushInPieces } from './chunks.ts';

function stateAfter(bytes: Uint8Array, cuts: readonly number[] = []): ChainState {
  const chain = new RecordChain();
  pushInPieces(chain, bytes, cuts);
  return chain.state;
}

const header = () => new HprofWriter().header();

describe('RecordChain', () => {
  it.each([4, 8] as const)('walks a whole dump with identifiers of %i bytes', (idBytes) => {
    const dump = sampleDump(idBytes);

    const state = stateAfter(dump);

    expect(state).toMatchObject({
      version: '1.0.2',
      identifierByteSize: idBytes,
      bytes: dump.length,
      boundaryBytes: dump.length,
      recordCount: 12,
      openRecordRemainingBytes: 0,
      ended: true,
    });
    expect(dump[state.firstSegmentOffset ?? 0]).toBe(0x1c);
  });

  it('says the same wherever the stream is cut', () => {
    const dump = sampleDump();
    const whole = { ...stateAfter(dump), lastChunkBoundary: 0 };

    fc.assert(
      fc.property(fc.array(fc.nat(dump.length)), (cuts) => {
        expect({ ...stateAfter(dump, cuts), lastChunkBoundary: 0 }).toEqual(whole);
      }),
    );
    expect({
      ...stateAfter(
        dump,
        Array.from(dump, (_, at) => at),
      ),
      lastChunkBoundary: 0,
    }).toEqual(whole);
  });

  it('has not ended before the last byte of the end record', () => {
    const dump = sampleDump();

    for (let length = 0; length < dump.length; length += 1) {
      const state = stateAfter(dump.subarray(0, length));
      expect(state.ended).toBe(false);
      expect(state.boundaryBytes).toBeLessThanOrEqual(length);
    }
  });

  it('tells what is missing of an open record, and what it has of an open head', () => {
    const dump = header().record(0x01, (body) => body.raw(new Uint8Array(100))).bytes;

    expect(stateAfter(dump.subarray(0, 31))).toMatchObject({
      boundaryBytes: 31,
      openRecordRemainingBytes: 0,
      incompleteHead: new Uint8Array(0),
    });
    expect(stateAfter(dump.subarray(0, 34))).toMatchObject({
      boundaryBytes: 31,
      openRecordRemainingBytes: 0,
      incompleteHead: Uint8Array.from([1, 0, 0]),
    });
    expect(stateAfter(dump.subarray(0, 50))).toMatchObject({
      boundaryBytes: 31,
      openRecordRemainingBytes: 90,
      incompleteHead: new Uint8Array(0),
    });
    expect(stateAfter(dump)).toMatchObject({ boundaryBytes: 140, openRecordRemainingBytes: 0 });
  });

  it('gives the last boundary inside the last chunk, and none when no record ended in it', () => {
    const chain = new RecordChain();
    const dump = header().utf8(1, 'one').utf8(2, 'two').bytes;

    chain.push(dump.subarray(0, 55));
    expect(chain.state.lastChunkBoundary).toBe(51);
    chain.push(dump.subarray(55, 60));
    expect(chain.state).not.toHaveProperty('lastChunkBoundary');
    chain.push(dump.subarray(60));
    expect(chain.state.lastChunkBoundary).toBe(dump.length - 60);
    chain.push(new Uint8Array(3));
    expect(chain.state).not.toHaveProperty('lastChunkBoundary');
  });

  it('keeps count beyond 2^32 bytes', () => {
    const chain = new RecordChain();
    const head = new HprofWriter().u1(0x1c).u4(0, 0xffff_ffff).bytes;
    const piece = new Uint8Array(64 * 1024 * 1024);

    chain.push(header().bytes);
    for (let record = 0; record < 3; record += 1) {
      chain.push(head);
      for (let piecesLeft = 63; piecesLeft > 0; piecesLeft -= 1) chain.push(piece);
      expect(chain.state.openRecordRemainingBytes).toBe(64 * 1024 * 1024 - 1);
      chain.push(piece.subarray(1));
    }

    expect(chain.state).toMatchObject({
      bytes: 31 + 3 * (9 + 0xffff_ffff),
      boundaryBytes: 31 + 3 * (9 + 0xffff_ffff),
      recordCount: 3,
    });
  });

  it('walks a segment file, which has no file header', () => {
    const chain = new RecordChain({ fileHeader: 'absent' });
    const segment = new HprofWriter().segment((body) => body.root(5)).bytes;

    chain.push(segment);

    expect(chain.state).toMatchObject({ recordCount: 1, boundaryBytes: 18, firstSegmentOffset: 0 });
    expect(chain.state).not.toHaveProperty('version');
  });

  it('accepts version 1.0.1 and a heap dump in one record', () => {
    const dump = new HprofWriter(4).header('1.0.1').record(0x0c, (body) => body.root(5)).bytes;

    expect(stateAfter(dump)).toMatchObject({ version: '1.0.1', recordCount: 1, ended: false });
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['a file that is no dump', new Uint8Array(31), /accepted are "JAVA PROFILE 1.0.1"/],
    ['an unknown version', new HprofWriter().header('1.0.4').bytes, /accepted are/],
    ['a dump of Android', new HprofWriter().header('1.0.3').bytes, /Android/],
    [
      'identifiers of 2 bytes',
      new HprofWriter().text('JAVA PROFILE 1.0.2\0').u4(2, 0, 0).bytes,
      /identifiers of 2 bytes; accepted are 4 and 8/,
    ],
    [
      'an unknown tag',
      header().utf8(1, 'x').record(0x77).bytes,
      /record 1 at offset 49 has the tag 0x77; accepted are 0x01 UTF8/,
    ],
    [
      'a byte after the end record',
      header().end().u1(0).bytes,
      /after the end record, at offset 40/,
    ],
    [
      'an end record with a body',
      header().record(0x2c, (body) => body.u1(1)).bytes,
      /end record at offset 31 has 1 bytes/,
    ],
    ['a heap dump record of length 0', header().record(0x0c).bytes, /length of 0/],
  ])('refuses %s, and says so again', (_, bytes, message) => {
    const chain = new RecordChain();

    const first = errorOf(() => pushInPieces(chain, bytes, [10, 35]));
    const again = errorOf(() => chain.push(new Uint8Array(1)));

    expect(first).toMatchObject({ code: 'InvalidHprof', retryable: false });
    expect(first.message).toMatch(message);
    expect(again).toBe(first);
    expect(chain.state.ended).toBe(false);
  });

  it('keeps the last good boundary when the chain breaks', () => {
    const chain = new RecordChain();

    errorOf(() => chain.push(header().utf8(1, 'good').record(0x77).bytes));

    expect(chain.state).toMatchObject({ boundaryBytes: 52, recordCount: 1, bytes: 52 });
  });

  it('answers arbitrary bytes with InvalidHprof or a state', () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.uint8Array({ maxLength: 200 }).map((tail) => header().raw(tail).bytes),
    );
    fc.assert(
      fc.property(anything, fc.array(fc.nat(200)), (bytes, cuts) => {
        const chain = new RecordChain();
        try {
          pushInPieces(chain, bytes, cuts);
          expect(chain.state.bytes).toBe(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(CaptureError);
          expect(error).toMatchObject({ code: 'InvalidHprof' });
        }
        expect(chain.state.boundaryBytes).toBeLessThanOrEqual(chain.state.bytes);
      }),
      { numRuns: 1_000 },
    );
  });
});
