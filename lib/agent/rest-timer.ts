import { CaptureError, messageOf } from '../errors.ts';
import type { AttachReply } from '../jvm/attach-protocol.ts';
import { parseHeapDumpReply } from '../jvm/diagnostic-replies.ts';

const aliveCheckMilliseconds = 500;
/** Without an answer to wait for, the file of a JVM that still runs may only rest so long. */
const brokenConnectionSeconds = 10;

export interface RestOptions {
  readonly jvmRuns: () => Promise<boolean>;
  /** Asked all along; a reason ends the following. */
  readonly stopReason: () => CaptureError | undefined;
  /** Longest time in which nothing may grow while the JVM runs and has not answered. */
  readonly stallSeconds: number;
}

/** Remembers how the reply settled, so that a loop can ask without waiting. */
export class ReplyWatch {
  settled = false;
  reply: AttachReply | undefined;
  error: unknown;

  constructor(reply: Promise<AttachReply>) {
    reply.then(
      (value) => {
        this.settled = true;
        this.reply = value;
      },
      (error: unknown) => {
        this.settled = true;
        this.error = error;
      },
    );
  }

  /** The JVM said how its dump went. */
  get conclusive(): boolean {
    return this.reply !== undefined && parseHeapDumpReply(this.#text).said !== 'unknown';
  }

  get #text(): string {
    return Buffer.from(this.reply?.output ?? []).toString();
  }

  get words(): string {
    if (this.reply === undefined) return messageOf(this.error, 300);
    const text = this.#text;
    return JSON.stringify(text.replace(/\s+/g, ' ').trim().slice(0, 300));
  }
}

/** Ends a wait on a file that rests: by the JVM's answer, its end, the stop, or the stall. */
export class RestTimer {
  readonly #options: RestOptions;
  readonly #watch: ReplyWatch;
  #lastGrowth = performance.now();
  #lastAliveCheck = performance.now();

  constructor(options: RestOptions, watch: ReplyWatch) {
    this.#options = options;
    this.#watch = watch;
  }

  grew(): void {
    this.#lastGrowth = performance.now();
  }

  /** `true` when the wait goes on, `false` when no more will come, or the fault that ends it. */
  async check(): Promise<boolean | CaptureError> {
    const stop = this.#options.stopReason();
    if (stop) return stop;
    const now = performance.now();
    const connectionBroke = this.#watch.settled && this.#watch.reply === undefined;
    if (connectionBroke || now - this.#lastAliveCheck > aliveCheckMilliseconds) {
      this.#lastAliveCheck = now;
      if (!(await this.#options.jvmRuns())) return false;
    }
    const limit = connectionBroke ? brokenConnectionSeconds : this.#options.stallSeconds;
    if (now - this.#lastGrowth < limit * 1_000) return true;
    return new CaptureError(
      'DumpFailed',
      connectionBroke
        ? `the JVM runs but broke the connection off: ${this.#watch.words}`
        : `the dump did not grow for ${limit} s and the JVM did not answer: it may never have reached a safepoint`,
    );
  }
}
