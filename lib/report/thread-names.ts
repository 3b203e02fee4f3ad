import type { ContentsPass, Wanted } from '../hprof/retained/contents-pass.ts';
import { primitiveArrayBase } from '../hprof/retained/reference-pass.ts';
import type { RetainedHeap } from '../hprof/retained/retained-heap.ts';
import { lastBit } from '../hprof/retained/search.ts';

const maxThreadCount = 20_000;
const maxNameBytes = 400;
const maxPreviewBytes = 240;
const maxPreviewLength = 120;
/** With more than one such character in so many it is no text. */
const maxOddShare = 10;

/**
 * Arrays that hold the names of threads, by the thread's serial number. Of a thread's fields `name` is the last string, its
 * locals come before its fields in the graph.
 */
export function nameArraysOf(heap: RetainedHeap): Map<number, number> {
  const found = new Map<number, number>();
  for (const [serial, thread] of heap.rootSet.threads) {
    if (found.size >= maxThreadCount) break;
    const strings = targetsOf(heap, thread).filter(
      (object) => heap.classNameOf(object) === 'java.lang.String' || isText(heap, object),
    );
    const last = strings.at(-1);
    if (last === undefined) continue;
    const array = isText(heap, last)
      ? last
      : targetsOf(heap, last).find((object) => isText(heap, object));
    if (array !== undefined) found.set(serial, array);
  }
  return found;
}

export function wantedText(heap: RetainedHeap, array: number, keptBytes = maxNameBytes): Wanted {
  return { high: heap.index.highOf(array), low: heap.index.lowOf(array), keptBytes };
}

/** The texts of these arrays, as far as they were looked up. */
export function textsOf<K>(
  heap: RetainedHeap,
  contents: ContentsPass,
  arrays: ReadonlyMap<K, number>,
): Map<K, string> {
  const texts = new Map<K, string>();
  for (const [key, array] of arrays) {
    const found = contents.find(heap.index.highOf(array), heap.index.lowOf(array));
    if (found) texts.set(key, textOf(found.bytes, heap.graph.kinds[array] === charArray));
  }
  return texts;
}

const charArray = primitiveArrayBase + 5;
const byteArray = primitiveArrayBase + 8;

function isText(heap: RetainedHeap, object: number): boolean {
  const kind = heap.graph.kinds[object];
  return kind === charArray || kind === byteArray;
}

/**
 * The text in an array of char or byte. Arrays of char are big-endian in a dump; of a string's bytes a dump does not say
 * beside them whether they are Latin-1 or UTF-16: the latter if every second one is 0.
 */
export function textOf(bytes: Uint8Array, isChars: boolean): string {
  const isWide = (offset: number): boolean =>
    bytes.length >= 2 &&
    bytes.length % 2 === 0 &&
    bytes.every((byte, at) => at % 2 !== offset || byte === 0);
  if (isChars) return new TextDecoder('utf-16be').decode(bytes);
  if (isWide(1)) return new TextDecoder('utf-16le').decode(bytes);
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
}

/** What to look up for the begin of a text, and how much of it is shown. */
export function wantedPreview(high: number, low: number): Wanted {
  return { high, low, keptBytes: maxPreviewBytes };
}

/** `undefined` of what is no text. */
export function previewOf(bytes: Uint8Array, isChars: boolean): string | undefined {
  const text = textOf(bytes, isChars).slice(0, maxPreviewLength);
  const oddCount = text.match(/[\p{C}\ufffd]/gu)?.length ?? 0;
  return oddCount * maxOddShare > text.length ? undefined : text;
}

function targetsOf({ graph }: RetainedHeap, object: number): number[] {
  const start = graph.starts[object] ?? 0;
  const targets: number[] = [];
  if (start === 0) return targets;
  for (let edge = start - 1; edge < graph.targets.length; edge += 1) {
    const word = graph.targets[edge] ?? 0;
    targets.push(word % lastBit);
    if (word >= lastBit) break;
  }
  return targets;
}
