import { IdTable } from './id-table.ts';
import { readU4, type IdentifierByteSize } from './records.ts';

/** More than any dump has; what comes after them is left out, and `complete` is false. */
const maxFrameCount = 1_000_000;
const maxTraceCount = 200_000;
const maxTraceFrameCount = 4_000_000;
/** Frames kept of one thread; deeper ones are counted. */
const maxKeptFrames = 512;

/** One frame of a thread's stack; names are looked up by identifiers in halves. */
export interface Frame {
  readonly methodHigh: number;
  readonly methodLow: number;
  readonly sourceHigh: number;
  readonly sourceLow: number;
  readonly classSerial: number;
  /** 1 and more; 0 unknown, -1 unknown, -2 compiled, -3 native method. */
  readonly line: number;
}

export interface Trace {
  readonly threadSerial: number;
  /** Innermost first; `undefined` for a frame that the dump does not describe. */
  readonly frames: readonly (Frame | undefined)[];
  readonly frameCount: number;
}

/** FRAME and TRACE records. Source: the "HPROF Agent" binary format. */
export class StackTable {
  readonly #ids = new IdTable(maxFrameCount);
  readonly #frames: Frame[] = [];
  readonly #traces = new Map<
    number,
    { threadSerial: number; count: number; frames: Uint32Array }
  >();
  #keptFrameCount = 0;
  complete = true;

  addFrame(body: Uint8Array, id: IdentifierByteSize): void {
    const index = this.#ids.add(half(body, 0, id), readU4(body, id - 4));
    if (index === -1) {
      this.complete = false;
      return;
    }
    this.#frames[index] ??= {
      methodHigh: half(body, id, id),
      methodLow: readU4(body, 2 * id - 4),
      sourceHigh: half(body, 3 * id, id),
      sourceLow: readU4(body, 4 * id - 4),
      classSerial: readU4(body, 4 * id),
      line: readU4(body, 4 * id + 4) | 0,
    };
  }

  addTrace(body: Uint8Array, id: IdentifierByteSize): void {
    const said = readU4(body, 8);
    const count = Math.min(said, maxKeptFrames, Math.floor((body.length - 12) / id));
    if (this.#traces.size >= maxTraceCount || this.#keptFrameCount + count > maxTraceFrameCount) {
      this.complete = false;
      return;
    }
    const frames = new Uint32Array(count);
    for (let index = 0; index < count; index += 1) {
      const at = 12 + index * id;
      frames[index] = this.#ids.add(half(body, at, id), readU4(body, at + id - 4)) + 1;
    }
    this.#keptFrameCount += count;
    this.#traces.set(readU4(body, 0), { threadSerial: readU4(body, 4), count: said, frames });
  }

  /** The trace of that serial number, or `undefined`. */
  trace(serial: number): Trace | undefined {
    const found = this.#traces.get(serial);
    if (!found) return undefined;
    return {
      threadSerial: found.threadSerial,
      frameCount: found.count,
      frames: Array.from(found.frames, (index) => this.#frames[index - 1]),
    };
  }
}

function half(body: Uint8Array, at: number, id: IdentifierByteSize): number {
  return id === 8 ? readU4(body, at) : 0;
}
