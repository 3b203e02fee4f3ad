import { NumberList } from './number-list.ts';
import { readU4, type IdentifierByteSize } from './records.ts';
import { rootKindOf, rootKindsOfThreads, type RootKind } from './root-kinds.ts';

/** More than any JVM has; later ones are counted and not kept. */
const maxKeptRoots = 16_000_000;

/** One GC root. `threadSerial` and `number` are 0 where its kind has none. */
export interface Root {
  readonly kind: RootKind;
  readonly high: number;
  readonly low: number;
  readonly threadSerial: number;
  /** Of a javaFrame or jniLocal the frame's number, 0xffffffff without one; of a threadObject its stack trace's serial. */
  readonly number: number;
}

/** All GC roots of a dump, 20 bytes each. */
export class RootList {
  readonly #words = new NumberList();
  readonly #counts = new Map<number, number>();
  #count = 0;

  /** @param at of the sub-record's tag. */
  add(data: Uint8Array, at: number, id: IdentifierByteSize): void {
    const tag = data[at] ?? 0;
    this.#counts.set(tag, (this.#counts.get(tag) ?? 0) + 1);
    if (this.#count >= maxKeptRoots) return;
    this.#count += 1;
    const ofThread = rootKindsOfThreads.has(rootKindOf(tag));
    const hasNumber = tag === 0x02 || tag === 0x03 || tag === 0x08;
    this.#words.push(tag);
    this.#words.push(id === 8 ? readU4(data, at + 1) : 0);
    this.#words.push(readU4(data, at + id - 3));
    this.#words.push(ofThread ? readU4(data, at + 1 + id) : 0);
    this.#words.push(hasNumber ? readU4(data, at + 5 + id) : 0);
  }

  get length(): number {
    return this.#count;
  }

  at(index: number): Root {
    const start = index * 5;
    const word = (offset: number): number => this.#words.at(start + offset);
    return {
      kind: rootKindOf(word(0)),
      high: word(1),
      low: word(2),
      threadSerial: word(3),
      number: word(4),
    };
  }

  /** How many there are of each kind that occurs. */
  get countByKind(): Partial<Record<RootKind, number>> {
    const byKind: Partial<Record<RootKind, number>> = {};
    for (const [tag, count] of this.#counts) byKind[rootKindOf(tag)] = count;
    return byKind;
  }
}
