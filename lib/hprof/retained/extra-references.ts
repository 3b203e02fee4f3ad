import type { Survey } from '../survey.ts';
import type { ObjectIndex } from './object-index.ts';

/** GC roots and what the JVM keeps that no field shows. */
export interface RootSet {
  /** Objects that are roots by themselves. */
  readonly roots: readonly number[];
  /** By object: a thread's locals, a class loader's classes. */
  readonly extras: ReadonlyMap<number, readonly number[]>;
  /** Thread objects by the serial number of the thread. */
  readonly threads: ReadonlyMap<number, number>;
  /** Roots that are no object of the dump. */
  readonly danglingCount: number;
}

/**
 * Sorts the roots: what a thread's frame refers to is kept by the thread, where that is known, and not by itself, so that
 * the thread shows as what keeps it. A class loader keeps its classes, as the JVM's own tables have it.
 */
export function rootSetOf(survey: Survey, index: ObjectIndex): RootSet {
  const threads = new Map<number, number>();
  const extras = new Map<number, number[]>();
  const roots: number[] = [];
  let danglingCount = 0;
  const keep = (keeper: number, kept: number): void => {
    const list = extras.get(keeper);
    if (list) list.push(kept);
    else extras.set(keeper, [kept]);
  };
  for (let number = 0; number < survey.roots.length; number += 1) {
    const { kind, high, low, threadSerial } = survey.roots.at(number);
    const object = kind === 'threadObject' ? index.find(high, low) : -1;
    if (object !== -1) threads.set(threadSerial, object);
  }
  for (let number = 0; number < survey.roots.length; number += 1) {
    const { kind, high, low, threadSerial } = survey.roots.at(number);
    const object = index.find(high, low);
    const isLocal = kind === 'javaFrame' || kind === 'jniLocal';
    const thread = isLocal ? threads.get(threadSerial) : undefined;
    if (object === -1) danglingCount += 1;
    else if (thread === undefined) roots.push(object);
    else keep(thread, object);
  }
  for (const [, { high, low, loaderHigh, loaderLow }] of survey.classes.entries()) {
    const loader = index.find(loaderHigh, loaderLow);
    const object = index.find(high, low);
    if (loader !== -1 && object !== -1) keep(loader, object);
  }
  return { roots, extras, threads, danglingCount };
}
