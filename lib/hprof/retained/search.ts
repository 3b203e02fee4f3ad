import type { SearchedGraph } from './dominators.ts';

/** References between objects, by object: edge number + 1 of its first, 0 when it has none. The last one has its top bit set. */
export interface References {
  readonly starts: Uint32Array;
  readonly targets: Uint32Array;
}

/** On the last reference of an object. */
export const lastBit = 0x8000_0000;
const targetMask = 0x7fff_ffff;

/** What a depth-first search from the GC roots found: objects get numbers from 1 on, 0 stands for all roots together. */
export interface Search {
  /** With node 0. */
  readonly nodeCount: number;
  readonly parents: Uint32Array;
  /** 0 of an object that cannot be reached. */
  numberOf(object: number): number;
  objectOf(number: number): number;
  withPredecessors(): SearchedGraph;
}

/**
 * Searches depth first. When all is found, `more` is asked for further roots, given what was reached, until it has none.
 * Nothing is recursive: a list of millions of elements is as deep as that.
 */
export function searchGraph(
  references: References,
  roots: Iterable<number>,
  more: (isReached: (object: number) => boolean) => readonly number[],
): Search {
  const search = new DepthFirstSearch(references);
  for (const root of roots) search.from(root);
  for (;;) {
    const further = more((object) => search.numberOf(object) !== 0);
    if (further.length === 0) return search;
    for (const root of further) search.from(root);
  }
}

class DepthFirstSearch implements Search {
  readonly #references: References;
  readonly #numbers: Uint32Array;
  readonly #objects: Uint32Array;
  readonly parents: Uint32Array;
  readonly #roots: number[] = [];
  /** Of each object on the way down, the edge that comes next; 0 is none. */
  #edges = new Uint32Array(1_024);
  nodeCount = 1;

  constructor(references: References) {
    const count = references.starts.length;
    this.#references = references;
    this.#numbers = new Uint32Array(count);
    this.#objects = new Uint32Array(count + 1);
    this.parents = new Uint32Array(count + 1);
  }

  numberOf(object: number): number {
    return this.#numbers[object] ?? 0;
  }

  objectOf(number: number): number {
    return this.#objects[number] ?? 0;
  }

  from(root: number): void {
    this.#roots.push(root);
    if (this.#numbers[root] !== 0) return;
    const { starts, targets } = this.#references;
    const numbers = this.#numbers;
    const parents = this.parents;
    let depth = 0;
    let number = this.#found(root, 0);
    this.#edges[0] = starts[root] ?? 0;
    while (depth >= 0) {
      const edge = this.#edges[depth] ?? 0;
      if (edge === 0) {
        depth -= 1;
        number = parents[number] ?? 0;
        continue;
      }
      const word = targets[edge - 1] ?? 0;
      this.#edges[depth] = word >= lastBit ? 0 : edge + 1;
      const target = word & targetMask;
      if (numbers[target] !== 0) continue;
      number = this.#found(target, number);
      depth += 1;
      if (depth === this.#edges.length) this.#growEdges();
      this.#edges[depth] = starts[target] ?? 0;
    }
  }

  /** Reads all references of reached objects twice: to count them by target, then to put them there. */
  withPredecessors(): SearchedGraph {
    const nodeCount = this.nodeCount;
    const predecessorStarts = new Uint32Array(nodeCount + 1);
    this.#forEachReference((_, target) => {
      predecessorStarts[target] = (predecessorStarts[target] ?? 0) + 1;
    });
    let total = 0;
    for (let node = 0; node <= nodeCount; node += 1) {
      total += predecessorStarts[node] ?? 0;
      predecessorStarts[node] = total;
    }
    const predecessors = new Uint32Array(total);
    this.#forEachReference((from, target) => {
      const at = (predecessorStarts[target] ?? 0) - 1;
      predecessorStarts[target] = at;
      predecessors[at] = from;
    });
    return { nodeCount, parents: this.parents, predecessorStarts, predecessors };
  }

  #forEachReference(visit: (from: number, target: number) => void): void {
    for (const root of this.#roots) visit(0, this.#numbers[root] ?? 0);
    const { starts, targets } = this.#references;
    for (let node = 1; node < this.nodeCount; node += 1) {
      const start = starts[this.#objects[node] ?? 0] ?? 0;
      if (start === 0) continue;
      for (let edge = start - 1; ; edge += 1) {
        const word = targets[edge] ?? 0;
        visit(node, this.#numbers[word & targetMask] ?? 0);
        if (word >= lastBit) break;
      }
    }
  }

  #found(object: number, parent: number): number {
    const number = this.nodeCount;
    this.nodeCount += 1;
    this.#numbers[object] = number;
    this.#objects[number] = object;
    this.parents[number] = parent;
    return number;
  }

  #growEdges(): void {
    const larger = new Uint32Array(this.#edges.length * 2);
    larger.set(this.#edges);
    this.#edges = larger;
  }
}
