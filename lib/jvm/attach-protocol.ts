/**
 * The attach protocol of HotSpot, version 1: `1 NUL command NUL arg NUL arg NUL arg NUL` on the unix socket
 * `/tmp/.java_pid<n>`; the answer is a status line and the output, until the JVM closes. Later
 * JVMs also speak version 2 (25 does, 17 does not), but still answer this one.
 * Source: attachListener_posix.cpp of OpenJDK 17 and 25.
 */
import { CaptureError } from '../errors.ts';

const argumentCount = 3;
/** AttachOperation::name_length_max and arg_length_max. */
const maxCommandBytes = 16;
const maxArgumentBytes = 1024;

/**
 * One request. Diagnostic commands go as `('jcmd', ['GC.heap_info'])`.
 * @throws CaptureError AttachFailed: a NUL, more than 3 arguments, an empty command or one over 16 bytes, an
 *   argument over 1024 bytes: the JVM would refuse or misread each of them.
 */
export function encodeAttachRequest(command: string, args: readonly string[]): Uint8Array {
  if (args.length > argumentCount) {
    throw refused(command, `it has ${args.length} arguments; accepted are at most 3`);
  }
  const encoder = new TextEncoder();
  const fields = [command, ...args];
  while (fields.length < 1 + argumentCount) fields.push('');
  fields.forEach((field, index) => {
    const bytes = encoder.encode(field).length;
    const limit = index === 0 ? maxCommandBytes : maxArgumentBytes;
    if (field.includes('\0')) throw refused(command, 'NUL is the separator and cannot be sent');
    if (bytes > limit) throw refused(command, `a field has ${bytes} bytes; accepted are ${limit}`);
  });
  if (command === '') throw refused(command, 'the command is empty');
  return encoder.encode(`1\0${fields.join('\0')}\0`);
}

function refused(command: string, why: string): CaptureError {
  const name = JSON.stringify(command.slice(0, maxCommandBytes));
  return new CaptureError('AttachFailed', `attach request ${name} cannot be sent: ${why}`);
}

export interface AttachReply {
  /** 0 when the command ran (which says nothing about whether it did what it should). */
  readonly status: number;
  readonly output: Uint8Array;
  /** The output was longer than maxBytes: the rest was dropped. */
  readonly truncated: boolean;
}

const maxStatusLineBytes = 16;

/** Takes an answer apart as it arrives. Holds at most maxBytes of output. */
export class AttachReplyDecoder {
  readonly #maxBytes: number;
  readonly #chunks: Uint8Array[] = [];
  #outputBytes = 0;
  #statusLine = '';
  #status: number | undefined;
  #truncated = false;

  constructor(options: { maxBytes: number }) {
    this.#maxBytes = options.maxBytes;
  }

  /** @throws CaptureError AttachFailed: the first line is not a number. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (this.#status === undefined && at < chunk.length) {
      this.#pushStatus(chunk[at] ?? 0);
      at += 1;
    }
    const kept = chunk.slice(at, at + this.#maxBytes - this.#outputBytes);
    if (kept.length > 0) this.#chunks.push(kept);
    this.#outputBytes += kept.length;
    if (kept.length < chunk.length - at) this.#truncated = true;
  }

  /** @throws CaptureError AttachFailed (retryable): the JVM closed before it had said a status. */
  finish(): AttachReply {
    if (this.#status === undefined) {
      throw new CaptureError(
        'AttachFailed',
        `the JVM closed the attach socket after ${this.#statusLine.length} bytes, before the status line ended`,
        { retryable: true },
      );
    }
    return {
      status: this.#status,
      output: new Uint8Array(Buffer.concat(this.#chunks, this.#outputBytes)),
      truncated: this.#truncated,
    };
  }

  #pushStatus(byte: number): void {
    if (byte !== 0x0a) {
      this.#statusLine += String.fromCharCode(byte);
      if (this.#statusLine.length <= maxStatusLineBytes) return;
    }
    if (!/^-?\d{1,9}$/.test(this.#statusLine)) {
      throw new CaptureError(
        'AttachFailed',
        `the JVM answered ${JSON.stringify(this.#statusLine)} where a status number is expected`,
      );
    }
    this.#status = Number(this.#statusLine);
  }
}
