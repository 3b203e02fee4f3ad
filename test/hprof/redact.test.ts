import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { CaptureError } from '../../lib/errors.ts';
import { ClassLayouts } from '../../lib/hprof/class-layouts.ts';
import { Redactor, type RedactMode } from '../../lib/hprof/redact.ts';
import { HeapScan } from '../../lib/hprof/scan.ts';
import { errorOf, pushInPieces } from './chunks.ts';
import { HprofWriter, sampleDump } from './hprof-writer.ts';

const modes = ['primitiveArrays', 'allPrimitives'] as const;
const idSizes = [4, 8] as const;
const secret = 0x5e;
const reference = 0x77;

function redacted(
  bytes: Uint8Array,
  mode: RedactMode,
  cuts: readonly number[] = [],
): { bytes: Uint8Array; redactor: Redactor } {
  const copy = Uint8Array.from(bytes);
  const redactor = new Redactor({ mode });
  pushInPieces(redactor, copy, cuts);
  return { bytes: copy, redactor };
}

function scanOf(bytes: Uint8Array): unknown {
  const scan = new HeapScan();
  scan.push(bytes);
  return { ...scan.finish(), classNamed: undefined };
}

const count = (bytes: Uint8Array, wanted: number): number =>
  bytes.reduce((sum, byte) => sum + (byte === wanted ? 1 : 0), 0);

/** So many bytes of a secret; of a reference, bytes that tell it. */
const secrets = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(secret);
const references = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(reference);

/** demo.Child extends demo.Parent: int, reference, long; then byte, reference. */
const childTypes = [10, 2, 11];
const parentTypes = [8, 2];
const [parent, child] = [0x100, 0x108];

function childValues(idBytes: 4 | 8): number[] {
  return [
    ...secrets(4),
    ...references(idBytes),
    ...secrets(8),
    ...secrets(1),
    ...references(idBytes),
  ];
}

function secretDump(idBytes: 4 | 8, order: 'classesFirst' | 'classesLast' = 'classesFirst') {
  const writer = new HprofWriter(idBytes).header().utf8(1, 'demo/Parent').utf8(2, 'demo/Child');
  writer.loadClass(parent, 1).loadClass(child, 2);
  const statics: [number, number][] = [
    [11, 8],
    [2, idBytes],
    [4, 1],
  ];
  const classes = (body: HprofWriter): void => {
    const start = body.bytes.length;
    body
      .classDump(child, { superId: parent, fieldTypes: childTypes, statics, constants: statics })
      .classDump(parent, { fieldTypes: parentTypes });
    expect(body.bytes.length).toBeGreaterThan(start);
  };
  if (order === 'classesFirst') writer.segment(classes);
  writer.segment((body) => {
    for (let id = 1; id <= 5; id += 1) {
      body
        .instance(id, child, childValues(idBytes))
        .primitiveArray(id + 10, 8, id * 40, secrets(id * 40))
        .primitiveArray(id + 20, 11, id, secrets(id * 8))
        .objectArray(id + 30, 0x110, [1, 2]);
    }
    body.root(8);
  });
  if (order === 'classesLast') writer.segment(classes);
  return writer.end().bytes;
}

const arraySecretBytes = 15 * 40 + 15 * 8;
const fieldSecretBytes = 5 * 13;

describe('Redactor', () => {
  it.each(idSizes)(
    'zeroes the elements of primitive arrays and nothing else, with identifiers of %i bytes',
    (idBytes) => {
      const dump = secretDump(idBytes);
      expect(count(dump, secret)).toBe(arraySecretBytes + fieldSecretBytes);

      const { bytes, redactor } = redacted(dump, 'primitiveArrays');

      expect(count(bytes, secret)).toBe(fieldSecretBytes);
      const changed = bytes.filter((byte, at) => byte !== dump[at]);
      expect(changed).toEqual(new Uint8Array(arraySecretBytes));
      expect(redactor.account).toEqual({
        ...{ mode: 'primitiveArrays', zeroedBytes: arraySecretBytes, blankedInstanceCount: 0 },
      });
    },
  );

  it.each(idSizes)(
    'zeroes all primitives and keeps every reference, with identifiers of %i bytes',
    (idBytes) => {
      const dump = secretDump(idBytes);

      const { bytes, redactor } = redacted(dump, 'allPrimitives');

      expect(count(bytes, secret)).toBe(0);
      const changed = bytes.filter((byte, at) => byte !== dump[at]);
      expect(changed).toEqual(new Uint8Array(arraySecretBytes + fieldSecretBytes));
      expect(redactor.account).toMatchObject({ blankedInstanceCount: 0 });
    },
  );

  it('zeroes constants and static fields of classes, but for references, of all primitives', () => {
    const statics: [number, number][] = [
      [11, 8],
      [2, 8],
      [5, 2],
    ];
    const head = new HprofWriter().header();
    const { bytes: dump } = head.segment((body) =>
      body.classDump(8, { statics, constants: statics, filling: secret }),
    );
    expect(count(dump, secret)).toBe(36);

    expect(count(redacted(dump, 'allPrimitives').bytes, secret)).toBe(16);
    expect(count(redacted(dump, 'primitiveArrays').bytes, secret)).toBe(36);
  });

  it('zeroes an instance whole whose class is described only after it, and counts it', () => {
    const dump = secretDump(8, 'classesLast');

    const { bytes, redactor } = redacted(dump, 'allPrimitives');

    expect([count(bytes, secret), count(bytes, reference)]).toEqual([0, 0]);
    expect(redactor.account).toMatchObject({ blankedInstanceCount: 5 });
    expect(scanOf(bytes)).toEqual(scanOf(dump));
  });

  it.each<[string, (writer: HprofWriter) => void]>([
    ['has a superclass that is nowhere', (body) => body.classDump(child, { superId: parent })],
    [
      'is its own superclass',
      (body) => body.classDump(child, { superId: child, fieldTypes: [2, 2, 2] }),
    ],
    ['says another size', (body) => body.classDump(child, { fieldTypes: [2] })],
    ['has a field of no known type', (body) => body.classDump(child, { fieldTypes: [2, 3, 2] })],
  ])('zeroes an instance whole whose class %s', (_, describeClass) => {
    const head = new HprofWriter().header().segment(describeClass);
    const { bytes: dump } = head.segment((body) =>
      body.instance(1, child, secrets(24)).instance(2, child, secrets(24)),
    );

    const { bytes, redactor } = redacted(dump, 'allPrimitives');

    expect(count(bytes, secret)).toBe(0);
    expect(redactor.account).toMatchObject({ blankedInstanceCount: 2 });
  });

  it('believes the first description of a class', () => {
    const head = new HprofWriter().header();
    head.segment((body) =>
      body.classDump(child, { fieldTypes: [11] }).classDump(child, { fieldTypes: [2] }),
    );
    const { bytes: dump } = head.segment((body) => body.instance(1, child, secrets(8)));

    expect(count(redacted(dump, 'allPrimitives').bytes, secret)).toBe(0);
  });

  it('finds a layout once its superclass is described, though it was asked for before', () => {
    const head = new HprofWriter().header();
    const instance = (body: HprofWriter) => body.instance(1, child, references(16));
    head
      .segment((body) => body.classDump(child, { superId: parent, fieldTypes: [2] }))
      .segment(instance)
      .segment((body) => body.classDump(parent, { fieldTypes: [2] }))
      .segment(instance);

    const { bytes, redactor } = redacted(head.bytes, 'allPrimitives');

    expect(count(bytes, reference)).toBe(16);
    expect(redactor.account).toMatchObject({ blankedInstanceCount: 1 });
  });

  it('learns layouts from one segment file for the instances of another', () => {
    const layouts = new ClassLayouts();
    const order = { mode: 'allPrimitives', segmentIdentifierByteSize: 8, layouts } as const;
    const [first, second] = [new HprofWriter(), new HprofWriter()];
    first.segment((body) => body.classDump(child, { fieldTypes: [2, 11] }));
    second.segment((body) => body.instance(1, child, [...references(8), ...secrets(8)]));
    const redactor = new Redactor(order);
    const { bytes } = second;

    new Redactor(order).push(first.bytes);
    redactor.push(bytes);

    expect([count(bytes, secret), count(bytes, reference)]).toEqual([0, 8]);
    expect(redactor.account).toMatchObject({ zeroedBytes: 8, blankedInstanceCount: 0 });
  });

  it.each(modes)('does the same wherever the stream is cut: %s', (mode) => {
    for (const dump of [secretDump(8), secretDump(4, 'classesLast'), sampleDump()]) {
      const whole = redacted(dump, mode);
      const atEveryByte = redacted(dump, mode, [...dump.keys()]);
      const wholeHex = hexOf(whole.bytes);
      expect(hexOf(atEveryByte.bytes)).toEqual(wholeHex);
      expect(atEveryByte.redactor.account).toEqual(whole.redactor.account);
      fc.assert(
        fc.property(fc.array(fc.nat(dump.length)), (cuts) => {
          expect(hexOf(redacted(dump, mode, cuts).bytes)).toEqual(wholeHex);
        }),
      );
    }
  });

  it.each(modes)('keeps the record chain, all sizes and all counts: %s', (mode) => {
    for (const dump of [secretDump(4), secretDump(8), sampleDump(4), sampleDump(8)]) {
      expect(scanOf(redacted(dump, mode).bytes)).toEqual(scanOf(dump));
    }
  });

  it.each(modes)('leaves no secret of any heap of arrays and objects: %s', (mode) => {
    const fieldTypes = fc.array(fc.constantFrom(2, 4, 5, 6, 7, 8, 9, 10, 11), { maxLength: 6 });
    const bytesOf: Record<number, number> = { 4: 1, 5: 2, 6: 4, 7: 8, 8: 1, 9: 2, 10: 4, 11: 8 };
    const arrays = fc.array(fc.tuple(fc.constantFrom(4, 5, 6, 7, 8, 9, 10, 11), fc.nat(30)), {
      maxLength: 8,
    });
    const heap = fc.record({
      idBytes: fc.constantFrom(...idSizes),
      own: fieldTypes,
      inherited: fieldTypes,
      arrays,
      cuts: fc.array(fc.nat(3_000)),
    });
    fc.assert(
      fc.property(heap, ({ idBytes, own, inherited, arrays: all, cuts }) => {
        const dumpWith = (ofArrays: number, ofFields: number): Uint8Array => {
          const filled = (length: number, filling: number) => new Uint8Array(length).fill(filling);
          const values = [...own, ...inherited].flatMap((type) =>
            type === 2 ? [...references(idBytes)] : [...filled(bytesOf[type] ?? 0, ofFields)],
          );
          const writer = new HprofWriter(idBytes).header().segment((body) => {
            body
              .classDump(parent, { fieldTypes: inherited })
              .classDump(child, { superId: parent, fieldTypes: own });
            for (const [type, length] of all) {
              const bytes = filled(length * (bytesOf[type] ?? 0), ofArrays);
              body.primitiveArray(1, type, length, bytes).instance(2, child, values);
            }
          });
          return writer.end().bytes;
        };

        const { bytes } = redacted(dumpWith(secret, secret), mode, cuts);

        expect(bytes).toEqual(dumpWith(0, mode === 'allPrimitives' ? 0 : secret));
        expect(scanOf(bytes)).toEqual(scanOf(dumpWith(secret, secret)));
      }),
    );
  });

  it('zeroes an array that is larger than 2^31 bytes to its end, and not beyond', () => {
    const longs = 2 ** 28 + 100;
    const bytes = longs * 8;
    const piece = 8 * 1024 * 1024;
    const head = new HprofWriter().header().u1(0x1c).u4(0);
    head
      .u4(18 + bytes)
      .u1(0x23)
      .id(1)
      .u4(0, longs)
      .u1(11);
    const redactor = new Redactor({ mode: 'primitiveArrays' });
    redactor.push(head.bytes);
    const chunk = new Uint8Array(piece);
    const rest = bytes % piece;

    for (let at = rest; at < bytes; at += piece) {
      chunk[0] = secret;
      chunk[piece - 1] = secret;
      redactor.push(chunk);
      if (chunk[0] !== 0 || chunk[piece - 1] !== 0) throw new Error('a secret is left');
    }
    const text = new HprofWriter().utf8(1, '^'.repeat(50)).bytes;
    const last = Uint8Array.from([...secrets(rest), ...text]);
    redactor.push(last);

    expect(last).toEqual(Uint8Array.from([...new Uint8Array(rest), ...text]));
    expect(redactor.account.zeroedBytes).toBe(bytes);
  });

  it.each<[string, (writer: HprofWriter) => void]>([
    ['an unknown sub-record', (body) => body.u1(0x55).raw(secrets(50))],
    [
      'an array longer than its record',
      (body) => body.primitiveArray(1, 8, 0xffff_ffff, secrets(50)),
    ],
    [
      'an instance longer than its record',
      (body) => body.u1(0x21).id(1).u4(0).id(2).u4(51).raw(secrets(50)),
    ],
    ['an array of an unknown type', (body) => body.primitiveArray(1, 3, 4, secrets(50))],
  ])('refuses %s, now and at every later chunk', (_, subRecords) => {
    for (const mode of modes) {
      const { bytes } = new HprofWriter().header().segment(subRecords).utf8(1, '^^^');
      const copy = Uint8Array.from(bytes);
      const redactor = new Redactor({ mode });

      const error = errorOf(() => redactor.push(copy));

      expect(error.code).toBe('RedactionFailed');
      expect(error.message).toContain('is not stored from here on');
      expect(errorOf(() => redactor.push(new Uint8Array(9))).code).toBe('RedactionFailed');
      expect(copy.subarray(-3)).toEqual(bytes.subarray(-3));
    }
  });

  it('writes only inside heap dump records, whatever the bytes say', () => {
    const dump = secretDump(8);
    const change = fc.tuple(fc.nat(dump.length - 1), fc.nat(255));
    fc.assert(
      fc.property(
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.array(fc.nat(dump.length)),
        fc.constantFrom(...modes),
        (changes, cuts, mode) => {
          const bytes = Uint8Array.from(dump);
          for (const [at, value] of changes) bytes[at] = value;
          const outcomes = [[], cuts].map((pieces) => {
            // A guard behind the chunk: nothing may be written past its end either.
            const guarded = Uint8Array.from([...bytes, ...secrets(64)]);
            const copy = guarded.subarray(0, bytes.length);
            const redactor = new Redactor({ mode });
            try {
              pushInPieces(redactor, copy, pieces);
            } catch (error) {
              expect((error as CaptureError).code).toBe('RedactionFailed');
              return 'refused';
            } finally {
              expect(count(guarded.subarray(bytes.length), secret)).toBe(64);
            }
            expect(chainOf(copy)).toEqual(chainOf(bytes));
            return hexOf(copy);
          });
          expect(outcomes[1]).toEqual(outcomes[0]);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

/** Texts are compared at once; expect looks at arrays byte by byte. */
function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Heads of all records, and the bodies of those that hold no heap. */
function chainOf(bytes: Uint8Array): readonly string[] {
  const found = [hexOf(bytes.subarray(0, 31))];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 31; at + 9 <= bytes.length;) {
    const bodyAt = at + 9;
    const end = Math.min(bytes.length, bodyAt + view.getUint32(at + 5));
    const isHeap = bytes[at] === 0x1c || bytes[at] === 0x0c;
    found.push(hexOf(bytes.subarray(at, isHeap ? bodyAt : end)));
    at = end;
  }
  return found;
}
