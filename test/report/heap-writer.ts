import { HprofWriter, type Identifier } from '../hprof/hprof-writer.ts';

interface WrittenClass {
  readonly id: number;
  readonly name: string;
  readonly superName?: string;
  readonly loader?: Identifier;
  readonly fields?: readonly (readonly [name: string, type: number])[];
  readonly statics?: Readonly<Record<string, Identifier>>;
}

/** Writes a heap by names: classes with fields, instances with values, roots of any kind. */
export class HeapWriter {
  readonly #names = new Map<string, number>();
  readonly #classes: WrittenClass[] = [];
  readonly #body: HprofWriter;
  readonly #idBytes: 4 | 8;

  constructor(idBytes: 4 | 8 = 8) {
    this.#idBytes = idBytes;
    this.#body = new HprofWriter(idBytes);
  }

  class(described: WrittenClass): this {
    this.#classes.push(described);
    return this;
  }

  /** A number is a reference or an int, by the field's type. */
  instance(id: Identifier, className: string, ...values: readonly Identifier[]): this {
    const inner = new HprofWriter(this.#idBytes);
    for (const [at, [, type]] of this.#allFields(className).entries()) {
      const value = values[at] ?? 0;
      if (type === 2) inner.id(value);
      else inner.u4(Number(value));
    }
    this.#body.instance(id, this.#classNamed(className).id, inner.bytes);
    return this;
  }

  array(id: Identifier, className: string, elements: readonly Identifier[]): this {
    this.#body.objectArray(id, this.#classNamed(className).id, elements);
    return this;
  }

  bytes(id: Identifier, text: string): this {
    this.#body.primitiveArray(id, 8, text.length, new TextEncoder().encode(text));
    return this;
  }

  stickyClass(name: string): this {
    this.#body.u1(0x05).id(this.#classNamed(name).id);
    return this;
  }

  jniGlobal(id: Identifier): this {
    this.#body.u1(0x01).id(id, 1);
    return this;
  }

  thread(id: Identifier, serial: number): this {
    this.#body.u1(0x08).id(id).u4(serial, 0);
    return this;
  }

  local(id: Identifier, serial: number): this {
    this.#body.u1(0x03).id(id).u4(serial, 0);
    return this;
  }

  get dump(): Uint8Array {
    const classes = new HprofWriter(this.#idBytes);
    const heads = new HprofWriter(this.#idBytes).header();
    for (const { id, name, superName, loader = 0, fields = [], statics = {} } of this.#classes) {
      const superId = superName === undefined ? 0 : this.#classNamed(superName).id;
      classes.u1(0x20).id(id).u4(0).id(superId, loader, 0, 0, 0, 0).u4(0).u2(0);
      classes.u2(Object.keys(statics).length);
      for (const [field, value] of Object.entries(statics)) {
        classes.id(this.#nameId(field)).u1(2).id(value);
      }
      classes.u2(fields.length);
      for (const [field, type] of fields) classes.id(this.#nameId(field)).u1(type);
      heads.loadClass(id, this.#nameId(name.replaceAll('.', '/')));
    }
    const names = new HprofWriter(this.#idBytes);
    for (const [name, id] of this.#names) names.utf8(id, name);
    const header = new HprofWriter(this.#idBytes).header().bytes;
    return new HprofWriter(this.#idBytes)
      .raw(header)
      .raw(names.bytes)
      .raw(heads.bytes.subarray(header.length))
      .segment((body) => body.raw(classes.bytes))
      .segment((body) => body.raw(this.#body.bytes))
      .end().bytes;
  }

  #classNamed(name: string): WrittenClass {
    const found = this.#classes.find((known) => known.name === name);
    if (!found) throw new Error(`no class ${name}`);
    return found;
  }

  #allFields(name: string): (readonly [string, number])[] {
    const { fields = [], superName } = this.#classNamed(name);
    return [...fields, ...(superName === undefined ? [] : this.#allFields(superName))];
  }

  #nameId(name: string): number {
    const known = this.#names.get(name) ?? 1_000 + this.#names.size;
    this.#names.set(name, known);
    return known;
  }
}
