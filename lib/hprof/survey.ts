import type { ClassDescriptions } from './class-descriptions.ts';
import type { ClassTally } from './class-tally.ts';
import type { ContentTable } from './content-table.ts';
import type { LargestArrays } from './largest-arrays.ts';
import type { NameTable } from './name-table.ts';
import { RecordChain, type ChainState } from './record-chain.ts';
import { RecordContents } from './record-contents.ts';
import type { RootList } from './root-list.ts';
import { dumpTimeOf } from './scan.ts';
import type { StackTable } from './stack-table.ts';
import { SurveyVisitor, type ObjectObserver } from './survey-visitor.ts';

export interface HeapSurveyOptions {
  /** Names kept at most, in bytes; default 128 MiB. */
  maxNameBytes?: number;
  observer?: ObjectObserver;
}

/** All that one pass over a dump has seen, as tables. Identifiers are halves of 32 bits. */
export interface Survey {
  readonly chain: ChainState;
  /** RFC 3339, by the clock of the JVM. */
  readonly dumpTime?: string;
  readonly names: NameTable;
  readonly tally: ClassTally;
  readonly classes: ClassDescriptions;
  readonly classOfSerial: ReadonlyMap<number, number>;
  readonly roots: RootList;
  readonly stacks: StackTable;
  readonly contents: ContentTable;
  readonly largestArrays: LargestArrays;
  readonly elementReferenceCount: number;
}

/**
 * One pass over a whole dump in chunks of any size: what HeapScan counts, and classes with their fields and loaders, GC
 * roots, stacks, the largest arrays, equal arrays. Memory is bounded by tables with limits of their own, whatever the
 * dump's size: classes and names, 20 bytes a root, 24 bytes for each of up to two million different contents.
 */
export class HeapSurvey {
  readonly #contents: RecordContents;
  readonly #visitor: SurveyVisitor;
  readonly #chain: RecordChain;

  constructor(options: HeapSurveyOptions = {}) {
    let visitor: SurveyVisitor | undefined;
    this.#contents = new RecordContents(options.maxNameBytes ?? 128 * 1024 * 1024, (tally) => {
      visitor = new SurveyVisitor(tally, options.observer);
      return visitor;
    });
    this.#visitor = visitor ?? new SurveyVisitor(this.#contents.tally);
    this.#chain = new RecordChain({ visitor: this.#contents });
  }

  /** @throws CaptureError InvalidHprof as HeapScan.push. The survey is over then; `finish` tells what came before. */
  push(chunk: Uint8Array): void {
    this.#chain.push(chunk);
  }

  finish(): Survey {
    const visitor = this.#visitor;
    return {
      chain: this.#chain.state,
      ...dumpTimeOf(this.#contents.timestampMillis),
      names: this.#contents.names,
      tally: this.#contents.tally,
      classes: visitor.classes,
      classOfSerial: visitor.classOfSerial,
      roots: visitor.roots,
      stacks: visitor.stacks,
      contents: visitor.contents,
      largestArrays: visitor.largestArrays,
      elementReferenceCount: visitor.elementReferenceCount,
    };
  }
}
