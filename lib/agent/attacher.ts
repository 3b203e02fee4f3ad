import { unlink, type FileHandle } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { CaptureError, messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { chooseLayout } from './agent-layout.ts';
import {
  hexFieldOf,
  isProof,
  newChallenge,
  proofOf,
  socketNameOf,
  ticketUrlOf,
  usedBytesOf,
  type LayoutChoice,
} from './attacher-handshake.ts';
import { inside, openDirectoryInside, systemCode } from './container-path.ts';
import type { JvmReach } from './jvm-reach.ts';
import { LineChannel } from './line-channel.ts';
import { ownUsedBytes } from './work-beside.ts';

export interface AttacherOptions {
  /** Shared with the uploader, 64 hexadecimal digits. */
  readonly key: string;
  /** Where the socket may lie, best first; directories of volumes that the uploader mounts as well. */
  readonly directories: readonly string[];
  /** Of the JVM, as Kubernetes prints it. */
  readonly containerID: string;
  readonly reach: JvmReach;
  /** Milliseconds since 1970: everything ends by then. */
  readonly deadline: number;
  /** How long the uploader may take to come; 60 unless told. */
  readonly uploaderTimeoutSeconds?: number;
  readonly log: Logger;
}

/**
 * `unused`: no uploader came in time, or it left before it had said anything. `alone`: there is no room for two; the
 * uploader has handed over its ticket and ended, and who called is the single agent now.
 */
export type AttacherEnd =
  | { readonly end: 'served' | 'unused' }
  | { readonly end: 'alone'; readonly ticketUrl: string; readonly layout: LayoutChoice };

const handshakeMilliseconds = 2_000;
/** Of those who have not proven themselves; the application's processes can connect as well. */
const maxConnectionCount = 8;
/** For an uploader that was told to hand over: to say so, and to end. */
const handOverMilliseconds = 10_000;

/**
 * Offers the JVM to one uploader, and ends with the JVM or with the uploader, whichever is first. The socket's name
 * is removed as soon as the uploader has proven itself, so that nothing is left when this process is killed.
 * It holds no URL and reads no dump, unless it is to go on alone.
 * @throws CaptureError AttachFailed: no directory takes the socket (says why of each).
 */
export async function runAttacher(options: AttacherOptions): Promise<AttacherEnd> {
  const { directory, server, name } = await listenInVolume(options);
  let met: Met | undefined;
  try {
    met = await uploaderOf(server, options);
  } finally {
    await unlink(inside(directory, name)).catch(() => undefined);
    server.close();
    await directory.close();
  }
  if (met === undefined) return { end: 'unused' };
  const { channel } = met;
  const layout = await settleLayout(met, options);
  options.log.info('uploader connected', { ...layout });
  channel.write(layout);
  if (layout.layout === 'single') return takeOver(channel, layout, options);
  const { serveUploader } = await import('./attacher-session.ts');
  await serveUploader(channel, options);
  return { end: 'served' };
}

/** Never throws: where the JVM is not found there is no telling how much room it leaves. */
async function settleLayout(
  { uploaderUsedBytes }: Met,
  { reach, containerID, log }: AttacherOptions,
): Promise<LayoutChoice> {
  try {
    const rung = 'ephemeralContainer';
    const found = await reach.find({ rung, podUid: '', containerID });
    const jvm = await reach.cgroupFacts(found, rung);
    return chooseLayout({ jvm, attacherUsedBytes: await ownUsedBytes(), uploaderUsedBytes });
  } catch (error) {
    log.warn('no JVM to be seen yet', { reason: messageOf(error) });
    return { layout: 'single', reason: 'the JVM was not found, nor what memory it leaves' };
  }
}

/** The kernel closes a process's files after it has given its memory back: then there is room again. */
async function takeOver(
  channel: LineChannel,
  layout: LayoutChoice,
  { log }: AttacherOptions,
): Promise<AttacherEnd> {
  try {
    const ticketUrl = ticketUrlOf(await channel.readLine(handOverMilliseconds));
    const late = setTimeout(() => channel.close(), handOverMilliseconds);
    await channel.closed;
    clearTimeout(late);
    return { end: 'alone', ticketUrl, layout };
  } catch (error) {
    log.warn('the uploader handed nothing over', { reason: messageOf(error) });
    channel.close();
    return { end: 'unused' };
  }
}

/** An uploader that has proven itself. */
interface Met {
  readonly channel: LineChannel;
  readonly uploaderUsedBytes: number | undefined;
}

interface Listening {
  directory: FileHandle;
  server: Server;
  name: string;
}

async function listenInVolume({ directories, key }: AttacherOptions): Promise<Listening> {
  const name = socketNameOf(key);
  const refusals: string[] = [];
  // Nobody but this uid may ever connect, not even between bind and a chmod.
  const umask = process.umask(0o177);
  try {
    for (const path of directories) {
      let directory: FileHandle | undefined;
      try {
        directory = await openDirectoryInside('/', path);
        return { directory, name, server: await listen(inside(directory, name)) };
      } catch (error) {
        await directory?.close();
        refusals.push(`${path}: ${systemCode(error) ?? messageOf(error)}`);
      }
    }
  } finally {
    process.umask(umask);
  }
  throw new CaptureError(
    'AttachFailed',
    `no volume takes the attacher's socket: ${refusals.join('; ')}`,
  );
}

function listen(path: string): Promise<Server> {
  const server = createServer();
  server.maxConnections = maxConnectionCount;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.removeListener('error', reject);
      server.on('error', () => undefined);
      resolve(server);
    });
  });
}

/** The first who proves to hold the key. Everyone else is cut off. */
function uploaderOf(
  server: Server,
  { key, deadline, uploaderTimeoutSeconds = 60, log }: AttacherOptions,
): Promise<Met | undefined> {
  const strangers = new Set<LineChannel>();
  return new Promise((resolve) => {
    const settle = (met: Met | undefined): void => {
      clearTimeout(late);
      for (const channel of strangers) if (channel !== met?.channel) channel.close();
      resolve(met);
    };
    const milliseconds = Math.min(uploaderTimeoutSeconds * 1_000, deadline - Date.now());
    const late = setTimeout(() => settle(undefined), milliseconds);
    server.on('connection', (socket) => {
      const channel = new LineChannel(socket);
      strangers.add(channel);
      void channel.closed.then(() => strangers.delete(channel));
      proveEachOther(channel, key).then(
        (uploaderUsedBytes) => settle({ channel, uploaderUsedBytes }),
        (error: unknown) => {
          log.warn('a connection was refused', { reason: messageOf(error) });
          channel.close();
        },
      );
    });
  });
}

/** @returns what memory the uploader says to have. */
async function proveEachOther(channel: LineChannel, key: string): Promise<number | undefined> {
  const challenge = newChallenge();
  channel.write({ challenge });
  const claim = await channel.readLine(handshakeMilliseconds);
  if (!isProof(key, 'uploader', challenge, hexFieldOf(claim, 'proof'))) {
    throw new CaptureError('AttachFailed', 'it does not hold the key of this capture');
  }
  channel.write({ proof: proofOf(key, 'attacher', hexFieldOf(claim, 'challenge')) });
  return usedBytesOf(claim);
}
