import { createReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { pipeline, type Duplex } from 'node:stream';
import { promisify } from 'node:util';
import { createGunzip, createZstdDecompress, zstdDecompress } from 'node:zlib';
import { ZstdFrames } from '../../capture/zstd-frames.ts';
import { CaptureError, messageOf } from '../../errors.ts';

const decompress = promisify(zstdDecompress);
const chunkBytes = 1024 * 1024;
/** Of a ticket's largest blocks, and of the zeros that a salvage appends. */
const maxBlockBytes = 64 * 1024 * 1024;
/** What a gzip or zstd stream holds at once of what it has decompressed. */
const streamChunkBytes = 1024 * 1024;

export type Codec = 'none' | 'zstd' | 'gzip';

/** A file with a heap dump, to be read as often as needed. */
export interface DumpSource {
  readonly path: string;
  readonly fileBytes: number;
  readonly codec: Codec;
  /**
   * The dump's bytes from its begin, decompressed; a chunk holds until the next one is asked for.
   * A compressed file that breaks off ends the bytes there; `onFault` is told why.
   */
  read(onFault?: (fault: string) => void): AsyncIterable<Uint8Array>;
}

/**
 * Opens a dump by what is in it, whatever it is called.
 * @throws CaptureError InvalidHprof: not there, empty, no dump, or encrypted.
 */
export async function openDump(path: string): Promise<DumpSource> {
  const { head, fileBytes } = await headOf(path);
  const codec = codecOf(head, path);
  const reads = { none: readPlain, zstd: readZstd, gzip: readGzip };
  return {
    path,
    fileBytes,
    codec,
    read: (onFault = () => undefined) => reads[codec](path, onFault),
  };
}

async function headOf(path: string): Promise<{ head: Buffer; fileBytes: number }> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    const stats = await file.stat();
    if (!stats.isFile()) throw new Error('it is no regular file');
    const { buffer, bytesRead } = await file.read(Buffer.alloc(32), 0, 32, 0);
    return { head: buffer.subarray(0, bytesRead), fileBytes: stats.size };
  } catch (cause) {
    throw new CaptureError('InvalidHprof', `${path} cannot be read: ${messageOf(cause)}`, {
      cause,
    });
  } finally {
    await file?.close();
  }
}

function codecOf(head: Buffer, path: string): Codec {
  if (head.subarray(0, 13).toString('latin1') === 'JAVA PROFILE ') return 'none';
  if (head.length >= 4) {
    const magic = head.readUInt32LE(0);
    if (magic === 0xfd2fb528 || magic - (magic % 16) === 0x184d2a50) {
      if (!path.endsWith('.enc')) return 'zstd';
      throw new CaptureError(
        'InvalidHprof',
        `${path} is encrypted; "heapcatch decrypt" makes a file of it that can be read`,
      );
    }
    if (head.readUInt16BE(0) === 0x1f8b) return 'gzip';
  }
  const start = JSON.stringify(head.subarray(0, 18).toString('latin1'));
  throw new CaptureError(
    'InvalidHprof',
    `${path} starts with ${start}; accepted are heap dumps (hprof 1.0.1 and 1.0.2), plain or in zstd or gzip`,
  );
}

/** Reads the next chunk while the one before is looked at. */
async function* readPlain(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path);
  try {
    const buffers = [Buffer.allocUnsafe(chunkBytes), Buffer.allocUnsafe(chunkBytes)] as const;
    const read = (index: 0 | 1): ReturnType<typeof file.read<Buffer>> =>
      file.read(buffers[index], 0, chunkBytes, null);
    let index: 0 | 1 = 0;
    let next = read(index);
    for (;;) {
      const { bytesRead, buffer } = await next;
      if (bytesRead === 0) return;
      index = index === 0 ? 1 : 0;
      next = read(index);
      next.catch(() => undefined);
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** Frames of ours are small and decompressed two at a time; one frame of any size, by another tool, as a stream. */
async function* readZstd(
  path: string,
  onFault: (fault: string) => void,
): AsyncGenerator<Uint8Array> {
  const frames = new ZstdFrames();
  let frameCount = 0;
  let ahead: Promise<Buffer> | undefined;
  try {
    for await (const chunk of readPlain(path)) {
      for (const frame of frames.push(chunk)) {
        const next = decompress(frame, { maxOutputLength: maxBlockBytes });
        next.catch(() => undefined);
        frameCount += 1;
        if (ahead) yield await ahead;
        ahead = next;
      }
    }
    if (ahead) yield await ahead;
    if (frames.openBytes > 0) onFault('the compressed file breaks off inside a frame');
  } catch (error) {
    if (frameCount > 0) onFault(messageOf(error));
    else yield* streamed(path, createZstdDecompress({ chunkSize: streamChunkBytes }), onFault);
  }
}

function readGzip(path: string, onFault: (fault: string) => void): AsyncGenerator<Uint8Array> {
  return streamed(path, createGunzip({ chunkSize: streamChunkBytes }), onFault);
}

async function* streamed(
  path: string,
  decompressor: Duplex,
  onFault: (fault: string) => void,
): AsyncGenerator<Uint8Array> {
  const file = createReadStream(path, { highWaterMark: chunkBytes });
  pipeline(file, decompressor, () => undefined);
  try {
    for await (const chunk of decompressor) yield chunk as Uint8Array;
  } catch (error) {
    onFault(`the compressed file breaks off: ${messageOf(error)}`);
  } finally {
    file.destroy();
    decompressor.destroy();
  }
}
