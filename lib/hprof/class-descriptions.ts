import { readU4, type IdentifierByteSize } from './records.ts';

/** All fields of all classes that are kept; later ones are left out and `complete` is false. */
const maxFieldCount = 16_000_000;

/** A field's name (an identifier in halves) and type (2 reference, 4 boolean … 11 long). */
export interface Field {
  readonly nameHigh: number;
  readonly nameLow: number;
  readonly type: number;
}

/** A static field that refers to an object; both halves of `value` are 0 where it is null. */
export interface StaticReference extends Field {
  readonly valueHigh: number;
  readonly valueLow: number;
}

/** What a class dump says of one class. */
export interface ClassDescription {
  readonly high: number;
  readonly low: number;
  readonly superHigh: number;
  readonly superLow: number;
  readonly loaderHigh: number;
  readonly loaderLow: number;
  readonly signersHigh: number;
  readonly signersLow: number;
  readonly domainHigh: number;
  readonly domainLow: number;
  /** Instance fields of its own, in the order of an instance's values. */
  fields: readonly Field[];
  /** Static fields that are references, and constants that are, which have no name. */
  readonly references: StaticReference[];
  /** Of all static fields. */
  staticBytes: number;
}

/** Gathers class dumps while their parts stream by. Source: the "HPROF Agent" binary format. */
export class ClassDescriptions {
  readonly #byClass = new Map<number, ClassDescription>();
  #idBytes: IdentifierByteSize = 8;
  #current: ClassDescription | undefined;
  #fieldCount = 0;
  /** Bytes of what comes next as values, gathered. */
  #wanted = new Uint8Array(0);
  #gatheredBytes = 0;
  #gathers: 'nothing' | 'reference' | 'fields' = 'nothing';
  #name: { nameHigh: number; nameLow: number } = { nameHigh: 0, nameLow: 0 };
  complete = true;
  /** CLASS_DUMP sub-records of a class that was described before. */
  repeatCount = 0;

  set idBytes(idBytes: IdentifierByteSize) {
    this.#idBytes = idBytes;
  }

  get size(): number {
    return this.#byClass.size;
  }

  /** By the class's index in the tally. */
  get(classIndex: number): ClassDescription | undefined {
    return this.#byClass.get(classIndex);
  }

  entries(): IterableIterator<[number, ClassDescription]> {
    return this.#byClass.entries();
  }

  begin(classIndex: number, data: Uint8Array, at: number): void {
    const id = this.#idBytes;
    const superAt = at + 5 + id;
    const pair = (start: number): [number, number] => [
      id === 8 ? readU4(data, start) : 0,
      readU4(data, start + id - 4),
    ];
    const [high, low] = pair(at + 1);
    const [superHigh, superLow] = pair(superAt);
    const [loaderHigh, loaderLow] = pair(superAt + id);
    const [signersHigh, signersLow] = pair(superAt + 2 * id);
    const [domainHigh, domainLow] = pair(superAt + 3 * id);
    this.#gathers = 'nothing';
    this.#current = {
      ...{ high, low, superHigh, superLow, loaderHigh, loaderLow },
      ...{ signersHigh, signersLow, domainHigh, domainLow },
      fields: [],
      references: [],
      staticBytes: 0,
    };
    if (this.#byClass.has(classIndex)) this.repeatCount += 1;
    else this.#byClass.set(classIndex, this.#current);
  }

  value(type: number, valueBytes: number, data: Uint8Array, nameAt: number): void {
    if (this.#current && nameAt !== -1) this.#current.staticBytes += valueBytes;
    this.#gathers = 'nothing';
    if (type !== 2) return;
    this.#name =
      nameAt === -1
        ? { nameHigh: 0, nameLow: 0 }
        : {
            nameHigh: this.#idBytes === 8 ? readU4(data, nameAt) : 0,
            nameLow: readU4(data, nameAt + this.#idBytes - 4),
          };
    this.#want('reference', this.#idBytes);
  }

  fields(fieldCount: number): void {
    this.#gathers = 'nothing';
    if (fieldCount === 0) return;
    this.#want('fields', fieldCount * (this.#idBytes + 1));
  }

  values(data: Uint8Array, start: number, end: number): void {
    if (this.#gathers === 'nothing') return;
    this.#wanted.set(data.subarray(start, end), this.#gatheredBytes);
    this.#gatheredBytes += end - start;
    if (this.#gatheredBytes < this.#wanted.length) return;
    if (this.#gathers === 'reference') this.#addReference();
    else this.#addFields();
    this.#gathers = 'nothing';
  }

  #want(what: 'reference' | 'fields', bytes: number): void {
    this.#gathers = what;
    this.#wanted = new Uint8Array(bytes);
    this.#gatheredBytes = 0;
  }

  #addReference(): void {
    const id = this.#idBytes;
    if (!this.#hasRoom(1)) return;
    this.#current?.references.push({
      ...this.#name,
      type: 2,
      valueHigh: id === 8 ? readU4(this.#wanted, 0) : 0,
      valueLow: readU4(this.#wanted, id - 4),
    });
  }

  #addFields(): void {
    const id = this.#idBytes;
    const count = this.#wanted.length / (id + 1);
    if (!this.#current || !this.#hasRoom(count)) return;
    this.#current.fields = Array.from({ length: count }, (_, index) => {
      const at = index * (id + 1);
      return {
        nameHigh: id === 8 ? readU4(this.#wanted, at) : 0,
        nameLow: readU4(this.#wanted, at + id - 4),
        type: this.#wanted[at + id] ?? 0,
      };
    });
  }

  #hasRoom(count: number): boolean {
    this.#fieldCount += count;
    if (this.#fieldCount <= maxFieldCount) return true;
    this.complete = false;
    return false;
  }
}
