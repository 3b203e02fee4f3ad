import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { endRecord } from '../../lib/hprof/end-record.ts';
import { RecordChain } from '../../lib/hprof/record-chain.ts';
import { HeapScan } from '../../lib/hprof/scan.ts';
import { salvageTail } from '../../lib/hprof/salvage.ts';
import { errorOf } from './chunks.ts';
import { HprofWriter, sampleDump } from './hprof-writer.ts';

describe('salvageTail', () => {
  it('asks for the end record alone at a boundary', () => {
    expect(salvageTail(0)).toEqual({ zeroBytes: 0, endRecord });
  });

  it('makes the chain whole wherever the dump was cut', () => {
    const dump = sampleDump();
    const anyCut = fc.integer({ min: 31, max: dump.length });

    fc.assert(
      fc.property(anyCut, (cut) => {
        const chain = new RecordChain();
        chain.push(dump.subarray(0, cut));
        if (chain.state.ended) return;

        const { openRecordRemainingBytes, incompleteHead } = chain.state;
        const tail = salvageTail(openRecordRemainingBytes, incompleteHead);
        chain.push(new Uint8Array(tail.zeroBytes));
        chain.push(tail.endRecord);

        expect(chain.state.ended).toBe(true);
      }),
    );
  });

  it('completes an end record that had begun instead of adding another', () => {
    expect(salvageTail(0, endRecord.subarray(0, 4))).toEqual({
      zeroBytes: 5,
      endRecord: new Uint8Array(0),
    });
  });

  it('fills the body that the known bytes of a length promise', () => {
    expect(salvageTail(0, Uint8Array.from([0x1c, 0, 0, 0, 0, 0, 0x02, 0x01]))).toEqual({
      zeroBytes: 1 + 0x2_0100,
      endRecord,
    });
    expect(salvageTail(0, Uint8Array.from([0x1c, 0, 0, 0, 0, 0xff])).zeroBytes).toBe(
      3 + 0xff00_0000,
    );
  });

  it('keeps an array that was cut readable: its missing elements are zeros', () => {
    const array = new HprofWriter()
      .header()
      .segment((body) => body.primitiveArray(1, 8, 5_000, new Uint8Array(5_000).fill(7))).bytes;
    const scan = new HeapScan();

    scan.push(array.subarray(0, 2_000));
    const { openRecordRemainingBytes } = scan.finish().chain;
    const tail = salvageTail(openRecordRemainingBytes);
    scan.push(new Uint8Array(tail.zeroBytes));
    scan.push(tail.endRecord);

    expect(scan.finish()).toMatchObject({ primitiveArrayCount: 1, chain: { ended: true } });
    expect(scan.finish().classNamed('[B').shallowBytes).toBe(5_000);
  });

  it.each([
    [-1, 0],
    [0.5, 0],
    [Number.NaN, 0],
    [0, 9],
    [1, 1],
  ])('refuses %d remaining bytes and a head of %d bytes', (remaining, headBytes) => {
    expect(errorOf(() => salvageTail(remaining, new Uint8Array(headBytes)))).toMatchObject({
      code: 'InvalidHprof',
    });
  });
});
