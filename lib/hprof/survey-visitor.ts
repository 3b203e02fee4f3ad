import { ClassDescriptions } from './class-descriptions.ts';
import type { ClassTally } from './class-tally.ts';
import { ContentTable } from './content-table.ts';
import { LargestArrays } from './largest-arrays.ts';
import type { ContentsObserver } from './record-contents.ts';
import { readU4, type HprofHeader, type IdentifierByteSize } from './records.ts';
import { RootList } from './root-list.ts';
import { StackTable } from './stack-table.ts';
import type { ValueVisitor } from './sub-record-visitor.ts';
import { primitiveTypes } from './sub-records.ts';

const keptArrayCount = 50;

/** Is told of every object, class dumps among them. */
export interface ObjectObserver {
  object(high: number, low: number): void;
}

/** What becomes of the values that come next. */
type Purpose = 'nothing' | 'class' | 'content';

/** Collects what a report tells of a heap in one pass, beside the tally of classes. */
export class SurveyVisitor implements ValueVisitor, ContentsObserver {
  readonly subRecords = this;
  readonly roots = new RootList();
  readonly stacks = new StackTable();
  readonly classes = new ClassDescriptions();
  readonly contents = new ContentTable();
  readonly largestArrays = new LargestArrays(keptArrayCount);
  /** FRAME records name a class by a serial number: its index in the tally. */
  readonly classOfSerial = new Map<number, number>();
  /** Elements of object arrays. */
  elementReferenceCount = 0;
  idBytes: IdentifierByteSize = 8;
  readonly #tally: ClassTally;
  readonly #observer: ObjectObserver | undefined;
  #purpose: Purpose = 'nothing';
  /** The array whose content comes. */
  #type = 0;
  #high = 0;
  #low = 0;
  #contentBytes = 0;
  readonly #content = new Uint8Array(4_096);
  #gatheredBytes = 0;

  constructor(tally: ClassTally, observer?: ObjectObserver) {
    this.#tally = tally;
    this.#observer = observer;
  }

  header(header: HprofHeader): void {
    this.idBytes = header.identifierByteSize;
    this.classes.idBytes = header.identifierByteSize;
  }

  classSerial(serial: number, classIndex: number): void {
    this.classOfSerial.set(serial, classIndex);
  }

  frame(body: Uint8Array): void {
    this.stacks.addFrame(body, this.idBytes);
  }

  trace(body: Uint8Array): void {
    this.stacks.addTrace(body, this.idBytes);
  }

  root(data: Uint8Array, at: number): void {
    this.#purpose = 'nothing';
    this.#tally.root();
    this.roots.add(data, at, this.idBytes);
  }

  classDump(
    classHigh: number,
    classLow: number,
    _superHigh: number,
    _superLow: number,
    data: Uint8Array,
    at: number,
  ): void {
    this.#purpose = 'class';
    this.#tally.classDump();
    this.#observer?.object(classHigh, classLow);
    this.classes.begin(this.#tally.indexOf(classHigh, classLow), data, at);
  }

  classValue(type: number, data: Uint8Array, nameAt: number): void {
    const bytes = type === 2 ? this.idBytes : (primitiveTypes[type]?.bytes ?? 0);
    this.classes.value(type, bytes, data, nameAt);
  }

  classFields(fieldCount: number): void {
    this.classes.fields(fieldCount);
  }

  instance(
    classHigh: number,
    classLow: number,
    valueBytes: number,
    data: Uint8Array,
    at: number,
  ): void {
    this.#purpose = 'nothing';
    this.#tally.instance(classHigh, classLow, valueBytes);
    this.#tell(data, at);
  }

  objectArray(
    classHigh: number,
    classLow: number,
    valueBytes: number,
    data: Uint8Array,
    at: number,
  ): void {
    this.#purpose = 'nothing';
    this.elementReferenceCount += valueBytes / this.idBytes;
    const classIndex = this.#tally.objectArray(classHigh, classLow, valueBytes);
    this.#tell(data, at);
    if (this.largestArrays.accepts(valueBytes)) {
      this.#addLarge(classIndex, valueBytes / this.idBytes, valueBytes, data, at);
    }
  }

  primitiveArray(elementType: number, valueBytes: number, data: Uint8Array, at: number): void {
    this.#purpose = 'nothing';
    this.#tally.primitiveArray(elementType, valueBytes);
    this.#tell(data, at);
    const isText = elementType === 8 || elementType === 5;
    if (isText && this.contents.accepts(valueBytes)) {
      this.#purpose = 'content';
      this.#type = elementType;
      this.#high = this.#halfAt(data, at + 1);
      this.#low = readU4(data, at + this.idBytes - 3);
      this.#contentBytes = valueBytes;
      this.#gatheredBytes = 0;
    } else if (this.largestArrays.accepts(valueBytes)) {
      const elementBytes = primitiveTypes[elementType]?.bytes ?? 1;
      this.#addLarge(-1 - elementType, valueBytes / elementBytes, valueBytes, data, at);
    }
  }

  values(data: Uint8Array, start: number, end: number): void {
    if (this.#purpose === 'class') {
      this.classes.values(data, start, end);
    } else if (this.#purpose === 'content') {
      if (end - start === this.#contentBytes) {
        this.contents.add(this.#type, data, start, end, this.#high, this.#low);
        return;
      }
      this.#content.set(data.subarray(start, end), this.#gatheredBytes);
      this.#gatheredBytes += end - start;
      if (this.#gatheredBytes < this.#contentBytes) return;
      this.contents.add(this.#type, this.#content, 0, this.#contentBytes, this.#high, this.#low);
    }
  }

  #tell(data: Uint8Array, at: number): void {
    this.#observer?.object(this.#halfAt(data, at + 1), readU4(data, at + this.idBytes - 3));
  }

  #halfAt(data: Uint8Array, at: number): number {
    return this.idBytes === 8 ? readU4(data, at) : 0;
  }

  #addLarge(
    classCode: number,
    elementCount: number,
    valueBytes: number,
    data: Uint8Array,
    at: number,
  ): void {
    const high = this.#halfAt(data, at + 1);
    const low = readU4(data, at + this.idBytes - 3);
    this.largestArrays.add({ classCode, elementCount, valueBytes, high, low });
  }
}
