import * as z from 'zod';
import { jvmFacts, memoryFacts } from '../capture/manifest.ts';
import type { AttachReply } from '../jvm/attach-protocol.ts';
import { CaptureError } from '../errors.ts';
import type { AttachedJvm, CommandOptions } from './attach.ts';
import {
  cgroupFactsSchema,
  maxNativeMemoryLength,
  replySchema,
  type Question,
  type Reply,
} from './attacher-protocol.ts';
import type { JvmReach } from './jvm-reach.ts';
import type { LineChannel } from './line-channel.ts';

/** For what the attacher reads of a process without asking the JVM. */
const lookMilliseconds = 30_000;
/** The attacher keeps the time of a command itself; this is for an attacher that hangs. */
const graceMilliseconds = 5_000;

/**
 * The way of an uploader, which has a PID namespace of its own and so outlives the JVM: an attacher asks for it. A
 * connection that breaks means that the JVM has ended, since the kernel kills both at once; the dump is then read
 * to its end through the uploader's own mount of the volume.
 */
export function attacherReach(channel: LineChannel): JvmReach {
  /** Settles when the last question has its answer. */
  let last: Promise<unknown> = Promise.resolve();
  const ask = (question: Question, timeoutMilliseconds: number): Promise<AskedReply> => {
    const asked = last.then(() => askOnce(channel, question, timeoutMilliseconds));
    last = asked.catch(() => undefined);
    return asked;
  };
  const look = async <Schema extends z.ZodType>(
    question: Question,
    schema: Schema,
  ): Promise<z.output<Schema>> => {
    const { reply, output } = await ask(question, lookMilliseconds);
    if (reply.reply !== 'seen') throw unexpected(reply);
    return schema.parse(JSON.parse(output.toString()));
  };
  return {
    find: async ({ rung, podUid, containerID }) => {
      const question = { ask: 'find', target: { rung, podUid, containerID } } as const;
      const { reply } = await ask(question, lookMilliseconds);
      if (reply.reply !== 'found') throw unexpected(reply);
      const { startTicks, ...jvm } = reply.jvm;
      return { ...jvm, ...(startTicks !== undefined && { startTicks }) };
    },
    attach: async (_jvm, { timeoutSeconds, signal }) => {
      const question = { ask: 'attach', timeoutSeconds } as const;
      const milliseconds = timeoutSeconds * 1_000 + graceMilliseconds;
      const { reply } = await unlessAborted(ask(question, milliseconds), signal);
      if (reply.reply !== 'attached') throw unexpected(reply);
      return attachedThrough(ask);
    },
    runs: () => Promise.resolve(!channel.isClosed),
    rootPath: () => '/',
    describe: (pids) => look({ ask: 'describe', pids: [...pids] }, z.string()),
    factsByCounters: () => look({ ask: 'factsByCounters' }, jvmFacts),
    memoryFacts: (_jvm, { facts, nativeMemory }) => {
      const text = nativeMemory?.slice(0, maxNativeMemoryLength);
      return look({ ask: 'memoryFacts', facts, nativeMemory: text }, memoryFacts);
    },
    askForThreadsInLog: () => look({ ask: 'askForThreadsInLog' }, z.string().max(1_000)),
    cgroupFacts: (_jvm, rung) => look({ ask: 'cgroupFacts', rung }, cgroupFactsSchema),
    close: () => channel.close(),
  };
}

interface AskedReply {
  reply: Exclude<Reply, { reply: 'failed' }>;
  output: Buffer;
}

function attachedThrough(
  ask: (question: Question, timeoutMilliseconds: number) => Promise<AskedReply>,
): AttachedJvm {
  return {
    run: async (command, options: CommandOptions): Promise<AttachReply> => {
      const { timeoutSeconds, maxBytes, signal } = options;
      const question = { ask: 'run', command, timeoutSeconds, maxBytes } as const;
      const milliseconds = timeoutSeconds * 1_000 + graceMilliseconds;
      const { reply, output } = await unlessAborted(ask(question, milliseconds), signal);
      if (reply.reply !== 'ran') throw unexpected(reply);
      return { status: reply.status, output, truncated: reply.truncated };
    },
    close: () => Promise.resolve(),
  };
}

async function askOnce(
  channel: LineChannel,
  question: Question,
  timeoutMilliseconds: number,
): Promise<AskedReply> {
  channel.write(question);
  const line = await channel.readLine(timeoutMilliseconds);
  const parsed = replySchema.safeParse(line);
  if (!parsed.success) {
    channel.close();
    throw new CaptureError('AttachFailed', 'the attacher gave an answer that is none');
  }
  const reply = parsed.data;
  if (reply.reply === 'failed') {
    const { code, message, pids, unanswered } = reply;
    throw new CaptureError(code, message, { details: { pids, unanswered } });
  }
  const outputBytes = 'outputBytes' in reply ? reply.outputBytes : 0;
  const output = await channel.readBytes(outputBytes, graceMilliseconds);
  return { reply, output };
}

/** The question stays asked: the JVM cannot be called back, and the next one waits for its answer. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let aborted: () => void = () => undefined;
  const abort = new Promise<never>((_resolve, reject) => {
    aborted = () => reject(signal.reason as Error);
    signal.addEventListener('abort', aborted);
  });
  try {
    return await Promise.race([promise, abort]);
  } finally {
    signal.removeEventListener('abort', aborted);
  }
}

/** In place of a way to the JVM there is the reason why there is none, which then stands in the manifest. */
export function noReach(reason: CaptureError): JvmReach {
  const refuse = () => Promise.reject(reason);
  return {
    ...{ find: refuse, attach: refuse, describe: refuse, factsByCounters: refuse },
    ...{ memoryFacts: refuse, askForThreadsInLog: refuse, cgroupFacts: refuse },
    runs: () => Promise.resolve(false),
    rootPath: () => '/',
    close: () => undefined,
  };
}

function unexpected(reply: Reply): CaptureError {
  return new CaptureError('AttachFailed', `the attacher answered ${reply.reply} out of turn`);
}
