import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CaptureError } from '../../lib/errors.ts';
import { HeapScan, type ScanResult } from '../../lib/hprof/scan.ts';
import { errorOf, pushInPieces } from './chunks.ts';
import { HprofWriter, sampleDump } from './hprof-writer.ts';

function scanOf(bytes: Uint8Array, cuts: readonly number[] = []): ScanResult {
  const scan = new HeapScan();
  pushInPieces(scan, bytes, cuts);
  return scan.finish();
}

/** Everything but the function and what depends on the last chunk. */
function comparable({ chain, ...result }: ScanResult): unknown {
  return { ...result, classNamed: undefined, chain: { ...chain, lastChunkBoundary: undefined } };
}

const withSegment = (subRecords: (writer: HprofWriter) => void): Uint8Array =>
  new HprofWriter().header().segment(subRecords).end().bytes;

describe('HeapScan', () => {
  it.each([4, 8] as const)('counts a dump with identifiers of %i bytes', (idBytes) => {
    const result = scanOf(sampleDump(idBytes));

    expect(result).toMatchObject({
      dumpTime: '2023-11-14T22:13:20.000Z',
      instanceCount: 4,
      objectArrayCount: 2,
      primitiveArrayCount: 2,
      classCount: 3,
      loadedClassCount: 3,
      rootCount: 9,
      nameCount: 4,
      namesComplete: true,
      namedClassCount: 5,
      shallowBytes: 24 + 3 * idBytes + 5 + 16,
    });
    expect(result.classNamed('demo.Marker')).toEqual({
      className: 'demo.Marker',
      instanceCount: 3,
      shallowBytes: 24,
    });
    expect(result.classNamed('[Ljava.lang.Object;')).toMatchObject({
      instanceCount: 2,
      shallowBytes: 3 * idBytes,
    });
    expect(result.classNamed('[J')).toMatchObject({ instanceCount: 1, shallowBytes: 16 });
    expect(result.classNamed('unused')).toMatchObject({ instanceCount: 0 });
    expect(result.chain.ended).toBe(true);
  });

  it('says the same wherever the stream is cut', () => {
    const dump = sampleDump();
    const whole = comparable(scanOf(dump));

    fc.assert(
      fc.property(fc.array(fc.nat(dump.length)), (cuts) => {
        expect(comparable(scanOf(dump, cuts))).toEqual(whole);
      }),
    );
    expect(comparable(scanOf(dump, [...dump.keys()]))).toEqual(whole);
  });

  it('lists the classes with most bytes first, and no more than asked for', () => {
    const scan = new HeapScan({ topCount: 2 });

    scan.push(sampleDump());

    const names = scan.finish().topClasses.map(({ className }) => className);
    expect(names).toEqual(['[Ljava.lang.Object;', 'demo.Marker']);
  });

  it('adds up classes of one name that two class loaders have', () => {
    const dump = new HprofWriter()
      .header()
      .utf8(1, 'a/Twin')
      .loadClass(10, 1)
      .loadClass(20, 1)
      .segment((body) => body.instance(1, 10, [1]).instance(2, 20, [1, 2])).bytes;

    expect(scanOf(dump).classNamed('a.Twin')).toMatchObject({ instanceCount: 2, shallowBytes: 3 });
  });

  it('keeps the first text of an identifier', () => {
    const dump = new HprofWriter()
      .header()
      .utf8(1, 'a/First')
      .utf8(1, 'a/Second')
      .utf8(2, 'a/Third');
    dump.loadClass(8, 1).loadClass(16, 2);
    const { bytes } = dump.segment((body) => body.instance(1, 8).instance(2, 16));

    const names = scanOf(bytes).topClasses.map(({ className }) => className);

    expect(names).toEqual(['a.First', 'a.Third']);
  });

  it('calls a hidden class as the JVM does', () => {
    const dump = new HprofWriter().header().utf8(1, 'a/B$$Lambda+0x00007f01').loadClass(8, 1);
    const { bytes } = dump.segment((body) => body.instance(1, 8));

    expect(scanOf(bytes).classNamed('a.B$$Lambda/0x00007f01').instanceCount).toBe(1);
  });

  it('counts instances whose class comes later, or never', () => {
    const dump = new HprofWriter()
      .header()
      .segment((body) => body.instance(1, 10).instance(2, 0x7f00_0000_0020n))
      .utf8(1, 'a/Late')
      .loadClass(10, 1).bytes;

    const result = scanOf(dump);

    expect(result.classNamed('a.Late').instanceCount).toBe(1);
    expect(result.classNamed('class 0x7f0000000020').instanceCount).toBe(1);
  });

  it('tells identifiers apart that differ in their high half only', () => {
    const dump = new HprofWriter()
      .header()
      .utf8(1, 'a/One')
      .utf8(2n ** 40n + 1n, 'a/Other')
      .loadClass(8, 1)
      .loadClass(2n ** 32n + 8n, 2n ** 40n + 1n)
      .segment((body) => body.instance(1, 8).instance(2, 2n ** 32n + 8n)).bytes;

    const result = scanOf(dump);

    expect(result.classNamed('a.One').instanceCount).toBe(1);
    expect(result.classNamed('a.Other').instanceCount).toBe(1);
  });

  it('finds its way among many classes', () => {
    const writer = new HprofWriter().header();
    const count = 3_000;
    for (let id = 1; id <= count; id += 1) writer.utf8(id, `a/C${id}`).loadClass(id * 8, id);
    writer.segment((body) => {
      for (let id = 1; id <= count; id += 1) body.instance(id, id * 8, new Uint8Array(id % 7));
    });

    const result = scanOf(writer.bytes);

    expect(result.namedClassCount).toBe(count);
    expect(result.classNamed('a.C2999')).toMatchObject({ instanceCount: 1, shallowBytes: 3 });
  });

  it('leaves names out over its bound and says so', () => {
    const scan = new HeapScan({ maxNameBytes: 10 });

    scan.push(sampleDump());
    const result = scan.finish();

    expect(result.namesComplete).toBe(false);
    expect(result.instanceCount).toBe(4);
    expect(result.classNamed('demo.Marker').instanceCount).toBe(0);
  });

  it('skips a text that is too long for a name', () => {
    const dump = new HprofWriter()
      .header()
      .utf8(1, 'x'.repeat(70_000))
      .utf8(2, 'a/B')
      .loadClass(8, 2);
    const { bytes } = dump.segment((body) => body.instance(1, 8));

    expect(scanOf(bytes).classNamed('a.B').instanceCount).toBe(1);
  });

  it('answers for a dump that was cut', () => {
    const dump = sampleDump();
    for (let length = 0; length <= dump.length; length += 1) {
      const result = scanOf(dump.subarray(0, length));
      expect(result.chain.ended).toBe(length === dump.length);
    }
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['an unknown sub-record', withSegment((body) => body.u1(0x55)), /tag 0x55; accepted are/],
    ['a sub-record of Android', withSegment((body) => body.u1(0xfe)), /0xfe is from Android/],
    [
      'an instance longer than its record',
      withSegment((body) => body.u1(0x21).id(1).u4(0).id(2).u4(0xffff_ffff)),
      /runs 4294967295 bytes over the end/,
    ],
    [
      'an instance longer than what others left of its record',
      withSegment((body) =>
        body.instance(1, 2, new Uint8Array(50)).u1(0x21).id(1).u4(0).id(2).u4(9),
      ),
      /runs 9 bytes over the end/,
    ],
    [
      'an array longer than its record',
      withSegment((body) => body.u1(0x22).id(1).u4(0, 0xffff_ffff).id(2)),
      /over the end/,
    ],
    [
      'an array of an unknown type',
      withSegment((body) => body.primitiveArray(1, 3, 0, [])),
      /value of type 3; accepted are 2 and 4 to 11/,
    ],
    ['a record that ends inside a head', withSegment((body) => body.u1(0x21).u4(1)), /ends inside/],
    [
      'a record that ends inside a class',
      withSegment((body) => body.u1(0x20).raw(new Uint8Array(64)).u2(5)),
      /ends inside/,
    ],
    ['a name without identifier', new HprofWriter().header().record(1).bytes, /UTF8 record of 0/],
    ['a class without name', new HprofWriter().header().record(2).bytes, /LOAD_CLASS record of 0/],
  ])('refuses %s', (_, bytes, message) => {
    for (const cuts of [[], [...bytes.keys()]]) {
      const error = errorOf(() => scanOf(bytes, cuts));
      expect(error.code).toBe('InvalidHprof');
      expect(error.message).toMatch(message);
    }
  });

  it('answers a dump with flipped bits or lying lengths with InvalidHprof or a result', () => {
    const dump = sampleDump();
    const change = fc.tuple(fc.nat(dump.length - 1), fc.nat(255));
    fc.assert(
      fc.property(
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat(dump.length)),
        fc.nat(dump.length),
        (changes, cuts, length) => {
          const bytes = Uint8Array.from(dump);
          for (const [at, value] of changes) bytes[at] = value;
          const outcomes = [[], cuts].map((pieces) => outcomeOf(bytes.subarray(0, length), pieces));
          expect(outcomes[1]).toEqual(outcomes[0]);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

function outcomeOf(bytes: Uint8Array, cuts: readonly number[]): unknown {
  try {
    return comparable(scanOf(bytes, cuts));
  } catch (error) {
    expect(error).toBeInstanceOf(CaptureError);
    return (error as CaptureError).code;
  }
}
