import { primitiveTypes } from '../sub-records.ts';
import type { Survey } from '../survey.ts';
import type { LayoutsOfClasses } from './class-layout.ts';
import type { ObjectIndex } from './object-index.ts';
import { classObject, primitiveArrayBase, type HeapGraph } from './reference-pass.ts';

/** Where the elements of an array of byte may begin, and the header of an instance beside it. */
const headersByBase: Readonly<Record<number, number>> = { 12: 8, 16: 12, 20: 16, 24: 16 };
const byteType = 8;
/** Fields that HotSpot adds to classes of its own, which no dump shows. Source: javaClasses.hpp of OpenJDK 17 and 25. */
const injectedBytes: Readonly<Record<string, number>> = {
  'java.lang.Module': 8,
  'java.lang.ClassLoader': 8,
  'java.lang.invoke.MemberName': 8,
  'java.lang.invoke.ResolvedMethodName': 8,
  'java.lang.invoke.MethodHandleNatives$CallSiteContext': 16,
};
const minCountForAlignment = 1_000;
const minArrayCount = 64;
const highOf32Gibibytes = 8;

/**
 * What objects take in the JVM's heap, in bytes: header and padding, and references as wide as they were there. A dump
 * does not say; addresses do: no object is larger than the distance to the next one. Where the elements of an array begin,
 * how wide references are, and whether a class's instances are smaller than their fields suggest is what neighbours prove;
 * without proof, sizes are those of a 64-bit HotSpot with compressed references below 32 GiB.
 * Source: arrayOop.hpp, oop.hpp and fieldLayoutBuilder.cpp of OpenJDK 17 and 25.
 */
export class HeapSizes {
  readonly arrayBaseBytes: number;
  readonly referenceBytes: number;
  readonly alignmentBytes: number;
  readonly #graph: HeapGraph;
  readonly #arrayKinds: Uint8Array;
  readonly #instanceBytes: Float64Array;
  readonly #classObjectBytes: Float64Array;

  constructor(survey: Survey, graph: HeapGraph, index: ObjectIndex, layouts: LayoutsOfClasses) {
    const idBytes = survey.chain.identifierByteSize ?? 8;
    this.#graph = graph;
    this.#arrayKinds = arrayKindsOf(survey);
    const proof = proofsOf(graph, index, this.#arrayKinds, idBytes);
    this.alignmentBytes = proof.alignmentBytes;
    this.arrayBaseBytes = proof.arrayBaseBytes;
    this.referenceBytes = proof.referenceBytes;
    const classCount = survey.tally.knownClassCount;
    this.#instanceBytes = new Float64Array(classCount);
    this.#classObjectBytes = new Float64Array(classCount);
    const headerBytes = headersByBase[this.arrayBaseBytes] ?? 16;
    for (let kind = 0; kind < classCount; kind += 1) {
      const layout = layouts.of(kind);
      const references = (layout?.referenceCount ?? 0) * this.referenceBytes;
      const fields = references + (layout?.primitiveBytes ?? 0);
      const injected = [kind, ...(layout?.supers ?? [])]
        .map((index) => injectedBytes[survey.tally.nameOf(index, survey.names)] ?? 0)
        .reduce((sum, bytes) => sum + bytes, 0);
      this.#instanceBytes[kind] = this.#aligned(headerBytes + fields + injected);
    }
    this.#correct(survey, index, classCount);
  }

  /** Bytes of an object in the heap. */
  of(object: number): number {
    const kind = this.#graph.kinds[object] ?? 0;
    const count = this.#graph.counts[object] ?? 0;
    if (kind === classObject) return this.#classObjectBytes[count] ?? 0;
    if (kind >= primitiveArrayBase) {
      const bytes = primitiveTypes[kind - primitiveArrayBase]?.bytes ?? 1;
      return this.#arrayBytes(count, bytes);
    }
    if (this.isObjectArray(object)) return this.#arrayBytes(count, this.referenceBytes);
    return this.#instanceBytes[kind] ?? 0;
  }

  /** Whether the object is an array of references. */
  isObjectArray(object: number): boolean {
    return this.#arrayKinds[this.#graph.kinds[object] ?? 0] === 1;
  }

  #arrayBytes(count: number, elementBytes: number): number {
    const base = Math.ceil(this.arrayBaseBytes / elementBytes) * elementBytes;
    return this.#aligned((elementBytes === 8 ? base : this.arrayBaseBytes) + count * elementBytes);
  }

  #aligned(bytes: number): number {
    return Math.ceil(bytes / this.alignmentBytes) * this.alignmentBytes;
  }

  /** No instance is larger than its distance to the next object. */
  #correct(survey: Survey, index: ObjectIndex, classCount: number): void {
    const { kinds, counts } = this.#graph;
    const gapsOfClassObjects = new Float64Array(classCount).fill(Infinity);
    index.forEachGap((object, gapBytes) => {
      const kind = kinds[object] ?? 0;
      if (kind === classObject) gapsOfClassObjects[counts[object] ?? 0] = gapBytes;
      else if (gapBytes < (this.#instanceBytes[kind] ?? 0)) this.#instanceBytes[kind] = gapBytes;
    });
    this.#sizeClassObjects(survey, gapsOfClassObjects);
  }

  /** A class object is an instance of java.lang.Class with the static fields behind it. */
  #sizeClassObjects(survey: Survey, gaps: Float64Array): void {
    let own = 0;
    for (const [index] of survey.classes.entries()) {
      if (survey.tally.nameOf(index, survey.names) === 'java.lang.Class') {
        own = this.#instanceBytes[index] ?? 0;
      }
    }
    for (const [index, { staticBytes }] of survey.classes.entries()) {
      this.#classObjectBytes[index] = Math.min(gaps[index] ?? 0, this.#aligned(own + staticBytes));
    }
  }
}

interface Proof {
  readonly alignmentBytes: number;
  readonly arrayBaseBytes: number;
  readonly referenceBytes: number;
}

function proofsOf(
  { kinds, counts }: HeapGraph,
  index: ObjectIndex,
  arrayKinds: Uint8Array,
  idBytes: 4 | 8,
): Proof {
  let lowBits = 0;
  for (let object = 0; object < index.count; object += 1) lowBits |= index.lowOf(object);
  let overhead = Infinity;
  let arrayCount = 0;
  index.forEachGap((object, gapBytes) => {
    if (kinds[object] !== primitiveArrayBase + byteType) return;
    arrayCount += 1;
    overhead = Math.min(overhead, gapBytes - (counts[object] ?? 0));
  });
  const usualBase = idBytes === 4 ? 12 : 16;
  const proven = Object.keys(headersByBase)
    .map(Number)
    .filter((base) => base <= overhead)
    .at(-1);
  // Less than usual is proven by one array; more by many, since one may have padding behind it.
  const isProven = overhead < usualBase || (arrayCount >= minArrayCount && overhead < 32);
  const arrayBaseBytes = isProven ? (proven ?? usualBase) : usualBase;
  let width = Infinity;
  let referenceArrayCount = 0;
  index.forEachGap((object, gapBytes) => {
    const count = counts[object] ?? 0;
    if (arrayKinds[kinds[object] ?? 0] !== 1 || count < 8) return;
    referenceArrayCount += 1;
    width = Math.min(width, (gapBytes - arrayBaseBytes) / count);
  });
  const isFarUp = index.count > 0 && index.highOf(index.count - 1) >= highOf32Gibibytes;
  const isWide = (referenceArrayCount >= minArrayCount || isFarUp) && width >= 8;
  return {
    alignmentBytes: (lowBits & 15) === 0 && index.count >= minCountForAlignment ? 16 : 8,
    arrayBaseBytes,
    referenceBytes: idBytes === 8 && isWide ? 8 : 4,
  };
}

/** By kind: 1 of a class of arrays of references. */
function arrayKindsOf({ tally, names }: Survey): Uint8Array {
  return Uint8Array.from({ length: tally.knownClassCount }, (_, kind) =>
    tally.nameOf(kind, names).startsWith('[') ? 1 : 0,
  );
}
