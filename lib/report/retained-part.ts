import { idText } from '../hprof/id-table.ts';
import { ContentsPass, type Wanted } from '../hprof/retained/contents-pass.ts';
import { forEachChild } from '../hprof/retained/dominator-tree.ts';
import type { RetainedHeap } from '../hprof/retained/retained-heap.ts';
import { findSuspects, pathFromRoot } from '../hprof/retained/suspects.ts';
import type { RetainedPart } from './build-report.ts';
import { explainSuspect } from './explain-suspect.ts';
import { wantedOf } from './reference-names.ts';
import type { Report } from './report-schema.ts';
import { nameArraysOf, previewOf, textsOf, wantedPreview, wantedText } from './thread-names.ts';

const maxPreviews = 50;
const shownLargest = 50;

/**
 * What retained sizes add to a report. Names of fields and texts need values, which the graph does not hold: `passes` is
 * handed a pass to run over the dump.
 */
export async function retainedPartOf(
  heap: RetainedHeap,
  runPass: (pass: ContentsPass) => Promise<void>,
): Promise<RetainedPart> {
  const suspects = lacksRoots(heap) ? [] : findSuspects(heap);
  const paths = suspects.map(({ number }) => pathFromRoot(heap, number));
  const nameArrays = nameArraysOf(heap);
  const equal = heap.survey.contents.mostWasteful(maxPreviews);
  const wanted: Wanted[] = [
    ...paths.flatMap((path) => wantedOnPath(heap, path)),
    ...[...nameArrays.values()].map((array) => wantedText(heap, array)),
    ...equal.map(({ high, low }) => wantedPreview(high, low)),
  ];
  const contents = new ContentsPass(wanted);
  await runPass(contents);
  const threadNames = textsOf(heap, contents, nameArrays);
  const previews = new Map<string, string>();
  for (const { high, low, elementType } of equal) {
    const found = contents.find(high, low);
    const preview = found && previewOf(found.bytes, elementType === 5);
    if (preview !== undefined) previews.set(idText(high, low), preview);
  }
  return {
    retained: {
      state: 'computed',
      ...totalsOf(heap),
      suspects: suspects.map((suspect, at) =>
        explainSuspect(heap, contents, suspect, paths[at] ?? [], threadNames),
      ),
      largest: largestOf(heap),
    },
    bytesByClass: heap.bytesByClass(),
    classNameOf: (high, low) => {
      const object = heap.index.find(high, low);
      return object === -1 ? undefined : heap.classNameOf(object);
    },
    threadNames,
    previews,
    warnings: warningsOf(heap),
  };
}

/** Of a dump that was cut, GC roots may be missing: what the rest of them reach says little of what kept the heap. */
function lacksRoots({ survey, reachableBytes, heapBytes }: RetainedHeap): boolean {
  return !survey.chain.ended && reachableBytes * 2 < heapBytes;
}

function wantedOnPath(heap: RetainedHeap, path: readonly number[]): Wanted[] {
  const objects = path.map((number) => heap.search.objectOf(number));
  return objects.map((object, at) => wantedOf(heap, object, objects[at + 1]));
}

function totalsOf(heap: RetainedHeap): {
  objectCount: number;
  heapBytes: number;
  reachableBytes: number;
  unreachableBytes: number;
  unreachableCount: number;
  danglingReferenceCount: number;
} {
  return {
    objectCount: heap.index.count,
    heapBytes: heap.heapBytes,
    reachableBytes: heap.reachableBytes,
    unreachableBytes: heap.heapBytes - heap.reachableBytes,
    unreachableCount: heap.unreachableCount,
    danglingReferenceCount: heap.graph.danglingReferenceCount + heap.rootSet.danglingCount,
  };
}

function largestOf(
  heap: RetainedHeap,
): Extract<Report['retained'], { state: 'computed' }>['largest'] {
  const { tree, search, sizes, index } = heap;
  let top: number[] = [];
  const largestFirst = (one: number, other: number): number =>
    (tree.retained[other] ?? 0) - (tree.retained[one] ?? 0);
  forEachChild(tree, 0, (child) => {
    top.push(child);
    if (top.length >= shownLargest * 20) top = top.sort(largestFirst).slice(0, shownLargest);
  });
  return top
    .sort(largestFirst)
    .slice(0, shownLargest)
    .map((number) => {
      const object = search.objectOf(number);
      const classIndex = heap.classOfClassObject(object);
      const className =
        classIndex === -1
          ? heap.classNameOf(object)
          : `class ${heap.survey.tally.nameOf(classIndex, heap.survey.names)}`;
      return {
        className,
        id: idText(index.highOf(object), index.lowOf(object)),
        heapBytes: sizes.of(object),
        retainedBytes: tree.retained[number] ?? 0,
      };
    });
}

function warningsOf(heap: RetainedHeap): string[] {
  const { graph, index, rootSet } = heap;
  const warnings: [boolean, string][] = [
    [
      graph.opaqueInstanceCount > 0,
      `Of ${graph.opaqueInstanceCount} instances the class is not described, or says another size: what they refer to is not followed.`,
    ],
    [
      lacksRoots(heap),
      'Less than half of the heap is reachable from the GC roots that are there, and the dump was cut: some may be missing, and no suspect is named.',
    ],
    [
      index.repeatCount > 0,
      `${index.repeatCount} objects have an identifier that another one has: the first one counts.`,
    ],
    [
      rootSet.roots.length + rootSet.extras.size === 0,
      'The dump has no GC roots: nothing counts as reachable.',
    ],
  ];
  return warnings.filter(([holds]) => holds).map(([, words]) => words);
}
