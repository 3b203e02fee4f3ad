import { forEachChild } from './dominator-tree.ts';
import type { RetainedHeap } from './retained-heap.ts';

/** Of the reachable bytes, what an object must keep to be suspected. */
const minShare = 0.1;
const maxSuspectCount = 8;

/** An object, or many of one class, that keep much of the heap. Numbers are those of the search. */
export interface SuspectObjects {
  /** Of several the one that keeps most. */
  readonly number: number;
  readonly instanceCount: number;
  readonly retainedBytes: number;
}

/**
 * Follows the dominator tree from its root to where what is kept falls apart into parts that are each less than a tenth of the
 * heap: there it accumulates. A list or tree of linked objects of one class is not taken apart. Many small objects of one class that nothing keeps together are one suspect as a group.
 */
export function findSuspects(heap: RetainedHeap): SuspectObjects[] {
  const { tree, reachableBytes } = heap;
  const least = Math.max(1, reachableBytes * minShare);
  const suspects: SuspectObjects[] = [];
  const waiting = [0];
  for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
    const whole = tree.retained[number] ?? 0;
    let rest = whole;
    const large: number[] = [];
    forEachChild(tree, number, (child) => {
      const bytes = tree.retained[child] ?? 0;
      if (bytes < least) return;
      rest -= bytes;
      large.push(child);
    });
    const kind = kindOf(heap, number);
    if (number !== 0 && large.some((child) => kindOf(heap, child) === kind)) {
      suspects.push({ number, instanceCount: 1, retainedBytes: whole });
      continue;
    }
    waiting.push(...large);
    if (number === 0) suspects.push(...groupsBelowRoot(heap, least));
    else if (rest >= least) suspects.push({ number, instanceCount: 1, retainedBytes: rest });
  }
  return suspects
    .sort((one, other) => other.retainedBytes - one.retainedBytes)
    .slice(0, maxSuspectCount);
}

function kindOf({ graph, search }: RetainedHeap, number: number): number {
  return graph.kinds[search.objectOf(number)] ?? 0;
}

/** Objects that only GC roots dominate, each below the limit, by class name. */
function groupsBelowRoot(heap: RetainedHeap, least: number): SuspectObjects[] {
  const { tree } = heap;
  const groups = new Map<number, { number: number; count: number; bytes: number }>();
  forEachChild(tree, 0, (child) => {
    const bytes = tree.retained[child] ?? 0;
    if (bytes >= least) return;
    const kind = kindOf(heap, child);
    const group = groups.get(kind) ?? { number: child, count: 0, bytes: 0 };
    if (bytes > (tree.retained[group.number] ?? 0)) group.number = child;
    group.count += 1;
    group.bytes += bytes;
    groups.set(kind, group);
  });
  return [...groups.values()]
    .filter(({ bytes }) => bytes >= least)
    .map(({ number, count, bytes }) => ({ number, instanceCount: count, retainedBytes: bytes }));
}

/** What an object keeps, itself among it, by class name, most bytes first. */
export function keptByClass(
  heap: RetainedHeap,
  suspect: SuspectObjects,
  maxCount: number,
): { className: string; instanceCount: number; heapBytes: number }[] {
  const { tree, search, sizes, graph } = heap;
  const { dominators } = tree;
  const isKept = new Uint8Array(dominators.length);
  const groupKind =
    suspect.instanceCount > 1 ? graph.kinds[search.objectOf(suspect.number)] : undefined;
  const kinds = new Map<number, { count: number; bytes: number }>();
  for (
    let number = suspect.instanceCount > 1 ? 1 : suspect.number;
    number < dominators.length;
    number += 1
  ) {
    const object = search.objectOf(number);
    const kind = graph.kinds[object] ?? 0;
    const isFirst =
      groupKind === undefined
        ? number === suspect.number
        : dominators[number] === 0 && kind === groupKind;
    if (!isFirst && isKept[dominators[number] ?? 0] !== 1) continue;
    isKept[number] = 1;
    const known = kinds.get(kind) ?? { count: 0, bytes: 0 };
    known.count += 1;
    known.bytes += sizes.of(object);
    kinds.set(kind, known);
  }
  const rows = new Map<string, { className: string; instanceCount: number; heapBytes: number }>();
  for (const [kind, { count, bytes }] of kinds) {
    const className = heap.nameOfKind(kind);
    const row = rows.get(className) ?? { className, instanceCount: 0, heapBytes: 0 };
    row.instanceCount += count;
    row.heapBytes += bytes;
    rows.set(className, row);
  }
  return [...rows.values()]
    .sort((one, other) => other.heapBytes - one.heapBytes)
    .slice(0, maxCount);
}

/** Objects looked at for a path; beyond them it is the chain of dominators. */
const maxPathVisits = 300_000;
const maxPathLength = 200;

/**
 * A shortest way from a GC root to an object: numbers, the root's first. Where that is too far to look for, or too long,
 * the objects that every way goes through.
 */
export function pathFromRoot(heap: RetainedHeap, number: number): number[] {
  const { predecessorStarts, predecessors } = heap.searched;
  const nextOf = new Map<number, number>([[number, 0]]);
  const queue = [number];
  for (let at = 0; at < queue.length && queue.length < maxPathVisits; at += 1) {
    const here = queue[at] ?? 0;
    const end = predecessorStarts[here + 1] ?? 0;
    for (let edge = predecessorStarts[here] ?? 0; edge < end; edge += 1) {
      const before = predecessors[edge] ?? 0;
      if (before === 0) return pathAlong(nextOf, here);
      if (nextOf.has(before)) continue;
      nextOf.set(before, here);
      queue.push(before);
    }
  }
  const chain: number[] = [];
  for (let at = number; at !== 0; at = heap.tree.dominators[at] ?? 0) chain.push(at);
  return chain.reverse().slice(-maxPathLength);
}

function pathAlong(nextOf: ReadonlyMap<number, number>, first: number): number[] {
  const path: number[] = [];
  for (let at = first; at !== 0; at = nextOf.get(at) ?? 0) path.push(at);
  return path.slice(-maxPathLength);
}
