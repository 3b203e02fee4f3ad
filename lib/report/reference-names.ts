import type { ContentsPass, Wanted } from '../hprof/retained/contents-pass.ts';
import type { RetainedHeap } from '../hprof/retained/retained-heap.ts';
import { readU4 } from '../hprof/records.ts';
import type { LaidField } from '../hprof/retained/class-layout.ts';

/** How one object refers to another, by object numbers of the index. */
export interface Reference {
  /** `field entries`, `static field shared`, `element 3`, `local variable`. */
  readonly words: string;
  /** The field's own name, of fields and static fields. */
  readonly fieldName?: string;
  readonly kind: 'field' | 'staticField' | 'element' | 'local' | 'other';
}

/** What must be looked up of an object to say how it refers to another. */
export function wantedOf(heap: RetainedHeap, from: number, to: number | undefined): Wanted {
  const { index } = heap;
  return {
    high: index.highOf(from),
    low: index.lowOf(from),
    keptBytes: heap.sizes.isObjectArray(from) ? 0 : 64 * 1024,
    ...(to !== undefined && { element: { high: index.highOf(to), low: index.lowOf(to) } }),
  };
}

/** Names the reference from one object to the next. */
export function referenceBetween(
  heap: RetainedHeap,
  contents: ContentsPass,
  from: number,
  to: number,
): Reference {
  const classIndex = heap.classOfClassObject(from);
  if (classIndex !== -1) return staticReference(heap, classIndex, to);
  const { index } = heap;
  const found = contents.find(index.highOf(from), index.lowOf(from));
  if (heap.sizes.isObjectArray(from)) {
    const element = found?.elementIndex;
    return { kind: 'element', words: element === undefined ? 'an element' : `element ${element}` };
  }
  for (const field of fieldsOf(heap, from)) {
    if (field.type !== 2 || !found || !refersTo(heap, found.bytes, field, to)) continue;
    const fieldName = heap.survey.names.textOf(field.nameHigh, field.nameLow) ?? '?';
    return { kind: 'field', words: `field ${fieldName}`, fieldName };
  }
  if (heap.classOfClassObject(to) !== -1) return { kind: 'other', words: 'a class that it loaded' };
  return { kind: 'local', words: 'local variable' };
}

/** The value of an int field of an instance that was looked up. */
export function intField(
  heap: RetainedHeap,
  contents: ContentsPass,
  object: number,
  names: readonly string[],
): number | undefined {
  const found = contents.find(heap.index.highOf(object), heap.index.lowOf(object));
  if (!found) return undefined;
  for (const field of fieldsOf(heap, object)) {
    const name = heap.survey.names.textOf(field.nameHigh, field.nameLow);
    const isWanted = field.type === 10 && name !== undefined && names.includes(name);
    if (isWanted && field.offset + 4 <= found.bytes.length)
      return readU4(found.bytes, field.offset);
  }
  return undefined;
}

function fieldsOf(heap: RetainedHeap, object: number): readonly LaidField[] {
  return heap.layouts.of(heap.graph.kinds[object] ?? 0)?.fields ?? [];
}

function refersTo(heap: RetainedHeap, bytes: Uint8Array, field: LaidField, to: number): boolean {
  const id = heap.survey.chain.identifierByteSize ?? 8;
  if (field.offset + id > bytes.length) return false;
  const low = readU4(bytes, field.offset + id - 4);
  const high = id === 8 ? readU4(bytes, field.offset) : 0;
  return low === heap.index.lowOf(to) && high === heap.index.highOf(to);
}

function staticReference(heap: RetainedHeap, classIndex: number, to: number): Reference {
  const { classes, names } = heap.survey;
  const [high, low] = [heap.index.highOf(to), heap.index.lowOf(to)];
  const description = classes.get(classIndex);
  const field = description?.references.find(
    ({ valueHigh, valueLow }) => valueHigh === high && valueLow === low,
  );
  if (!field) {
    const isLoader = description?.loaderHigh === high && description.loaderLow === low;
    return {
      kind: 'other',
      words: isLoader ? 'its class loader' : 'what the JVM has of the class',
    };
  }
  const fieldName = names.textOf(field.nameHigh, field.nameLow);
  if (fieldName === undefined) return { kind: 'other', words: 'a constant' };
  return { kind: 'staticField', words: `static field ${fieldName}`, fieldName };
}
