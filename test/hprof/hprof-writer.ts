/** Writes heap dumps in code, byte for byte as the format has them. */

export type Identifier = number | bigint;

export class HprofWriter {
  readonly identifierByteSize: 4 | 8;
  readonly #bytes: number[] = [];

  constructor(identifierByteSize: 4 | 8 = 8) {
    this.identifierByteSize = identifierByteSize;
  }

  get bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  u1(...values: number[]): this {
    this.#bytes.push(...values.map((value) => value & 0xff));
    return this;
  }

  u2(...values: number[]): this {
    for (const value of values) this.u1(value >>> 8, value);
    return this;
  }

  u4(...values: number[]): this {
    for (const value of values) this.u1(value >>> 24, value >>> 16, value >>> 8, value);
    return this;
  }

  id(...identifiers: Identifier[]): this {
    for (const identifier of identifiers) {
      const value = BigInt(identifier);
      if (this.identifierByteSize === 8) this.u4(Number(value >> 32n));
      this.u4(Number(value & 0xffff_ffffn));
    }
    return this;
  }

  raw(bytes: Iterable<number>): this {
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  text(text: string): this {
    return this.raw(new TextEncoder().encode(text));
  }

  header(version = '1.0.2', timestampMillis = 1_700_000_000_000): this {
    this.text(`JAVA PROFILE ${version}`).u1(0).u4(this.identifierByteSize);
    return this.u4(Math.floor(timestampMillis / 2 ** 32), timestampMillis % 2 ** 32);
  }

  record(tag: number, body: (writer: HprofWriter) => void = () => undefined): this {
    const inner = new HprofWriter(this.identifierByteSize);
    body(inner);
    const { bytes } = inner;
    return this.u1(tag).u4(0, bytes.length).raw(bytes);
  }

  utf8(id: Identifier, text: string): this {
    return this.record(0x01, (body) => body.id(id).text(text));
  }

  loadClass(classId: Identifier, nameId: Identifier): this {
    return this.record(0x02, (body) => body.u4(1).id(classId).u4(0).id(nameId));
  }

  segment(subRecords: (writer: HprofWriter) => void): this {
    return this.record(0x1c, subRecords);
  }

  end(): this {
    return this.record(0x2c);
  }

  // sub-records

  root(tag: number): this {
    const u4s: Record<number, number> = { 2: 2, 3: 2, 4: 1, 6: 1, 8: 2 };
    this.u1(tag).id(1);
    if (tag === 1) this.id(2);
    return this.raw(new Uint8Array((u4s[tag] ?? 0) * 4));
  }

  /** Constants and statics are [type, value bytes]; fields are types. */
  classDump(
    classId: Identifier,
    parts: {
      constants?: readonly (readonly [number, number])[];
      statics?: readonly (readonly [number, number])[];
      fieldTypes?: readonly number[];
      superId?: Identifier;
      /** Every byte of constants and statics. */
      filling?: number;
    } = {},
  ): this {
    const { constants = [], statics = [], fieldTypes = [], superId = 0, filling = 0 } = parts;
    const value = (bytes: number): Uint8Array => new Uint8Array(bytes).fill(filling);
    this.u1(0x20).id(classId).u4(0).id(superId, 0, 0, 0, 0, 0).u4(16);
    this.u2(constants.length);
    for (const [type, bytes] of constants) this.u2(1).u1(type).raw(value(bytes));
    this.u2(statics.length);
    for (const [type, bytes] of statics) this.id(9).u1(type).raw(value(bytes));
    this.u2(fieldTypes.length);
    for (const type of fieldTypes) this.id(9).u1(type);
    return this;
  }

  instance(id: Identifier, classId: Identifier, values: Iterable<number> = []): this {
    const bytes = [...values];
    return this.u1(0x21).id(id).u4(0).id(classId).u4(bytes.length).raw(bytes);
  }

  objectArray(id: Identifier, classId: Identifier, elements: readonly Identifier[]): this {
    return this.u1(0x22)
      .id(id)
      .u4(0, elements.length)
      .id(classId)
      .id(...elements);
  }

  primitiveArray(id: Identifier, type: number, count: number, bytes: Iterable<number>): this {
    return this.u1(0x23).id(id).u4(0, count).u1(type).raw(bytes);
  }
}

/** A small dump with every record and sub-record that HotSpot writes. */
export function sampleDump(identifierByteSize: 4 | 8 = 8): Uint8Array {
  // Above 2^53 and with the top bit set: addresses a reader must not squeeze into a double or a signed integer.
  const base = identifierByteSize === 8 ? 0xffff_8000_0000_0000n : 0x8000_0000n;
  const [marker, array, string] = [base + 8n, base + 16n, base + 24n];
  return new HprofWriter(identifierByteSize)
    .header()
    .utf8(101, 'demo/Marker')
    .utf8(102, '[Ljava/lang/Object;')
    .utf8(103, 'java/lang/String')
    .utf8(104, 'unused')
    .loadClass(marker, 101)
    .loadClass(array, 102)
    .loadClass(string, 103)
    .record(0x04, (body) => body.id(1, 2, 3, 4).u4(1, 2))
    .record(0x05, (body) => body.u4(1, 0, 0))
    .segment((body) => {
      for (const tag of [0xff, 1, 2, 3, 4, 5, 6, 7, 8]) body.root(tag);
      body
        .classDump(marker, {
          constants: [
            [2, identifierByteSize],
            [11, 8],
            [4, 1],
          ],
          statics: [
            [2, identifierByteSize],
            [5, 2],
            [7, 8],
          ],
          fieldTypes: [10, 2],
        })
        .classDump(array)
        .classDump(string, { statics: [[9, 2]] });
    })
    .segment((body) => {
      body
        .instance(1, marker, [0, 0, 0, 1, 0, 0, 0, 2])
        .instance(2, marker, [0, 0, 0, 3, 0, 0, 0, 4])
        .instance(3, string)
        .objectArray(4, array, [1, 2, 3])
        .objectArray(5, array, [])
        .primitiveArray(6, 8, 5, [1, 2, 3, 4, 5])
        .primitiveArray(7, 11, 2, new Uint8Array(16))
        .instance(8, marker, [0, 0, 0, 1, 0, 0, 0, 2]);
    })
    .end().bytes;
}
