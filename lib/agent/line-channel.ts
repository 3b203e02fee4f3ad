import type { Socket } from 'node:net';
import { CaptureError } from '../errors.ts';

/** A line, and what may come with its last packet. */
const maxLineBytes = 256 * 1024;

/**
 * JSON lines, and byte counts that a line announces, over one socket whose other end is not trusted. A line that
 * is too long, bytes that nobody waits for, and silence beyond a deadline each break the channel.
 */
export class LineChannel {
  readonly #socket: Socket;
  readonly #closed: Promise<void>;
  #chunks: Buffer[] = [];
  #heldBytes = 0;
  #maxHeldBytes = maxLineBytes;
  #fault: CaptureError | undefined;
  #wake: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#fault ??= broken('the other end closed it');
        this.#wake();
        resolve();
      });
    });
    socket.on('error', (error) => this.#break(error.message));
    socket.on('end', () => socket.destroy());
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#heldBytes += chunk.length;
      if (this.#heldBytes > this.#maxHeldBytes) this.#break('more came than was asked for');
      this.#wake();
    });
  }

  /** Resolves when the channel is over, from whichever end. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  get isClosed(): boolean {
    return this.#fault !== undefined;
  }

  /** @throws CaptureError AttachFailed: the channel is closed, the deadline came, or the line is not JSON. */
  async readLine(timeoutMilliseconds: number): Promise<unknown> {
    const lineBytes = (): number | undefined => {
      let before = 0;
      for (const chunk of this.#chunks) {
        const end = chunk.indexOf(0x0a);
        if (end !== -1) return before + end + 1;
        before += chunk.length;
      }
      return undefined;
    };
    const line = await this.#take(lineBytes, timeoutMilliseconds);
    try {
      return JSON.parse(line.toString()) as unknown;
    } catch {
      throw this.#break('what came is not JSON');
    }
  }

  /** @throws CaptureError AttachFailed as readLine does. */
  async readBytes(count: number, timeoutMilliseconds: number): Promise<Buffer> {
    this.#maxHeldBytes = count + maxLineBytes;
    const bytes = await this.#take(
      () => (this.#heldBytes >= count ? count : undefined),
      timeoutMilliseconds,
    );
    this.#maxHeldBytes = maxLineBytes;
    return bytes;
  }

  write(line: object, body?: Uint8Array): void {
    if (this.isClosed) return;
    this.#socket.write(`${JSON.stringify(line)}\n`);
    if (body !== undefined && body.length > 0) this.#socket.write(body);
  }

  /** Writes a line and resolves when the kernel has it, or the channel is over: after that the process may end. */
  async writeAndFlush(line: object): Promise<void> {
    if (this.isClosed) return;
    const text = `${JSON.stringify(line)}\n`;
    const flushed = new Promise<void>((resolve) => this.#socket.write(text, () => resolve()));
    await Promise.race([flushed, this.#closed]);
  }

  close(): void {
    this.#fault ??= broken('it was closed');
    this.#socket.destroy();
    this.#wake();
  }

  async #take(sizeOf: () => number | undefined, timeoutMilliseconds: number): Promise<Buffer> {
    const late = setTimeout(
      () => this.#break(`nothing came within ${timeoutMilliseconds} ms`),
      timeoutMilliseconds,
    );
    try {
      for (;;) {
        // What came before the end is still read.
        const size = sizeOf();
        if (size !== undefined) return this.#cut(size);
        if (this.#fault) throw this.#fault;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      clearTimeout(late);
    }
  }

  #cut(size: number): Buffer {
    const held = Buffer.concat(this.#chunks);
    const rest = held.subarray(size);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#heldBytes = rest.length;
    return held.subarray(0, size);
  }

  #break(why: string): CaptureError {
    this.#fault ??= broken(why);
    this.#socket.destroy();
    this.#wake();
    return this.#fault;
  }
}

function broken(why: string): CaptureError {
  return new CaptureError(
    'AttachFailed',
    `the connection between attacher and uploader broke: ${why}`,
  );
}
