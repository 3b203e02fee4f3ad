import { idText } from '../hprof/id-table.ts';
import type { ContentsPass } from '../hprof/retained/contents-pass.ts';
import type { RetainedHeap } from '../hprof/retained/retained-heap.ts';
import { keptByClass, type SuspectObjects } from '../hprof/retained/suspects.ts';
import { intField, referenceBetween, type Reference } from './reference-names.ts';
import type { Suspect } from './report-schema.ts';
import { bytesText, counted, percentText, readableName } from './words.ts';

const shownContents = 20;
/** Parts of a collection: what they belong to is named in their place. */
const collectionPart = /(?:\[\]|\$(?:Tree)?(?:Node|Entry|Segment|Bucket|Bin)|\$MapEntry)$/;
const sizeFields = ['size', 'count', 'elementCount', 'baseCount'];

/** One object on the way from a root, with how it refers to the next one. */
interface Step {
  readonly number: number;
  readonly object: number;
  readonly name: string;
  readonly reference?: Reference;
}

/** Puts a suspect in words. `path` holds numbers of the search, from a root to the suspect. */
export function explainSuspect(
  heap: RetainedHeap,
  contents: ContentsPass,
  suspect: SuspectObjects,
  path: readonly number[],
  threadNames: ReadonlyMap<number, string>,
): Suspect {
  const steps = stepsOf(heap, contents, path);
  const kept = keptByClass(heap, suspect, shownContents);
  const share = suspect.retainedBytes / Math.max(1, heap.reachableBytes);
  const root = rootWords(heap, steps[0], threadNames);
  const collection = collectionOf(heap, contents, steps);
  const last = steps.at(-1);
  const className = last === undefined ? '?' : heap.classNameOf(last.object);
  return {
    explanation: sentence({ suspect, className, share, steps, collection, kept, root }),
    className,
    id: last === undefined ? '0x0' : idOf(heap, last.object),
    instanceCount: suspect.instanceCount,
    retainedBytes: suspect.retainedBytes,
    share: Math.min(1, share),
    root,
    path: steps.map(({ number, object, name, reference }) => ({
      className: name,
      id: idOf(heap, object),
      ...(reference && { reference: reference.words }),
      retainedBytes: heap.tree.retained[number] ?? 0,
    })),
    contents: kept,
    ...(collection?.fill && { fill: collection.fill }),
  };
}

function stepsOf(heap: RetainedHeap, contents: ContentsPass, path: readonly number[]): Step[] {
  const objects = path.map((number) => heap.search.objectOf(number));
  return path.map((number, at) => {
    const object = objects[at] ?? 0;
    const next = objects[at + 1];
    const classIndex = heap.classOfClassObject(object);
    const name =
      classIndex === -1
        ? heap.classNameOf(object)
        : `class ${heap.survey.tally.nameOf(classIndex, heap.survey.names)}`;
    if (next === undefined) return { number, object, name };
    return { number, object, name, reference: referenceBetween(heap, contents, object, next) };
  });
}

interface Collection {
  readonly step: number;
  readonly size?: number | undefined;
  readonly fill?: { size: number; capacity: number };
}

/** The collection that the suspect is, or a part of: the nearest object above it that is no part of one. */
function collectionOf(
  heap: RetainedHeap,
  contents: ContentsPass,
  steps: readonly Step[],
): Collection | undefined {
  for (let at = steps.length - 1; at >= 0; at -= 1) {
    const step = steps[at];
    if (!step) return undefined;
    if (collectionPart.test(readableName(step.name))) continue;
    const isOneOfJava = step.name.startsWith('java.util.');
    const size = isOneOfJava ? intField(heap, contents, step.object, sizeFields) : undefined;
    if (size === undefined) return isOneOfJava ? { step: at } : undefined;
    const table = steps[at + 1];
    const isTable = table !== undefined && heap.sizes.isObjectArray(table.object);
    const capacity = isTable ? (heap.graph.counts[table.object] ?? 0) : undefined;
    return { step: at, size, ...(capacity !== undefined && { fill: { size, capacity } }) };
  }
  return undefined;
}

interface Sentence {
  readonly suspect: SuspectObjects;
  /** Of the suspect: for class objects `java.lang.Class`, where a step is called after the class that it stands for. */
  readonly className: string;
  readonly share: number;
  readonly steps: readonly Step[];
  readonly collection: Collection | undefined;
  readonly kept: Suspect['contents'];
  readonly root: string;
}

function sentence(parts: Sentence): string {
  const { suspect, className, share, steps, collection, kept, root } = parts;
  const keeps = `${percentText(share)} of the heap (${bytesText(suspect.retainedBytes)})`;
  const holder = holderWords(steps, root);
  if (suspect.instanceCount > 1) {
    return `${counted(suspect.instanceCount, 'object')} of ${readableName(className)} keep ${keeps} together; the largest is held by ${holder}.`;
  }
  const content = contentWords(kept, collection?.size);
  const at = collection?.step ?? steps.length - 1;
  const subject = steps[at];
  const before = steps[at - 1];
  const subjectName = readableName(subject?.name ?? '?');
  const field = before?.reference?.fieldName;
  const thing = article(subjectName);
  if (before === undefined || field === undefined) {
    return `${thing.charAt(0).toUpperCase()}${thing.slice(1)}, held by ${holder}, keeps ${keeps}${content}.`;
  }
  const owner = readableName(before.name.replace(/^class /, ''));
  if (before.reference?.kind === 'staticField') {
    return `The static field ${owner}.${field} (${thing}) keeps ${keeps}${content}.`;
  }
  return `${owner}.${field} (${thing}, held by ${holder}) keeps ${keeps}${content}.`;
}

/** The static field or thread that the suspect hangs at: of several on the way the nearest. */
function holderWords(steps: readonly Step[], root: string): string {
  for (let at = steps.length - 2; at >= 0; at -= 1) {
    const step = steps[at];
    if (step?.reference?.kind === 'staticField') {
      const owner = readableName(step.name.replace(/^class /, ''));
      return `the static field ${owner}.${step.reference.fieldName ?? '?'}`;
    }
    if (step?.reference?.kind === 'local' && at === 0) return `a local variable of ${root}`;
  }
  return root;
}

function contentWords(kept: Suspect['contents'], size: number | undefined): string {
  const own = kept.find(({ className }) => !/^(?:java|javax|jdk|sun)\.|^\[/.test(className));
  const most = own && own.instanceCount > 1 ? own : kept[0];
  const entries = size === undefined ? '' : `: ${counted(size, 'element')}`;
  if (!most || most.instanceCount <= 1) return entries;
  const objects = `${counted(most.instanceCount, 'object')} of ${readableName(most.className)}`;
  return `${entries}${entries === '' ? ':' : ', with'} ${objects} in it`;
}

function rootWords(
  heap: RetainedHeap,
  first: Step | undefined,
  threadNames: ReadonlyMap<number, string>,
): string {
  if (!first) return 'a GC root';
  const { roots } = heap.survey;
  for (const [serial, thread] of heap.rootSet.threads) {
    if (thread !== first.object) continue;
    const name = threadNames.get(serial);
    return name === undefined ? `thread #${serial}` : `thread "${name.slice(0, 200)}"`;
  }
  for (let at = 0; at < roots.length; at += 1) {
    const { kind, high, low } = roots.at(at);
    if (heap.index.find(high, low) !== first.object) continue;
    if (kind === 'stickyClass') return `${readableName(first.name)} (a class of the JVM itself)`;
    return `a GC root (${kind})`;
  }
  return first.name.startsWith('class ')
    ? `${readableName(first.name)} (kept by its instances)`
    : 'a GC root';
}

function idOf(heap: RetainedHeap, object: number): string {
  return idText(heap.index.highOf(object), heap.index.lowOf(object));
}

function article(name: string): string {
  return `${/^[aeiou]/i.test(name) ? 'an' : 'a'} ${name}`;
}
