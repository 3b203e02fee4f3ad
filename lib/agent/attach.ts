import { constants } from 'node:fs';
import { access, lstat, open, unlink, type FileHandle } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { CaptureError } from '../errors.ts';
import {
  AttachReplyDecoder,
  encodeAttachRequest,
  type AttachReply,
} from '../jvm/attach-protocol.ts';
import { mayWrite } from './dump-place.ts';
import { inside, openDirectoryInside, systemCode } from './container-path.ts';
import { stillRuns, type ProcessFacts } from './process-facts.ts';

const pollMilliseconds = 5;
/** What is read of one answer before the connection is cut, kept or not. */
const maxReadBytes = 64 * 1024 * 1024;

export interface AttachOptions {
  readonly procRoot: string;
  readonly jvm: ProcessFacts;
  /** How long the JVM may take to open its socket. */
  readonly timeoutSeconds: number;
  readonly signal: AbortSignal;
  /** Sends SIGQUIT; replaced in tests. */
  readonly sendQuit?: (pid: number) => void;
}

export interface CommandOptions {
  readonly timeoutSeconds: number;
  readonly signal: AbortSignal;
  /** Output that is kept; the rest is dropped and the reply says `truncated`. */
  readonly maxBytes: number;
}

/** A JVM whose attach listener runs. Each command is a connection of its own. */
export interface AttachedJvm {
  /**
   * Runs one diagnostic command.
   * @throws CaptureError AttachFailed: no connection, no answer in time, or an answer that is none. The JVM may
   *   still be running the command: it cannot be called back.
   */
  run(command: string, options: CommandOptions): Promise<AttachReply>;
  close(): Promise<void>;
}

/**
 * Makes the JVM listen, by the file `.attach_pid<n>` and SIGQUIT, unless it does already. SIGQUIT goes out at
 * most twice, and never to a process that does not handle it, for which it would be the end.
 * @throws CaptureError AttachDisabled (SIGQUIT is not handled), AttachFailed (no socket in time; a socket
 *   that is not the JVM's own; no right to reach it).
 */
export async function attach(options: AttachOptions): Promise<AttachedJvm> {
  const { procRoot, jvm } = options;
  const directory = await openTmp(procRoot, jvm);
  const socketPath = inside(directory, `.java_pid${jvm.namespacePid}`);
  try {
    if (!(await accepts(socketPath, jvm))) await wakeListener(options, directory, socketPath);
  } catch (error) {
    await directory.close();
    throw error;
  }
  return {
    run: (command, commandOptions) => runCommand(socketPath, jvm, command, commandOptions),
    close: () => directory.close(),
  };
}

async function openTmp(procRoot: string, jvm: ProcessFacts): Promise<FileHandle> {
  try {
    return await openDirectoryInside(join(procRoot, String(jvm.pid), 'root'), '/tmp');
  } catch (error) {
    throw attachFailed(jvm, `its /tmp cannot be opened (${systemCode(error) ?? 'unknown'})`, error);
  }
}

/** Whether a JVM answers there. A stale socket of an earlier process refuses, and is replaced by the JVM. */
async function accepts(socketPath: string, jvm: ProcessFacts): Promise<boolean> {
  if (!(await isJvmsSocket(socketPath, jvm))) return false;
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      if (systemCode(error) === 'ECONNREFUSED' || systemCode(error) === 'ENOENT') resolve(false);
      else reject(attachFailed(jvm, `connect: ${systemCode(error) ?? error.message}`, error));
    });
  });
}

/** @throws CaptureError AttachFailed when what lies there is not a socket of the JVM's user. */
async function isJvmsSocket(socketPath: string, jvm: ProcessFacts): Promise<boolean> {
  try {
    const stats = await lstat(socketPath);
    if (!stats.isSocket()) throw attachFailed(jvm, 'its attach socket is not a socket');
    if (stats.uid === jvm.uid || stats.uid === 0) return true;
    throw attachFailed(jvm, `its attach socket belongs to uid ${stats.uid}`);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    if (error instanceof CaptureError) throw error;
    throw attachFailed(jvm, `its attach socket: ${systemCode(error) ?? 'unknown'}`, error);
  }
}

async function wakeListener(
  options: AttachOptions,
  tmp: FileHandle,
  socketPath: string,
): Promise<void> {
  const { jvm, timeoutSeconds, signal } = options;
  if (!jvm.catchesQuit) {
    throw new CaptureError(
      'AttachDisabled',
      `JVM ${jvm.pid} does not listen, and does not handle SIGQUIT, by which it could be told to: it may still be starting. The signal would end it, so it was not sent`,
    );
  }
  await checkWritable(jvm, tmp);
  const removeTrigger = await createTrigger(options, tmp);
  const started = performance.now();
  const deadline = started + timeoutSeconds * 1_000;
  const secondQuit = started + timeoutSeconds * 500;
  let quitCount = 0;
  try {
    for (;;) {
      const now = performance.now();
      if (now >= deadline) break;
      if (quitCount === 0 || (quitCount === 1 && now >= secondQuit)) {
        await sendQuit(options);
        quitCount += 1;
      }
      signal.throwIfAborted();
      await wait(pollMilliseconds);
      if (await accepts(socketPath, jvm)) return;
    }
  } finally {
    await removeTrigger();
  }
  throw attachFailed(jvm, `no socket in its /tmp within ${timeoutSeconds} s after SIGQUIT`);
}

/** The JVM creates its socket in /tmp and nowhere else: where it cannot, there is nothing to wait for. */
async function checkWritable(jvm: ProcessFacts, tmp: FileHandle): Promise<void> {
  const { mode, uid, gid } = await tmp.stat();
  const readOnly = await access(inside(tmp, '.'), constants.W_OK).then(
    () => false,
    (error: unknown) => systemCode(error) === 'EROFS',
  );
  if (!readOnly && mayWrite(jvm, { mode, uid, gid })) return;
  const why = readOnly ? 'is read-only' : `may not be written by its user (owner ${uid}:${gid})`;
  throw attachFailed(
    jvm,
    `its /tmp ${why}, where it would open its attach socket; give the container an emptyDir on /tmp`,
  );
}

async function sendQuit({ procRoot, jvm, sendQuit }: AttachOptions): Promise<void> {
  if (!(await stillRuns(procRoot, jvm))) throw attachFailed(jvm, 'it has ended');
  try {
    if (sendQuit) sendQuit(jvm.pid);
    else process.kill(jvm.pid, 'SIGQUIT');
  } catch (error) {
    throw attachFailed(jvm, `SIGQUIT: ${systemCode(error) ?? 'unknown'}`, error);
  }
}

/** The JVM looks for the file in its working directory, then in /tmp; it must be the JVM's or root's. */
async function createTrigger(
  { procRoot, jvm }: AttachOptions,
  tmp: FileHandle,
): Promise<() => Promise<void>> {
  const name = `.attach_pid${jvm.namespacePid}`;
  const flags = constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW;
  const refusals: string[] = [];
  for (const place of [join(procRoot, String(jvm.pid), 'cwd', name), inside(tmp, name)]) {
    try {
      await (await open(place, flags, 0o600)).close();
      return () => unlink(place).catch(() => undefined);
    } catch (error) {
      refusals.push(systemCode(error) ?? 'unknown');
    }
  }
  throw attachFailed(
    jvm,
    `${name} can be created neither in its working directory nor in its /tmp (${refusals.join(', ')})`,
  );
}

function runCommand(
  socketPath: string,
  jvm: ProcessFacts,
  command: string,
  { timeoutSeconds, signal, maxBytes }: CommandOptions,
): Promise<AttachReply> {
  const decoder = new AttachReplyDecoder({ maxBytes });
  const request = encodeAttachRequest('jcmd', [command]);
  return new Promise((resolve, reject) => {
    let readBytes = 0;
    const socket = connect({ path: socketPath });
    const late = setTimeout(() => {
      const words = `no whole answer to ${named(command)} within ${timeoutSeconds} s`;
      fail(attachFailed(jvm, words, undefined, { unanswered: true }));
    }, timeoutSeconds * 1_000);
    const aborted = (): void => fail(signal.reason);
    const settle = (): void => {
      clearTimeout(late);
      signal.removeEventListener('abort', aborted);
      socket.destroy();
    };
    const fail = (error: unknown): void => {
      settle();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const succeed = (): void => {
      settle();
      try {
        resolve(decoder.finish());
      } catch (error) {
        reject(attachFailed(jvm, `closed without an answer to ${named(command)}`, error));
      }
    };
    signal.addEventListener('abort', aborted);
    if (signal.aborted) return aborted();
    socket.once('connect', () => socket.write(request));
    socket.on('data', (chunk) => {
      readBytes += chunk.length;
      try {
        decoder.push(chunk);
      } catch (error) {
        fail(error);
      }
      if (readBytes > maxReadBytes) succeed();
    });
    socket.once('end', succeed);
    socket.once('error', (error) => {
      const cause = systemCode(error) ?? 'unknown';
      fail(attachFailed(jvm, `${named(command)}: ${cause}`, error));
    });
  });
}

function named(command: string): string {
  return command.split(' ', 1)[0] ?? '';
}

/** Whether the JVM took a command and did not answer in time: it is not where it can. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof CaptureError && error.details['unanswered'] === true;
}

function attachFailed(
  jvm: ProcessFacts,
  why: string,
  cause?: unknown,
  details: Record<string, unknown> = {},
): CaptureError {
  const uid = process.geteuid?.() ?? -1;
  return new CaptureError(
    'AttachFailed',
    `attach to JVM ${jvm.pid} (uid ${jvm.uid}) by uid ${uid} failed: ${why}`,
    { cause, details },
  );
}
