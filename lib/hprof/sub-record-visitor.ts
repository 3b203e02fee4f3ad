/**
 * Is told of each sub-record. Identifiers come as two halves of 32 bits; the high one is 0 when they have 4 bytes.
 * `data` and `at` say where the sub-record's head stands, whole, its tag first: for whoever wants more of it than the
 * arguments tell. They hold only during the call.
 */
export interface SubRecordVisitor {
  root(data: Uint8Array, at: number): void;
  /** @param superHigh, superLow 0 when it has no superclass. */
  classDump(
    classHigh: number,
    classLow: number,
    superHigh: number,
    superLow: number,
    data: Uint8Array,
    at: number,
  ): void;
  instance(
    classHigh: number,
    classLow: number,
    valueBytes: number,
    data: Uint8Array,
    at: number,
  ): void;
  objectArray(
    classHigh: number,
    classLow: number,
    valueBytes: number,
    data: Uint8Array,
    at: number,
  ): void;
  /** @param elementType 4 boolean … 11 long, see primitiveTypes. */
  primitiveArray(elementType: number, valueBytes: number, data: Uint8Array, at: number): void;
}

/** Is handed the values too, and may overwrite them in place. */
export interface ValueVisitor extends SubRecordVisitor {
  /**
   * A constant or a static field of the class; its value follows.
   * @param type 2 reference, 4 boolean … 11 long.
   * @param nameAt where the identifier of a static field's name stands in `data`; -1 of a constant.
   */
  classValue(type: number, data: Uint8Array, nameAt: number): void;
  /** The class has so many instance fields; of each an identifier and one byte, its type, follow as values. */
  classFields(fieldCount: number): void;
  /** `[start, end)` of what the call before announced, in one or more pieces; no call when it is empty. */
  values(data: Uint8Array, start: number, end: number): void;
}
