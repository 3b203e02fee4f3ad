import { primitiveTypes } from '../sub-records.ts';
import type { Survey } from '../survey.ts';

const maxDepth = 1_000;

/** A field of an instance, its own or a superclass's. */
export interface LaidField {
  readonly nameHigh: number;
  readonly nameLow: number;
  readonly type: number;
  /** Of its value among the instance's values, in bytes. */
  readonly offset: number;
}

/** Where the values of an instance lie: the fields of its class, then those of each superclass. */
export interface ClassLayout {
  readonly fields: readonly LaidField[];
  readonly valueBytes: number;
  /** Offsets of the references that keep what they refer to. */
  readonly references: Uint32Array;
  /** All references, the weak ones too. */
  readonly referenceCount: number;
  /** Bytes of all fields that are no references. */
  readonly primitiveBytes: number;
  /** Indices of its superclasses, nearest first. */
  readonly supers: readonly number[];
}

/**
 * The layouts of a dump's classes, by their index in the tally; each is computed once.
 * The `referent` of weak and phantom references keeps nothing, and is left out of `references`; that of soft ones, which a
 * JVM gives up last, and of finalizers, which it must run first, stays.
 */
export class LayoutsOfClasses {
  readonly #survey: Survey;
  readonly #layouts = new Map<number, ClassLayout | undefined>();

  constructor(survey: Survey) {
    this.#survey = survey;
  }

  /** `undefined` when the class or one above it is not described. */
  of(classIndex: number): ClassLayout | undefined {
    if (!this.#layouts.has(classIndex)) this.#layouts.set(classIndex, this.#layOut(classIndex));
    return this.#layouts.get(classIndex);
  }

  #layOut(classIndex: number): ClassLayout | undefined {
    const { classes, tally, chain } = this.#survey;
    const idBytes = chain.identifierByteSize ?? 8;
    const fields: LaidField[] = [];
    const supers: number[] = [];
    let offset = 0;
    let primitiveBytes = 0;
    let next = classIndex;
    for (let depth = 0; next !== -1; depth += 1) {
      const description = classes.get(next);
      if (!description || depth > maxDepth) return undefined;
      if (depth > 0) supers.push(next);
      for (const { nameHigh, nameLow, type } of description.fields) {
        const bytes = type === 2 ? idBytes : (primitiveTypes[type]?.bytes ?? 0);
        if (bytes === 0) return undefined;
        fields.push({ nameHigh, nameLow, type, offset });
        offset += bytes;
        if (type !== 2) primitiveBytes += bytes;
      }
      const { superHigh, superLow } = description;
      if (superHigh === 0 && superLow === 0) break;
      next = tally.find(superHigh, superLow);
      if (next === -1) return undefined;
    }
    const isWeak = [classIndex, ...supers].some((index) => this.#isWeakReference(index));
    const all = fields.filter(({ type }) => type === 2);
    const strong = isWeak ? all.filter((field) => !this.#isReferent(field)) : all;
    return {
      fields,
      valueBytes: offset,
      references: Uint32Array.from(strong, (field) => field.offset),
      referenceCount: all.length,
      primitiveBytes,
      supers,
    };
  }

  #isWeakReference(classIndex: number): boolean {
    const name = this.#survey.tally.nameOf(classIndex, this.#survey.names);
    return name === 'java.lang.ref.WeakReference' || name === 'java.lang.ref.PhantomReference';
  }

  #isReferent({ nameHigh, nameLow }: LaidField): boolean {
    return this.#survey.names.textOf(nameHigh, nameLow) === 'referent';
  }
}
