import { CaptureError, messageOf } from '../errors.ts';
import { withoutSecrets, type Logger } from '../log.ts';
import { isUnanswered, type AttachedJvm } from './attach.ts';
import {
  foundJvmSchema,
  isFaultCode,
  questionSchema,
  type Question,
  type Reply,
} from './attacher-protocol.ts';
import type { CgroupFacts } from './cgroup-limits.ts';
import { pidsInSight } from './find-jvm.ts';
import type { JvmReach } from './jvm-reach.ts';
import type { LineChannel } from './line-channel.ts';
import type { ProcessFacts } from './process-facts.ts';
import { ownUsedBytes } from './work-beside.ts';

export interface SessionOptions {
  readonly reach: JvmReach;
  /** Milliseconds since 1970: everything ends by then. */
  readonly deadline: number;
  readonly log: Logger;
}

const jvmPollMilliseconds = 100;

/** Answers one question after the other until the JVM, the uploader or the time is over. */
export async function serveUploader(channel: LineChannel, options: SessionOptions): Promise<void> {
  const { reach, deadline, log } = options;
  const over = new AbortController();
  void channel.closed.then(() => over.abort(new CaptureError('AttachFailed', 'the uploader left')));
  const session = new Session(reach, over.signal);
  const watch = setInterval(() => {
    void session.jvmEnded().then((ended) => {
      // The end of the connection is the word for the end of the JVM, as it is where both are killed at once.
      if (ended) channel.close();
    });
  }, jvmPollMilliseconds);
  try {
    while (!channel.isClosed) {
      const question = questionSchema.safeParse(await channel.readLine(deadline - Date.now()));
      if (!question.success)
        throw new CaptureError('AttachFailed', 'a question was not understood');
      const { reply, output } = await session.answer(question.data);
      channel.write(reply, output);
    }
  } catch (error) {
    log.info('the connection to the uploader is over', { reason: messageOf(error) });
  } finally {
    clearInterval(watch);
    channel.close();
    await session.close();
  }
}

interface Answer {
  reply: Reply;
  output?: Uint8Array;
}

/** The JVM as one uploader has come to know it. */
class Session {
  readonly #reach: JvmReach;
  readonly #signal: AbortSignal;
  #jvm: ProcessFacts | undefined;
  #attached: AttachedJvm | undefined;

  constructor(reach: JvmReach, signal: AbortSignal) {
    this.#reach = reach;
    this.#signal = signal;
  }

  async answer(question: Question): Promise<Answer> {
    try {
      return await this.#answer(question);
    } catch (error) {
      const code =
        error instanceof CaptureError && isFaultCode(error.code) ? error.code : 'AttachFailed';
      const message = withoutSecrets(messageOf(error, 1_500));
      const pids = pidsInSight(error);
      return {
        reply: {
          ...{ reply: 'failed', code, message },
          ...(pids.length > 0 && { pids: [...pids] }),
          ...(isUnanswered(error) && { unanswered: true }),
        },
      };
    }
  }

  async jvmEnded(): Promise<boolean> {
    const jvm = this.#jvm;
    return jvm !== undefined && !(await this.#reach.runs(jvm));
  }

  async close(): Promise<void> {
    await this.#attached?.close();
    this.#attached = undefined;
  }

  async #answer(question: Question): Promise<Answer> {
    const signal = this.#signal;
    switch (question.ask) {
      case 'find': {
        await this.close();
        const jvm = await this.#reach.find(question.target);
        this.#jvm = jvm;
        return { reply: { reply: 'found', jvm: foundJvmSchema.parse(jvm) } };
      }
      case 'attach': {
        const jvm = this.#found(question);
        await this.close();
        const { timeoutSeconds } = question;
        this.#attached = await this.#reach.attach(jvm, { timeoutSeconds, signal });
        return { reply: { reply: 'attached' } };
      }
      case 'run': {
        if (this.#attached === undefined) throw outOfOrder(question.ask);
        const { command, timeoutSeconds, maxBytes } = question;
        const { status, output, truncated } = await this.#attached.run(command, {
          ...{ timeoutSeconds, maxBytes, signal },
        });
        return { reply: { reply: 'ran', status, truncated, outputBytes: output.length }, output };
      }
      case 'describe':
      case 'factsByCounters':
      case 'memoryFacts':
      case 'askForThreadsInLog':
      case 'cgroupFacts': {
        const output = Buffer.from(JSON.stringify((await this.#look(question)) ?? null));
        return { reply: { reply: 'seen', outputBytes: output.length }, output };
      }
    }
  }

  async #look(question: Exclude<Question, { ask: 'find' | 'attach' | 'run' }>): Promise<unknown> {
    const reach = this.#reach;
    if (question.ask === 'describe') return reach.describe(question.pids);
    const jvm = this.#found(question);
    switch (question.ask) {
      case 'factsByCounters':
        return reach.factsByCounters(jvm);
      case 'memoryFacts': {
        const { facts, nativeMemory } = question;
        return reach.memoryFacts(jvm, { facts, nativeMemory });
      }
      case 'askForThreadsInLog':
        return reach.askForThreadsInLog(jvm);
      case 'cgroupFacts':
        return withOwnMemory(await reach.cgroupFacts(jvm, question.rung));
    }
  }

  #found({ ask }: Question): ProcessFacts {
    if (this.#jvm === undefined) throw outOfOrder(ask);
    return this.#jvm;
  }
}

/** What this process uses counts to the pod as well: the uploader must not take it for room. */
async function withOwnMemory(jvm: CgroupFacts | undefined): Promise<CgroupFacts | undefined> {
  const ownBytes = (await ownUsedBytes()) ?? 0;
  if (jvm === undefined) return undefined;
  const memory = jvm.memory.map((level) => ({
    ...level,
    usedBytes: level.usedBytes === undefined ? undefined : level.usedBytes + ownBytes,
  }));
  return { ...jvm, memory };
}

function outOfOrder(ask: Question['ask']): CaptureError {
  return new CaptureError('AttachFailed', `the attacher was asked to ${ask} too early`);
}
