import {
  sealAccount,
  sealFrame,
  type SealedObject,
  type StreamAccount,
} from '../capture/sealed-frames.ts';
import type { Ticket } from '../capture/ticket.ts';
import type { Artifact } from '../policy/policy.ts';
import type { Frame, FrameSink } from './frame-stream.ts';
import { noteGarbage } from './garbage.ts';

/** Encrypts the compressed frames of one heap dump, each by itself, before they become parts. */
export class DumpSealing {
  readonly #object: SealedObject;
  readonly #streams: SealedStream[] = [];

  constructor(object: SealedObject) {
    this.#object = object;
  }

  /** @param firstPartNumber of the stream, which tells it from others in the object. */
  streamInto(sink: FrameSink, firstPartNumber: number): FrameSink {
    const stream = new SealedStream(this.#object, firstPartNumber, sink);
    this.#streams.push(stream);
    return stream;
  }

  /** Says behind the last stream's last frame how many there were. */
  async finish(sink: FrameSink): Promise<void> {
    const streams = this.#streams.map(({ account }) => account);
    await sink.add({ bytes: sealAccount(this.#object, streams), rawBytes: 0 });
  }
}

class SealedStream implements FrameSink {
  readonly #object: SealedObject;
  readonly #stream: number;
  readonly #sink: FrameSink;
  #frameCount = 0;
  /** Frames of the record that the last one left open. */
  #openFrameCount = 0;

  constructor(object: SealedObject, stream: number, sink: FrameSink) {
    this.#object = object;
    this.#stream = stream;
    this.#sink = sink;
  }

  get account(): StreamAccount {
    return { stream: this.#stream, frameCount: this.#frameCount };
  }

  add(frame: Frame): Promise<void> {
    const place = { kind: 'data', stream: this.#stream, number: this.#frameCount } as const;
    this.#frameCount += 1;
    this.#openFrameCount = frame.open ? this.#openFrameCount + 1 : 0;
    const bytes = sealFrame(this.#object, place, frame.bytes);
    // The compressor's buffer, and the cipher's; the sink tells of the third.
    noteGarbage(2 * frame.bytes.length);
    return this.#sink.add({ ...frame, bytes });
  }

  flush(): Promise<void> {
    return this.#sink.flush();
  }

  dropOpenRecord(): number {
    const droppedBytes = this.#sink.dropOpenRecord();
    if (droppedBytes > 0) this.#frameCount -= this.#openFrameCount;
    this.#openFrameCount = 0;
    return droppedBytes;
  }
}

/** What the ticket says about one artifact's encryption; `undefined` when it is to be stored plain. */
export function sealedObjectOf(
  { captureId, fencingToken, encryption }: Ticket,
  artifact: Artifact,
): SealedObject | undefined {
  if (encryption === undefined) return undefined;
  const dataKey = Buffer.from(encryption.dataKey, 'base64');
  return { captureId, fencingToken, artifact, dataKey };
}

/** So much of a piece of evidence is one frame. */
const evidenceFrameBytes = 1024 * 1024;

/** A piece of evidence as it is stored: encrypted where the ticket says so. */
export function sealEvidence(
  ticket: Ticket,
  artifact: Artifact,
  chunks: readonly Uint8Array[],
): readonly Uint8Array[] {
  const object = sealedObjectOf(ticket, artifact);
  if (object === undefined) return chunks;
  const sealed: Uint8Array[] = [];
  for (const chunk of chunks) {
    for (let start = 0; start < chunk.length; start += evidenceFrameBytes) {
      const place = { kind: 'data', stream: 0, number: sealed.length } as const;
      sealed.push(sealFrame(object, place, chunk.subarray(start, start + evidenceFrameBytes)));
    }
  }
  sealed.push(sealAccount(object, [{ stream: 0, frameCount: sealed.length }]));
  return sealed;
}
