import type { AttachReply } from '../jvm/attach-protocol.ts';
import { parseHeapDumpReply } from '../jvm/diagnostic-replies.ts';

/**
 * Tells, once, that a JVM is not needed for its dump any more: it has said how the dump went, and the first byte was read, so that
 * the file is open here. An answer that broke off says nothing: that of JDK ≥ 24 begins while the dump is written.
 */
export class JvmRelease {
  readonly #tell: () => void;
  #answered = false;
  #opened = false;

  constructor(reply: Promise<AttachReply>, tell: () => void) {
    this.#tell = tell;
    reply.then(
      ({ output }) => {
        if (parseHeapDumpReply(Buffer.from(output).toString()).said === 'unknown') return;
        this.#answered = true;
        if (this.#opened) tell();
      },
      () => undefined,
    );
  }

  /** The first byte was read; only the first call counts. */
  opened(): void {
    if (this.#opened) return;
    this.#opened = true;
    if (this.#answered) this.#tell();
  }
}
