/** A graph as a depth-first search has numbered it: node 0 is where it began, and each number is above its parent's. */
export interface SearchedGraph {
  readonly nodeCount: number;
  /** By node: the one it was found from. */
  readonly parents: Uint32Array;
  /** By node: where its predecessors begin in `predecessors`; one entry more than nodes. */
  readonly predecessorStarts: Uint32Array;
  readonly predecessors: Uint32Array;
}

/**
 * The immediate dominator of each node: the last one that every way from node 0 to it goes through. Exact. Of node 0 it is
 * node 0. `parents` is used up: it holds something else afterwards.
 * Source: Lengauer and Tarjan, "A fast algorithm for finding dominators in a flowgraph" (1979), the simple version, in
 * O(edges · log nodes) whatever the graph's shape. What is kept where is after Georgiadis, "Linear-time algorithms for
 * dominators and related problems" (2005): a node that was processed needs its parent no more, so that parents and
 * ancestors share an array, and so do buckets and dominators.
 */
export function dominatorsOf(graph: SearchedGraph): Uint32Array {
  const { nodeCount, parents, predecessorStarts, predecessors } = graph;
  const semi = identity(nodeCount);
  const labels = identity(nodeCount);
  /** Of a node in a bucket the next one in it; of one that was taken from it, its dominator or a stand-in. */
  const dominators = new Uint32Array(nodeCount);
  const bucketHeads = new Uint32Array(nodeCount);
  const forest = new Forest(parents, labels, semi);
  for (let node = nodeCount - 1; node > 0; node -= 1) {
    forest.linkedFrom = node + 1;
    let least = semi[node] ?? 0;
    const end = predecessorStarts[node + 1] ?? 0;
    for (let at = predecessorStarts[node] ?? 0; at < end; at += 1) {
      const candidate = semi[forest.evaluate(predecessors[at] ?? 0)] ?? 0;
      if (candidate < least) least = candidate;
    }
    semi[node] = least;
    const parent = parents[node] ?? 0;
    dominators[node] = bucketHeads[least] ?? 0;
    bucketHeads[least] = node;
    forest.linkedFrom = node;
    let waiting = bucketHeads[parent] ?? 0;
    bucketHeads[parent] = 0;
    while (waiting !== 0) {
      const next = dominators[waiting] ?? 0;
      const label = forest.evaluate(waiting);
      dominators[waiting] = (semi[label] ?? 0) < (semi[waiting] ?? 0) ? label : parent;
      waiting = next;
    }
  }
  for (let node = 1; node < nodeCount; node += 1) {
    if (dominators[node] !== semi[node]) {
      dominators[node] = dominators[dominators[node] ?? 0] ?? 0;
    }
  }
  return dominators;
}

/** The trees of nodes that were processed: those from `linkedFrom` on hang at their ancestors. */
class Forest {
  readonly #ancestors: Uint32Array;
  readonly #labels: Uint32Array;
  readonly #semi: Uint32Array;
  #path = new Uint32Array(1_024);
  linkedFrom = 0;

  constructor(ancestors: Uint32Array, labels: Uint32Array, semi: Uint32Array) {
    this.#ancestors = ancestors;
    this.#labels = labels;
    this.#semi = semi;
  }

  /** Of the node and its ancestors below their tree's root, the one of least semidominator; the node itself if it is no part of a tree. */
  evaluate(node: number): number {
    if (node < this.linkedFrom) return node;
    const ancestors = this.#ancestors;
    const labels = this.#labels;
    const semi = this.#semi;
    const linkedFrom = this.linkedFrom;
    let depth = 0;
    let at = node;
    while ((ancestors[at] ?? 0) >= linkedFrom) {
      if (depth === this.#path.length) this.#growPath();
      this.#path[depth] = at;
      depth += 1;
      at = ancestors[at] ?? 0;
    }
    for (let index = depth - 1; index >= 0; index -= 1) {
      const below = this.#path[index] ?? 0;
      const above = ancestors[below] ?? 0;
      const label = labels[above] ?? 0;
      if ((semi[label] ?? 0) < (semi[labels[below] ?? 0] ?? 0)) labels[below] = label;
      ancestors[below] = ancestors[above] ?? 0;
    }
    return labels[node] ?? 0;
  }

  #growPath(): void {
    const larger = new Uint32Array(this.#path.length * 2);
    larger.set(this.#path);
    this.#path = larger;
  }
}

function identity(count: number): Uint32Array {
  const numbers = new Uint32Array(count);
  for (let index = 0; index < count; index += 1) numbers[index] = index;
  return numbers;
}
