import { HeapRecords } from '../heap-records.ts';
import { RecordChain } from '../record-chain.ts';
import { readU4, type IdentifierByteSize } from '../records.ts';
import type { ValueVisitor } from '../sub-record-visitor.ts';
import type { Survey } from '../survey.ts';
import type { ClassLayout, LayoutsOfClasses } from './class-layout.ts';
import type { RootSet } from './extra-references.ts';
import { lastBit, type References } from './search.ts';
import type { ObjectIndex } from './object-index.ts';

/** Kinds of objects that are no instance and no array of objects, in `kinds` in place of a class's index. */
export const classObject = 0xffff_ffff;
export const primitiveArrayBase = 0xffff_ff00;

/** All objects with their kinds, sizes and references. */
export interface HeapGraph extends References {
  /** By object: the class's index in the tally, `classObject`, or `primitiveArrayBase` + element type. */
  readonly kinds: Uint32Array;
  /** By object: elements of an array, bytes of an instance's fields, index in the tally of a class. */
  readonly counts: Uint32Array;
  readonly danglingReferenceCount: number;
  /** Instances of classes that are not described: their references are unknown. */
  readonly opaqueInstanceCount: number;
}

/** References that the pass finds at most; exact where no class is described twice or not at all. */
export function referenceBound(survey: Survey, layouts: LayoutsOfClasses, extra: RootSet): number {
  let bound = survey.elementReferenceCount;
  for (let index = 0; index < survey.tally.knownClassCount; index += 1) {
    bound += survey.tally.countOf(index) * (layouts.of(index)?.references.length ?? 0);
  }
  for (const [, { references }] of survey.classes.entries()) bound += references.length + 4;
  for (const list of extra.extras.values()) bound += list.length;
  return bound;
}

/** The second pass over a dump: what each object refers to. 12 bytes an object, 4 a reference. */
export class ReferencePass {
  readonly #collector: ReferenceCollector;
  readonly #chain: RecordChain;

  constructor(survey: Survey, index: ObjectIndex, layouts: LayoutsOfClasses, extra: RootSet) {
    this.#collector = new ReferenceCollector(survey, index, layouts, extra);
    const records = new HeapRecords(this.#collector, (idBytes) => {
      this.#collector.idBytes = idBytes;
    });
    this.#chain = new RecordChain({ visitor: records });
  }

  /** @throws CaptureError InvalidHprof where the survey did. */
  push(chunk: Uint8Array): void {
    this.#chain.push(chunk);
  }

  finish(): HeapGraph {
    return this.#collector.finish();
  }
}

const maxGatheredBytes = 1024 * 1024;
type Purpose = 'nothing' | 'instance' | 'elements';

class ReferenceCollector implements ValueVisitor {
  readonly #survey: Survey;
  readonly #index: ObjectIndex;
  readonly #layouts: LayoutsOfClasses;
  readonly #extras: RootSet['extras'];
  readonly #starts: Uint32Array;
  readonly #kinds: Uint32Array;
  readonly #counts: Uint32Array;
  readonly #targets: Uint32Array;
  /** Objects with extra references, a bit each: asked for every object. */
  readonly #hasExtras: Uint8Array;
  #targetCount = 0;
  #firstTarget = 0;
  #object = -1;
  #danglingCount = 0;
  #opaqueCount = 0;
  idBytes: IdentifierByteSize = 8;
  #purpose: Purpose = 'nothing';
  #layout: ClassLayout | undefined;
  #valueBytes = 0;
  readonly #gathered = new Uint8Array(maxGatheredBytes);
  #gatheredBytes = 0;
  #doneBytes = 0;

  constructor(survey: Survey, index: ObjectIndex, layouts: LayoutsOfClasses, extra: RootSet) {
    this.#survey = survey;
    this.#index = index;
    this.#layouts = layouts;
    this.#extras = extra.extras;
    this.#starts = new Uint32Array(index.count);
    this.#kinds = new Uint32Array(index.count);
    this.#counts = new Uint32Array(index.count);
    this.#targets = new Uint32Array(referenceBound(survey, layouts, extra));
    this.#hasExtras = new Uint8Array((index.count >>> 3) + 1);
    for (const object of extra.extras.keys()) {
      this.#hasExtras[object >>> 3] = (this.#hasExtras[object >>> 3] ?? 0) | (1 << (object & 7));
    }
  }

  root(): void {
    this.#endObject();
  }

  classDump(classHigh: number, classLow: number): void {
    const classIndex = this.#survey.tally.find(classHigh, classLow);
    if (!this.#beginObject(classHigh, classLow, classObject, classIndex)) return;
    const description = this.#survey.classes.get(classIndex);
    if (!description) return;
    this.#refer(description.superHigh, description.superLow);
    this.#refer(description.loaderHigh, description.loaderLow);
    this.#refer(description.signersHigh, description.signersLow);
    this.#refer(description.domainHigh, description.domainLow);
    for (const { valueHigh, valueLow } of description.references) this.#refer(valueHigh, valueLow);
  }

  classValue(): void {
    this.#purpose = 'nothing';
  }

  classFields(): void {
    this.#purpose = 'nothing';
  }

  instance(
    classHigh: number,
    classLow: number,
    valueBytes: number,
    data: Uint8Array,
    at: number,
  ): void {
    const classIndex = this.#survey.tally.find(classHigh, classLow);
    if (!this.#begin(data, at, classIndex, valueBytes)) return;
    const layout = this.#layouts.of(classIndex);
    if (layout?.valueBytes !== valueBytes || valueBytes > maxGatheredBytes) {
      this.#opaqueCount += 1;
      return;
    }
    if (layout.references.length === 0) return;
    this.#purpose = 'instance';
    this.#layout = layout;
    this.#valueBytes = valueBytes;
  }

  objectArray(
    classHigh: number,
    classLow: number,
    valueBytes: number,
    data: Uint8Array,
    at: number,
  ): void {
    const classIndex = this.#survey.tally.find(classHigh, classLow);
    if (this.#begin(data, at, classIndex, valueBytes / this.idBytes)) this.#purpose = 'elements';
  }

  primitiveArray(elementType: number, _valueBytes: number, data: Uint8Array, at: number): void {
    const elementCount = readU4(data, at + this.idBytes + 5);
    this.#begin(data, at, primitiveArrayBase + elementType, elementCount);
  }

  values(data: Uint8Array, start: number, end: number): void {
    if (this.#purpose === 'instance') this.#instanceValues(data, start, end);
    else if (this.#purpose === 'elements') this.#elementValues(data, start, end);
  }

  finish(): HeapGraph {
    this.#endObject();
    return {
      starts: this.#starts,
      targets: this.#targets.subarray(0, this.#targetCount),
      kinds: this.#kinds,
      counts: this.#counts,
      danglingReferenceCount: this.#danglingCount,
      opaqueInstanceCount: this.#opaqueCount,
    };
  }

  #instanceValues(data: Uint8Array, start: number, end: number): void {
    if (end - start === this.#valueBytes && this.#gatheredBytes === 0) {
      this.#referToFields(data, start);
      return;
    }
    this.#gathered.set(data.subarray(start, end), this.#gatheredBytes);
    this.#gatheredBytes += end - start;
    if (this.#gatheredBytes === this.#valueBytes) this.#referToFields(this.#gathered, 0);
  }

  #referToFields(data: Uint8Array, start: number): void {
    for (const offset of this.#layout?.references ?? []) this.#referTo(data, start + offset);
  }

  /** Elements that a piece cuts are gathered; all others are read in place. */
  #elementValues(data: Uint8Array, start: number, end: number): void {
    const id = this.idBytes;
    let at = start;
    while (at < end) {
      const done = this.#doneBytes % id;
      if (done === 0 && end - at >= id) {
        this.#referTo(data, at);
        at += id;
        this.#doneBytes += id;
      } else {
        this.#gathered[done] = data[at] ?? 0;
        at += 1;
        this.#doneBytes += 1;
        if (done === id - 1) this.#referTo(this.#gathered, 0);
      }
    }
  }

  #referTo(data: Uint8Array, at: number): void {
    if (this.idBytes === 8) this.#refer(readU4(data, at), readU4(data, at + 4));
    else this.#refer(0, readU4(data, at));
  }

  #refer(high: number, low: number): void {
    if (high === 0 && low === 0) return;
    const target = this.#index.find(high, low);
    if (target === -1) this.#danglingCount += 1;
    else this.#push(target);
  }

  /** The array has room for all; only a dump that describes something twice and otherwise can have more. */
  #push(target: number): void {
    if (this.#targetCount === this.#targets.length) return;
    this.#targets[this.#targetCount] = target;
    this.#targetCount += 1;
  }

  #begin(data: Uint8Array, at: number, kind: number, count: number): boolean {
    const high = this.idBytes === 8 ? readU4(data, at + 1) : 0;
    return this.#beginObject(high, readU4(data, at + this.idBytes - 3), kind, count);
  }

  /** False of an identifier that was there before: the first one counts. */
  #beginObject(high: number, low: number, kind: number, count: number): boolean {
    this.#endObject();
    const object = this.#index.find(high, low);
    if (object === -1 || this.#starts[object] !== 0 || this.#counts[object] !== 0) return false;
    this.#object = object;
    this.#kinds[object] = kind;
    this.#counts[object] = count;
    this.#firstTarget = this.#targetCount;
    if (((this.#hasExtras[object >>> 3] ?? 0) & (1 << (object & 7))) !== 0) {
      for (const extra of this.#extras.get(object) ?? []) this.#push(extra);
    }
    return true;
  }

  #endObject(): void {
    this.#purpose = 'nothing';
    this.#gatheredBytes = 0;
    this.#doneBytes = 0;
    if (this.#object !== -1 && this.#targetCount > this.#firstTarget) {
      this.#starts[this.#object] = this.#firstTarget + 1;
      const last = this.#targetCount - 1;
      this.#targets[last] = ((this.#targets[last] ?? 0) | lastBit) >>> 0;
    }
    this.#object = -1;
  }
}
