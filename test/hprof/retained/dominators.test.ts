import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { searchGraph } from '../../../lib/hprof/retained/search.ts';
import { dominatorsOf } from '../../../lib/hprof/retained/dominators.ts';

type Edges = readonly (readonly [number, number])[];

/** Nodes that can be reached from the roots, without going through one of them. */
function reachable(edges: Edges, roots: readonly number[], without = -1): Set<number> {
  const seen = new Set<number>();
  const waiting = roots.filter((node) => node !== without);
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    for (const [from, to] of edges) if (from === node && to !== without) waiting.push(to);
  }
  return seen;
}

/** The definition: what dominates a node is what it cannot be reached without; the immediate one is dominated by all others. */
function naiveDominators(edges: Edges, roots: readonly number[]): Map<number, number> {
  const all = reachable(edges, roots);
  const dominators = new Map<number, number[]>([...all].map((node) => [node, []]));
  for (const candidate of all) {
    const left = reachable(edges, roots, candidate);
    for (const node of all) {
      if (node !== candidate && !left.has(node)) dominators.get(node)?.push(candidate);
    }
  }
  const immediate = new Map<number, number>();
  for (const [node, list] of dominators) {
    const nearest = list.toSorted(
      (one, other) => (dominators.get(other)?.length ?? 0) - (dominators.get(one)?.length ?? 0),
    )[0];
    immediate.set(node, nearest ?? -1);
  }
  return immediate;
}

/** As the report has them: by the search, then by object; -1 stands for the roots' own node. */
function dominatorsBySearch(
  nodeCount: number,
  edges: Edges,
  roots: readonly number[],
): Map<number, number> {
  const starts = new Uint32Array(nodeCount);
  const targets: number[] = [];
  for (let node = 0; node < nodeCount; node += 1) {
    const mine = edges.filter(([from]) => from === node).map(([, to]) => to);
    if (mine.length === 0) continue;
    starts[node] = targets.length + 1;
    targets.push(...mine.slice(0, -1), ((mine.at(-1) ?? 0) | 0x8000_0000) >>> 0);
  }
  const search = searchGraph({ starts, targets: Uint32Array.from(targets) }, roots, () => []);
  const idoms = dominatorsOf(search.withPredecessors());
  const found = new Map<number, number>();
  for (let number = 1; number < search.nodeCount; number += 1) {
    const dominator = idoms[number] ?? 0;
    found.set(search.objectOf(number), dominator === 0 ? -1 : search.objectOf(dominator));
  }
  return found;
}

describe('dominators', () => {
  it('are those of the definition, in any graph', () => {
    const graph = fc.integer({ min: 1, max: 24 }).chain((nodeCount) => {
      const node = fc.nat(nodeCount - 1);
      return fc.record({
        nodeCount: fc.constant(nodeCount),
        edges: fc.array(fc.tuple(node, node), { maxLength: 60 }),
        roots: fc.array(node, { minLength: 1, maxLength: 4 }),
      });
    });
    fc.assert(
      fc.property(graph, ({ nodeCount, edges, roots }) => {
        expect(dominatorsBySearch(nodeCount, edges, roots)).toEqual(naiveDominators(edges, roots));
      }),
      { numRuns: 1_500 },
    );
  });

  it('of a long list, whose elements something else refers to as well, take no longer than the list', () => {
    const length = 400_000;
    const starts = new Uint32Array(2 * length + 1);
    const targets: number[] = [];
    const add = (node: number, mine: readonly number[]): void => {
      starts[node] = targets.length + 1;
      for (const target of mine.slice(0, -1)) targets.push(target);
      targets.push(((mine.at(-1) ?? 0) | 0x8000_0000) >>> 0);
    };
    // Nodes 0 … are a list, each with a value of its own; the last node refers to all values.
    for (let node = 0; node < length; node += 1) {
      if (node + 1 < length) add(node, [node + 1, length + node]);
      else add(node, [length + node]);
    }
    add(
      2 * length,
      Array.from({ length }, (_, index) => length + index),
    );

    const roots = [0, 2 * length];
    const search = searchGraph({ starts, targets: Uint32Array.from(targets) }, roots, () => []);
    const idoms = dominatorsOf(search.withPredecessors());

    let byRoot = 0;
    for (let number = 1; number < search.nodeCount; number += 1) {
      if (idoms[number] === 0) byRoot += 1;
    }
    expect(byRoot).toBe(length + 2);
  });
});
