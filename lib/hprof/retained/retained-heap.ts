import type { Survey } from '../survey.ts';
import {
  classesOfReached,
  dominatorTreeOf,
  retainedByGroup,
  type DominatorTree,
} from './dominator-tree.ts';
import { dominatorsOf, type SearchedGraph } from './dominators.ts';
import type { RootSet } from './extra-references.ts';
import { HeapSizes } from './heap-sizes.ts';
import type { LayoutsOfClasses } from './class-layout.ts';
import type { ObjectIndex } from './object-index.ts';
import { classObject, primitiveArrayBase, type HeapGraph } from './reference-pass.ts';
import { searchGraph, type Search } from './search.ts';
import { primitiveTypes } from '../sub-records.ts';

/** Bytes that a dump's objects and references take in memory while retained sizes are computed. */
export function neededBytes(objectCount: number, referenceCount: number): number {
  return objectCount * 56 + referenceCount * 8;
}

export interface ClassBytes {
  heapBytes: number;
  retainedBytes: number;
}

/** The objects of a dump, who keeps whom, and how much. Objects are numbered by address, and those reached by the search. */
export class RetainedHeap {
  readonly survey: Survey;
  readonly index: ObjectIndex;
  readonly graph: HeapGraph;
  readonly layouts: LayoutsOfClasses;
  readonly rootSet: RootSet;
  readonly sizes: HeapSizes;
  readonly search: Search;
  readonly searched: SearchedGraph;
  readonly tree: DominatorTree;
  readonly heapBytes: number;

  constructor(parts: {
    survey: Survey;
    index: ObjectIndex;
    graph: HeapGraph;
    layouts: LayoutsOfClasses;
    rootSet: RootSet;
  }) {
    const { survey, index, graph, layouts, rootSet } = parts;
    this.survey = survey;
    this.index = index;
    this.graph = graph;
    this.layouts = layouts;
    this.rootSet = rootSet;
    this.sizes = new HeapSizes(survey, graph, index, layouts);
    const classObjects = classObjectsOf(survey, index);
    const search = searchGraph(graph, rootSet.roots, (isReached) =>
      classesOfReached(graph, classObjects, isReached),
    );
    this.search = search;
    this.searched = search.withPredecessors();
    const dominators = dominatorsOf(this.searched);
    this.tree = dominatorTreeOf(dominators, (number) => this.sizes.of(search.objectOf(number)));
    let heapBytes = 0;
    for (let object = 0; object < index.count; object += 1) heapBytes += this.sizes.of(object);
    this.heapBytes = heapBytes;
  }

  get reachableBytes(): number {
    return this.tree.retained[0] ?? 0;
  }

  get unreachableCount(): number {
    return this.index.count - this.search.nodeCount + 1;
  }

  /** Of the object's class, as GC.class_histogram prints it; of a class object `java.lang.Class`. */
  classNameOf(object: number): string {
    return this.nameOfKind(this.graph.kinds[object] ?? 0);
  }

  /** The class name of a kind, see HeapGraph.kinds. */
  nameOfKind(kind: number): string {
    if (kind === classObject) return 'java.lang.Class';
    if (kind >= primitiveArrayBase)
      return primitiveTypes[kind - primitiveArrayBase]?.arrayName ?? '?';
    return this.survey.tally.nameOf(kind, this.survey.names);
  }

  /** The class that a class object stands for: its index in the tally; -1 of any other object. */
  classOfClassObject(object: number): number {
    return this.graph.kinds[object] === classObject ? (this.graph.counts[object] ?? 0) : -1;
  }

  /** Bytes in the heap, and those kept, by class name. */
  bytesByClass(): Map<string, ClassBytes> {
    const groups = this.#groups();
    const { search, graph } = this;
    const retained = retainedByGroup(this.tree, groups.names.length, (number) =>
      groups.groupOf(graph.kinds[search.objectOf(number)] ?? 0),
    );
    const own = new Float64Array(groups.names.length);
    for (let object = 0; object < this.index.count; object += 1) {
      const group = groups.groupOf(graph.kinds[object] ?? 0);
      own[group] = (own[group] ?? 0) + this.sizes.of(object);
    }
    return new Map(
      groups.names.map((name, group) => [
        name,
        { heapBytes: own[group] ?? 0, retainedBytes: retained[group] ?? 0 },
      ]),
    );
  }

  /** Kinds by class name: classes of one name are one group, and class objects are instances of java.lang.Class. */
  #groups(): { names: readonly string[]; groupOf: (kind: number) => number } {
    const numbers = new Map<string, number>();
    const numberOf = (name: string): number => {
      const known = numbers.get(name) ?? numbers.size;
      numbers.set(name, known);
      return known;
    };
    const { tally, names } = this.survey;
    const ofClasses = Uint32Array.from({ length: tally.knownClassCount }, (_, kind) =>
      numberOf(tally.nameOf(kind, names)),
    );
    const ofArrays = Uint32Array.from({ length: 16 }, (_, type) =>
      numberOf(primitiveTypes[type]?.arrayName ?? '?'),
    );
    const ofClassObjects = numberOf('java.lang.Class');
    return {
      names: [...numbers.keys()],
      groupOf: (kind) =>
        kind === classObject
          ? ofClassObjects
          : kind >= primitiveArrayBase
            ? (ofArrays[kind - primitiveArrayBase] ?? 0)
            : (ofClasses[kind] ?? 0),
    };
  }
}

/** By class's index in the tally: its class object. */
function classObjectsOf(survey: Survey, index: ObjectIndex): Map<number, number> {
  const found = new Map<number, number>();
  for (const [classIndex, { high, low }] of survey.classes.entries()) {
    const object = index.find(high, low);
    if (object !== -1) found.set(classIndex, object);
  }
  return found;
}
