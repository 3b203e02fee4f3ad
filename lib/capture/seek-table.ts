import { CaptureError } from '../errors.ts';

/**
 * The seek table of the zstd seekable format: a skippable frame at an object's end that lists every frame
 * before it, skippable ones with 0 dump bytes. A reader finds any dump offset without reading what is before it.
 * Source: contrib/seekable_format/zstd_seekable_compression_format.md of facebook/zstd, version 0.1.1.
 */
const tableMagic = 0x184d2a5e;
const seekableMagic = 0x8f92eab1;
const headBytes = 8;
const entryBytes = 8;
const checkedEntryBytes = 12;
/** Number of frames, descriptor, magic number: the object's last bytes. */
export const seekTableFooterBytes = 9;

export interface SeekEntry {
  readonly compressedBytes: number;
  readonly rawBytes: number;
}

/** The frames of one stream, in order, as a table needs them. */
export class FrameSizes {
  #words = new Uint32Array(256);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(compressedBytes: number, rawBytes: number): void {
    if (this.#count * 2 === this.#words.length) {
      const larger = new Uint32Array(this.#words.length * 2);
      larger.set(this.#words);
      this.#words = larger;
    }
    this.#words[this.#count * 2] = compressedBytes;
    this.#words[this.#count * 2 + 1] = rawBytes;
    this.#count += 1;
  }

  /** Forgets all but the first ones. */
  truncate(count: number): void {
    this.#count = Math.min(this.#count, count);
  }

  writeTo(target: DataView, offset: number): void {
    for (let word = 0; word < this.#count * 2; word += 1) {
      target.setUint32(offset + word * 4, this.#words[word] ?? 0, true);
    }
  }
}

/** The table of these frames, one stream after the other. */
export function seekTable(streams: readonly FrameSizes[]): Uint8Array {
  const count = streams.reduce((sum, sizes) => sum + sizes.count, 0);
  const bytes = new Uint8Array(seekTableBytes(count, entryBytes));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, tableMagic, true);
  view.setUint32(4, bytes.length - headBytes, true);
  let at = headBytes;
  for (const sizes of streams) {
    sizes.writeTo(view, at);
    at += sizes.count * entryBytes;
  }
  view.setUint32(at, count, true);
  view.setUint32(at + 5, seekableMagic, true);
  return bytes;
}

function seekTableBytes(frameCount: number, bytesAnEntry: number): number {
  return headBytes + frameCount * bytesAnEntry + seekTableFooterBytes;
}

interface Footer {
  readonly tableBytes: number;
  readonly frameCount: number;
  readonly bytesAnEntry: number;
}

function readFooter(bytes: Uint8Array): Footer | undefined {
  if (bytes.length < seekTableFooterBytes) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + bytes.length - seekTableFooterBytes);
  if (view.getUint32(5, true) !== seekableMagic) return undefined;
  const frameCount = view.getUint32(0, true);
  const bytesAnEntry = (view.getUint8(4) & 0x80) === 0 ? entryBytes : checkedEntryBytes;
  return { tableBytes: seekTableBytes(frameCount, bytesAnEntry), frameCount, bytesAnEntry };
}

/**
 * Size of the seek table at an object's end.
 * @param tail the object's last bytes, 9 at least.
 * @returns 0 when there is none.
 */
export function seekTableBytesOf(tail: Uint8Array): number {
  return readFooter(tail)?.tableBytes ?? 0;
}

/**
 * Reads a seek table.
 * @param table the object's last `seekTableBytesOf(tail)` bytes.
 * @param objectBytes size of the object.
 * @returns `undefined` when the table does not describe this object: after a salvage without one of its parts
 *   it would lead astray, and the object is then read from its start.
 * @throws CaptureError InvalidHprof: these bytes are no seek table.
 */
export function parseSeekTable(table: Uint8Array, objectBytes: number): SeekEntry[] | undefined {
  const footer = readFooter(table);
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  if (footer?.tableBytes !== table.length || view.getUint32(0, true) !== tableMagic) {
    throw new CaptureError('InvalidHprof', `${table.length} bytes are no seek table`);
  }
  const entries: SeekEntry[] = [];
  let describedBytes = table.length;
  for (let index = 0; index < footer.frameCount; index += 1) {
    const at = headBytes + index * footer.bytesAnEntry;
    const compressedBytes = view.getUint32(at, true);
    entries.push({ compressedBytes, rawBytes: view.getUint32(at + 4, true) });
    describedBytes += compressedBytes;
  }
  return describedBytes === objectBytes ? entries : undefined;
}
