import type { HeapGraph } from './reference-pass.ts';

/** What each object keeps, by its number in the search. Number 0 is all GC roots together. */
export interface DominatorTree {
  readonly dominators: Uint32Array;
  /** Bytes that would be free if the object were not there, its own among them. */
  readonly retained: Float64Array;
  /** By number: where the objects that it dominates immediately begin in `children`; one entry more than numbers. */
  readonly childStarts: Uint32Array;
  readonly children: Uint32Array;
}

/** Adds sizes up the tree. Each number is above its dominator's, so that one walk down the numbers is enough. */
export function dominatorTreeOf(
  dominators: Uint32Array,
  sizeOf: (number: number) => number,
): DominatorTree {
  const count = dominators.length;
  const retained = new Float64Array(count);
  const childStarts = new Uint32Array(count + 1);
  for (let number = count - 1; number > 0; number -= 1) {
    const bytes = (retained[number] ?? 0) + sizeOf(number);
    const dominator = dominators[number] ?? 0;
    retained[number] = bytes;
    retained[dominator] = (retained[dominator] ?? 0) + bytes;
    childStarts[dominator] = (childStarts[dominator] ?? 0) + 1;
  }
  let total = 0;
  for (let number = 0; number <= count; number += 1) {
    total += childStarts[number] ?? 0;
    childStarts[number] = total;
  }
  const children = new Uint32Array(Math.max(0, count - 1));
  for (let number = count - 1; number > 0; number -= 1) {
    const dominator = dominators[number] ?? 0;
    const at = (childStarts[dominator] ?? 0) - 1;
    childStarts[dominator] = at;
    children[at] = number;
  }
  return { dominators, retained, childStarts, children };
}

/** Calls back for each object that one dominates immediately. */
export function forEachChild(
  { childStarts, children }: DominatorTree,
  number: number,
  visit: (child: number) => void,
): void {
  const end = childStarts[number + 1] ?? 0;
  for (let at = childStarts[number] ?? 0; at < end; at += 1) visit(children[at] ?? 0);
}

/** The one that keeps most of those that an object dominates immediately; 0 of one that dominates none. */
export function largestChild(tree: DominatorTree, number: number): number {
  let largest = 0;
  let bytes = -1;
  forEachChild(tree, number, (child) => {
    const childBytes = tree.retained[child] ?? 0;
    if (childBytes > bytes) {
      bytes = childBytes;
      largest = child;
    }
  });
  return largest;
}

/**
 * What the objects of each group keep, where each byte counts once: an object below another one of its group in the tree
 * is part of what that one keeps. What only several of them together keep is not in it, so that it is a least amount.
 * @param groupOf by object's number: its group, 0 … groupCount - 1.
 */
export function retainedByGroup(
  tree: DominatorTree,
  groupCount: number,
  groupOf: (number: number) => number,
): Float64Array {
  const byGroup = new Float64Array(groupCount);
  const depths = new Uint32Array(groupCount);
  const { childStarts, children, retained, dominators } = tree;
  const cursors = childStarts.slice();
  let number = 0;
  for (;;) {
    const cursor = cursors[number] ?? 0;
    if (cursor < (childStarts[number + 1] ?? 0)) {
      cursors[number] = cursor + 1;
      number = children[cursor] ?? 0;
      const group = groupOf(number);
      if (depths[group] === 0) byGroup[group] = (byGroup[group] ?? 0) + (retained[number] ?? 0);
      depths[group] = (depths[group] ?? 0) + 1;
      continue;
    }
    if (number === 0) return byGroup;
    const group = groupOf(number);
    depths[group] = (depths[group] ?? 0) - 1;
    number = dominators[number] ?? 0;
  }
}

/** Further roots: classes that are reached by nothing but their instances, which keep them. */
export function classesOfReached(
  { kinds }: HeapGraph,
  classObjects: ReadonlyMap<number, number>,
  isReached: (object: number) => boolean,
): number[] {
  const lacking = new Map([...classObjects].filter(([, object]) => !isReached(object)));
  if (lacking.size === 0) return [];
  const found = new Set<number>();
  for (let object = 0; object < kinds.length; object += 1) {
    const classObject = lacking.get(kinds[object] ?? 0);
    if (classObject !== undefined && isReached(object)) found.add(classObject);
  }
  return [...found];
}
