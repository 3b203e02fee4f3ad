import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CaptureError } from '../../lib/errors.ts';
import { idText } from '../../lib/hprof/id-table.ts';
import { HeapSurvey, type Survey } from '../../lib/hprof/survey.ts';
import { pushInPieces } from './chunks.ts';
import { HprofWriter, sampleDump } from './hprof-writer.ts';

function surveyOf(bytes: Uint8Array, cuts: readonly number[] = []): Survey {
  const survey = new HeapSurvey();
  pushInPieces(survey, bytes, cuts);
  return survey.finish();
}

/** What a survey has seen, as plain data. */
function seen(survey: Survey): unknown {
  const { tally, classes, roots, stacks, contents, largestArrays, names } = survey;
  return {
    bytes: survey.chain.bytes,
    counts: [...tally.byName(names).values()],
    classes: [...classes.entries()],
    roots: Array.from({ length: roots.length }, (_, index) => roots.at(index)),
    byKind: roots.countByKind,
    trace: stacks.trace(1),
    equal: contents.mostWasteful(10),
    duplicates: [contents.duplicateCount, contents.duplicateBytes],
    largest: largestArrays.largest(),
  };
}

/** A thread in two frames that holds one local, two equal texts, a class with a static reference and three fields. */
function richDump(idBytes: 4 | 8): Uint8Array {
  const top = idBytes === 8 ? 0x7f00_0000_0000n : 0n;
  return new HprofWriter(idBytes)
    .header()
    .utf8(1, 'shop/Cart')
    .utf8(2, 'items')
    .utf8(3, 'run')
    .utf8(4, 'Cart.java')
    .utf8(5, '[Lshop/Cart;')
    .record(0x02, (body) => body.u4(7).id(0x100).u4(0).id(1))
    .record(0x02, (body) => body.u4(8).id(0x108).u4(0).id(5))
    .record(0x04, (body) => body.id(11, 3, 0, 4).u4(7, 42))
    .record(0x04, (body) => body.id(12, 3, 0, 4).u4(7, 0xffff_fffd))
    .record(0x05, (body) => body.u4(1, 9, 2).id(11, 12))
    .segment((body) => {
      body.u1(0x20).id(0x100).u4(0).id(0x50, 0x60, 0, 0x70, 0, 0).u4(16);
      body.u2(0).u2(2).id(2).u1(2).id(0x500).id(2).u1(10).u4(5);
      body.u2(3).id(2).u1(2).id(3).u1(11).id(4).u1(4);
      body.u1(0x08).id(0x200).u4(9, 1).u1(0x03).id(0x500).u4(9, 1).u1(0x05).id(0x100);
    })
    .segment((body) => {
      body
        .primitiveArray(top + 0x300n, 8, 5, [1, 2, 3, 4, 5])
        .primitiveArray(top + 0x310n, 8, 5, [1, 2, 3, 4, 5])
        .primitiveArray(top + 0x320n, 8, 5, [1, 2, 3, 4, 6])
        .primitiveArray(top + 0x330n, 5, 2, [1, 2, 3, 4])
        .objectArray(0x500, 0x108, [1, 2, 3]);
    })
    .end().bytes;
}

describe('HeapSurvey', () => {
  it.each([4, 8] as const)('tells what a dump with identifiers of %i bytes holds', (idBytes) => {
    const survey = surveyOf(richDump(idBytes));

    expect(survey.roots.countByKind).toEqual({ threadObject: 1, javaFrame: 1, stickyClass: 1 });
    expect(survey.roots.at(1)).toMatchObject({ kind: 'javaFrame', low: 0x500, threadSerial: 9 });
    const cart = survey.classes.get(survey.tally.find(0, 0x100));
    expect(cart).toMatchObject({
      superLow: 0x50,
      loaderLow: 0x60,
      domainLow: 0x70,
      staticBytes: idBytes + 4,
      references: [{ nameLow: 2, valueLow: 0x500 }],
      fields: [
        { nameLow: 2, type: 2 },
        { nameLow: 3, type: 11 },
        { nameLow: 4, type: 4 },
      ],
    });
    const trace = survey.stacks.trace(1);
    expect(trace).toMatchObject({ threadSerial: 9, frameCount: 2 });
    expect(trace?.frames.map((frame) => frame?.line)).toEqual([42, -3]);
    expect(survey.classOfSerial.get(7)).toBe(survey.tally.find(0, 0x100));
    expect(survey.contents).toMatchObject({
      arrayCount: 4,
      valueBytes: 19,
      duplicateCount: 1,
      duplicateBytes: 5,
    });
    const [equal] = survey.contents.mostWasteful(5);
    expect(equal).toMatchObject({ elementType: 8, arrayCount: 2, valueBytes: 10, low: 0x300 });
    expect(idText(equal?.high ?? 0, equal?.low ?? 0)).toBe(
      idBytes === 8 ? '0x7f0000000300' : '0x300',
    );
    expect(survey.elementReferenceCount).toBe(3);
  });

  it('says the same wherever the stream is cut', () => {
    const dump = richDump(8);
    const whole = seen(surveyOf(dump));

    fc.assert(
      fc.property(fc.array(fc.nat(dump.length)), (cuts) => {
        expect(seen(surveyOf(dump, cuts))).toEqual(whole);
      }),
    );
    expect(seen(surveyOf(dump, [...dump.keys()]))).toEqual(whole);
  });

  it('keeps the largest arrays, largest first', () => {
    const writer = new HprofWriter().header().segment((body) => {
      for (let id = 1; id <= 300; id += 1) {
        body.primitiveArray(id, 10, (id * 11) % 301, new Uint8Array(((id * 11) % 301) * 4));
      }
    });

    const sizes = surveyOf(writer.bytes)
      .largestArrays.largest()
      .map(({ elementCount }) => elementCount);

    expect(sizes).toEqual(Array.from({ length: 50 }, (_, index) => 300 - index));
  });

  it('tells many contents apart', () => {
    const count = 140_000;
    const survey = new HeapSurvey();
    survey.push(new HprofWriter().header().bytes);
    const bytes = new Uint8Array(9 + 30 * 22);
    for (let first = 0; first < count; first += 30) {
      let at = 9;
      bytes.fill(0);
      bytes[0] = 0x1c;
      const view = new DataView(bytes.buffer);
      view.setUint32(5, 30 * 22);
      for (let index = first; index < first + 30; index += 1) {
        bytes[at] = 0x23;
        view.setUint32(at + 5, index);
        view.setUint32(at + 13, 4);
        bytes[at + 17] = 8;
        view.setUint32(at + 18, Math.floor(index / 2));
        at += 22;
      }
      survey.push(bytes);
    }

    const { contents } = survey.finish();

    expect(contents.arrayCount).toBe(140_010);
    expect(contents.duplicateCount).toBe(70_005);
  });

  it('answers random changes with a result or InvalidHprof', () => {
    const dump = richDump(8);
    const sample = sampleDump(4);
    fc.assert(
      fc.property(
        fc.constantFrom(dump, sample),
        fc.array(fc.tuple(fc.nat(2_000), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        fc.nat(2_000),
        (original, changes, length) => {
          const bytes = Uint8Array.from(original);
          for (const [at, value] of changes) bytes[at % bytes.length] = value;
          const survey = new HeapSurvey();
          try {
            survey.push(bytes.subarray(0, length));
          } catch (error) {
            expect(error).toBeInstanceOf(CaptureError);
          }
          seen(survey.finish());
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
