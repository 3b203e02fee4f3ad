import { grown, IdTable } from './id-table.ts';
import type { NameTable } from './name-table.ts';
import { invalidHprof } from './records.ts';
import type { SubRecordVisitor } from './sub-record-visitor.ts';
import { primitiveTypes } from './sub-records.ts';

/** The instances of all classes of one name: two class loaders may each have one. */
export interface ClassCount {
  /** As GC.class_histogram prints it: `java.lang.String`, `[B`, `[Ljava.lang.Object;`. */
  readonly className: string;
  readonly instanceCount: number;
  /**
   * Bytes of all fields or elements as they stand in the dump: references are identifierByteSize wide, headers
   * and padding are not counted. GC.class_histogram shows the size in the heap instead.
   */
  readonly shallowBytes: number;
}

/** More than any JVM has; a dump that lies about its classes ends here. */
const maxClassCount = 1_000_000;

/** Counts instances and bytes by class while the sub-records stream by. */
export class ClassTally implements SubRecordVisitor {
  readonly #ids = new IdTable(maxClassCount);
  #nameHighs = new Uint32Array(1_024);
  #nameLows = new Uint32Array(1_024);
  #counts = new Float64Array(1_024);
  #bytes = new Float64Array(1_024);
  readonly #primitiveCounts = new Float64Array(12);
  readonly #primitiveBytes = new Float64Array(12);
  rootCount = 0;
  classCount = 0;
  loadedClassCount = 0;
  instanceCount = 0;
  objectArrayCount = 0;
  primitiveArrayCount = 0;
  shallowBytes = 0;

  loadClass(idHigh: number, idLow: number, nameHigh: number, nameLow: number): void {
    const index = this.indexOf(idHigh, idLow);
    this.#nameHighs[index] = nameHigh;
    this.#nameLows[index] = nameLow;
    this.loadedClassCount += 1;
  }

  root(): void {
    this.rootCount += 1;
  }

  classDump(): void {
    this.classCount += 1;
  }

  /** @returns the class's index, see `indexOf`. */
  instance(classHigh: number, classLow: number, valueBytes: number): number {
    this.instanceCount += 1;
    return this.#count(classHigh, classLow, valueBytes);
  }

  /** @returns the index of the array's class. */
  objectArray(classHigh: number, classLow: number, valueBytes: number): number {
    this.objectArrayCount += 1;
    return this.#count(classHigh, classLow, valueBytes);
  }

  primitiveArray(elementType: number, valueBytes: number): void {
    this.primitiveArrayCount += 1;
    this.shallowBytes += valueBytes;
    this.#primitiveCounts[elementType] = (this.#primitiveCounts[elementType] ?? 0) + 1;
    this.#primitiveBytes[elementType] = (this.#primitiveBytes[elementType] ?? 0) + valueBytes;
  }

  /** Classes with instances by name; one without a known name is called by its identifier, `class 0x7f…`. */
  byName(names: NameTable): Map<string, ClassCount> {
    const byName = new Map<string, ClassCount>();
    const add = (className: string, instanceCount: number, shallowBytes: number): void => {
      if (instanceCount === 0) return;
      const known = byName.get(className);
      byName.set(className, {
        className,
        instanceCount: instanceCount + (known?.instanceCount ?? 0),
        shallowBytes: shallowBytes + (known?.shallowBytes ?? 0),
      });
    };
    for (const [type, { arrayName }] of Object.entries(primitiveTypes)) {
      const index = Number(type);
      add(arrayName, this.#primitiveCounts[index] ?? 0, this.#primitiveBytes[index] ?? 0);
    }
    for (let index = 0; index < this.#ids.count; index += 1) {
      const count = this.#counts[index] ?? 0;
      if (count > 0) add(this.nameOf(index, names), count, this.#bytes[index] ?? 0);
    }
    return byName;
  }

  /** Classes that were named, described or instantiated so far: their indices are below. */
  get knownClassCount(): number {
    return this.#ids.count;
  }

  /** Instances of one class of that name. */
  countOf(index: number): number {
    return this.#counts[index] ?? 0;
  }

  nameOf(index: number, names: NameTable): string {
    const name = names.textOf(this.#nameHighs[index] ?? 0, this.#nameLows[index] ?? 0);
    if (name === undefined) return `class ${this.#ids.nameOf(index)}`;
    return javaName(name);
  }

  /** The index of a class, -1 when it was not seen. */
  find(classHigh: number, classLow: number): number {
    return this.#ids.indexOf(classHigh, classLow);
  }

  #count(classHigh: number, classLow: number, valueBytes: number): number {
    const index = this.indexOf(classHigh, classLow);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#bytes[index] = (this.#bytes[index] ?? 0) + valueBytes;
    this.shallowBytes += valueBytes;
    return index;
  }

  /** A small number for the class, the same as long as this tally lives. */
  indexOf(classHigh: number, classLow: number): number {
    const index = this.#ids.add(classHigh, classLow);
    if (index === -1) throw invalidHprof(`more than ${maxClassCount} classes`);
    if (index >= this.#counts.length) {
      const capacity = this.#counts.length * 2;
      this.#nameHighs = grown(this.#nameHighs, new Uint32Array(capacity));
      this.#nameLows = grown(this.#nameLows, new Uint32Array(capacity));
      this.#counts = grown(this.#counts, new Float64Array(capacity));
      this.#bytes = grown(this.#bytes, new Float64Array(capacity));
    }
    return index;
  }
}

/**
 * A class's name as GC.class_histogram prints it. Hidden classes are `a/B$$Lambda+0x7f…` in a dump, and
 * `a.B$$Lambda/0x7f…` elsewhere.
 */
export function javaName(name: string): string {
  return name.replaceAll('/', '.').replace(/\+(?=0x[0-9a-f]+$)/, '/');
}
